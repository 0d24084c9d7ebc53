# SPDX-License-Identifier: Apache-2.0
"""A conditional density p(y|x), by couplings with x as their context.

The data are noisy points y on an ellipse whose first half-axis is x. `python -m examples.conditional_density` trains
one flow with the true contexts x and one with shuffled contexts. It prints the negative log-likelihood of new points
under each flow, in nats per point.
"""

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow import bijectors as tfgb
from tfp_glow.networks import MLP

tfd = tfp.distributions


def draw(number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws `number` pairs of a context x and a point y; returns arrays `[number, 1]` and `[number, 2]`."""
    rng = np.random.RandomState(seed)
    x, angle = rng.uniform(0.5, 3.0, (number, 1)), rng.uniform(0.0, 2.0 * np.pi, (number, 1))
    y = np.concatenate([x * np.cos(angle), np.sin(angle)], axis=1) + 0.1 * rng.standard_normal((number, 2))
    return x.astype("float32"), y.astype("float32")


def conditional_flow(num_couplings: int = 6, width: int = 32) -> tfp.distributions.Distribution:
    """Returns p(y|x), a RealNVP over points y in the plane with a scalar context x."""
    couplings = [
        tfgb.AffineCoupling((2,), MLP(2, (width, width), "tanh", seed=index), mask, scale="tanh", context_shape=(1,))
        for index, mask in zip(range(num_couplings), ("channel", "channel_reversed") * num_couplings, strict=False)]
    return tfd.TransformedDistribution(tfd.MultivariateNormalDiag(tf.zeros(2)), tfgb.Steps(couplings))


def fit(flow: tfp.distributions.Distribution, x: np.ndarray, y: np.ndarray, num_steps: int,
        batch_size: int = 256) -> None:
    """Trains a conditional flow by maximum likelihood, with a Keras optimizer and an explicit training step.

    Args:
      flow: a distribution that `conditional_flow` returned.
      x: contexts, `[number, 1]`.
      y: points, `[number, 2]`.
      num_steps: number of training steps.
      batch_size: number of points per step.
    """
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
    """Trains both flows and prints their losses.

    Args:
      num_steps: number of training steps per flow.
      number: number of training points.

    Returns:
      A dict of the negative log-likelihoods of new points, in nats per point: `"true context"`, `"shuffled context"`.
    """
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
