# SPDX-License-Identifier: Apache-2.0
"""A conditional density p(y|x): the networks of the couplings also read x.

`python -m examples.conditional_density` learns points on an ellipse of width x. It trains one flow with the true x as
the context and one with shuffled x, and prints the negative log-likelihood of both on new points.
"""

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow import bijectors as tfgb
from tfp_glow.networks import MLP

tfd = tfp.distributions


def draw(number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws contexts `[number, 1]` and points `[number, 2]`."""
    rng = np.random.RandomState(seed)
    x, angle = rng.uniform(0.5, 3.0, (number, 1)), rng.uniform(0.0, 2.0 * np.pi, (number, 1))
    y = np.concatenate([x * np.cos(angle), np.sin(angle)], axis=1) + 0.1 * rng.standard_normal((number, 2))
    return x.astype("float32"), y.astype("float32")


def conditional_flow(num_couplings: int = 6, width: int = 32) -> tfp.distributions.Distribution:
    """Returns p(y|x) of two numbers y, given one number x."""
    couplings = [
        tfgb.AffineCoupling((2,), MLP(2, (width, width), "tanh", seed=index), mask, scale="tanh", context_shape=(1,))
        for index, mask in zip(range(num_couplings), ("channel", "channel_reversed") * num_couplings, strict=False)]
    return tfd.TransformedDistribution(tfd.MultivariateNormalDiag(tf.zeros(2)), tfgb.Steps(couplings))


def fit(flow: tfp.distributions.Distribution, x: np.ndarray, y: np.ndarray, num_steps: int,
        batch_size: int = 256) -> None:
    """Trains by maximum likelihood; the Keras optimizer gets the `keras_variables` of the flow."""
    variables = [v for v in flow.bijector.keras_variables if v.trainable]
    optimizer = keras.optimizers.Adam(3e-3)
    optimizer.build(variables)

    @tf.function(autograph=False)
    def step(x: tf.Tensor, y: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(flow.log_prob(y, bijector_kwargs={"context": x}))
        optimizer.apply(tape.gradient(loss, [v.value for v in variables]), variables)

    data = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x), seed=1).repeat().batch(batch_size)
    for batch in data.take(num_steps):
        step(*batch)


def main(num_steps: int = 1500, number: int = 8192) -> dict[str, float]:
    """Returns the negative log-likelihood of new points, in nats, for the true and the shuffled contexts."""
    (x, y), (new_x, new_y) = draw(number, seed=0), draw(2000, seed=1)
    losses = {}
    for name, given in (("true context", x), ("shuffled context", np.random.RandomState(2).permutation(x))):
        flow = conditional_flow()
        fit(flow, given, y, num_steps)
        losses[name] = -float(tf.reduce_mean(flow.log_prob(new_y, bijector_kwargs={"context": new_x})))
        print(f"{name}: {losses[name]:.3f} nats per point")
    return losses


if __name__ == "__main__":
    main()
