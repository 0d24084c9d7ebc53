# SPDX-License-Identifier: Apache-2.0
"""A conditional density p(y|x): couplings whose networks also read x.

`python -m examples.conditional_density` learns points on an ellipse whose width is x, trained once with the true x as
the context and once with shuffled ones, and prints the negative log-likelihood of each on new points.
"""

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow import bijectors as tfgb
from tfp_glow.networks import MLP

tfd = tfp.distributions


def draw(number, seed):
    """Contexts `[number, 1]` and points `[number, 2]`."""
    rng = np.random.RandomState(seed)
    x, angle = rng.uniform(0.5, 3.0, (number, 1)), rng.uniform(0.0, 2.0 * np.pi, (number, 1))
    y = np.concatenate([x * np.cos(angle), np.sin(angle)], axis=1) + 0.1 * rng.standard_normal((number, 2))
    return x.astype("float32"), y.astype("float32")


def conditional_flow(num_couplings=6, width=32):
    """p(y|x) over two numbers, given one."""
    couplings = [
        tfgb.AffineCoupling((2,), MLP(2, (width, width), "tanh", seed=index), mask, scale="tanh", context_shape=(1,))
        for index, mask in zip(range(num_couplings), ("channel", "channel_reversed") * num_couplings, strict=False)]
    return tfd.TransformedDistribution(tfd.MultivariateNormalDiag(tf.zeros(2)), tfgb.Steps(couplings))


def fit(flow, x, y, num_steps, batch_size=256):
    """Maximum likelihood with a Keras optimizer: a flow's `keras_variables` are what it trains."""
    variables = [v for v in flow.bijector.keras_variables if v.trainable]
    optimizer = keras.optimizers.Adam(3e-3)
    optimizer.build(variables)

    @tf.function(autograph=False)
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(flow.log_prob(y, bijector_kwargs={"context": x}))
        optimizer.apply(tape.gradient(loss, [v.value for v in variables]), variables)

    data = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x), seed=1).repeat().batch(batch_size)
    for batch in data.take(num_steps):
        step(*batch)


def main(num_steps=1500, number=8192):
    """Returns the negative log-likelihood of new points, in nats, with true and with shuffled contexts."""
    (x, y), (new_x, new_y) = draw(number, seed=0), draw(2000, seed=1)
    losses = {}
    for name, given in (("true context", x), ("shuffled context", np.random.RandomState(2).permutation(x))):
        flow = conditional_flow()
        fit(flow, given, y, num_steps)
        losses[name] = -float(tf.reduce_mean(flow.log_prob(new_y, bijector_kwargs={"context": new_x})))
        print(f"{name}: {losses[name]:.3f} nats a point")
    return losses


if __name__ == "__main__":
    main()
