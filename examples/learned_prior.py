# SPDX-License-Identifier: Apache-2.0
"""A flow as the learned prior of a `tfd.JointDistributionCoroutineAutoBatched`.

The observations `x` are points `z` of a ring with normal noise: `x ~ N(z, NOISE**2)`.
`python -m examples.learned_prior` trains a flow as the distribution of `z`, by maximizing a lower bound of the
log-evidence `log p(x)`. It prints the bound before and after training.
"""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow

tfd = tfp.distributions
NOISE = 0.3


def observations(number: int, seed: int = 0) -> tf.Tensor:
    """Draws noisy points of a ring of radius 2, a float tensor `[number, 2]`."""
    rng = np.random.RandomState(seed)
    angle = rng.uniform(0.0, 2.0 * np.pi, number)
    ring = 2.0 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return tf.constant(ring + NOISE * rng.standard_normal((number, 2)), tf.float32)


def joint_distribution(prior: tfp.distributions.Distribution) -> tfp.distributions.JointDistribution:
    """Returns the joint distribution of `z`, which follows `prior`, and of the observation `x`, `z` plus noise."""
    def model() -> Iterator[tfp.distributions.Distribution]:
        z = yield prior
        yield tfd.MultivariateNormalDiag(z, NOISE * tf.ones(2), name="x")

    return tfd.JointDistributionCoroutineAutoBatched(model)


def evidence_bound(joint: tfp.distributions.JointDistribution, x: tf.Tensor, seed: Any) -> tf.Tensor:
    """Estimates a lower bound of `log p(x)`, the mean of `log p(z, x) - log q(z|x)` over `z` from `q`.

    Args:
      joint: the joint distribution of `z` and `x`.
      x: observations, `[number, 2]`.
      seed: seed of the samples `z`, one per observation.

    Returns:
      The mean over the observations, in nats. `q` is `N(x, NOISE**2)`, the posterior for a constant prior.
    """
    q = tfd.MultivariateNormalDiag(x, NOISE * tf.ones(2))
    z = q.sample(seed=seed)
    return tf.reduce_mean(joint.log_prob(z, x) - q.log_prob(z))


def main(num_steps: int = 1000, number: int = 4096) -> tuple[dict[str, float], tuple[tf.Tensor, tf.Tensor]]:
    """Trains the prior and prints the bounds.

    Args:
      num_steps: number of training steps.
      number: number of training observations.

    Returns:
      A pair. First, a dict of the bounds for new observations in nats, `"before"` and `"after"` training. Second, the
      pair of samples `z` and `x` of the trained model, each `[1000, 2]`.
    """
    prior = tfp_glow.realnvp_vector((2,), num_couplings=6, hidden_sizes=(32, 32), activation="tanh", seed=0)
    joint = joint_distribution(prior)
    variables = [v for v in prior.bijector.keras_variables if v.trainable]
    optimizer = keras.optimizers.Adam(3e-3)
    optimizer.build(variables)

    @tf.function(autograph=False)
    def step(x: tf.Tensor, seed: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            loss = -evidence_bound(joint, x, seed)
        optimizer.apply(tape.gradient(loss, [v.value for v in variables]), variables)

    new = observations(2000, seed=1)
    bounds = {"before": float(evidence_bound(joint, new, seed=(0, 0)))}
    data = tf.data.Dataset.from_tensor_slices(observations(number)).shuffle(number, seed=1).repeat().batch(256)
    for index, x in enumerate(data.take(num_steps)):
        step(x, tf.constant([1, index]))
    bounds["after"] = float(evidence_bound(joint, new, seed=(0, 0)))
    print(f"lower bound of the log-evidence: {bounds['before']:.3f} nats before training, {bounds['after']:.3f} after")
    z, x = joint.sample(1000, seed=2)
    radius = float(tf.reduce_mean(tf.norm(z, axis=-1)))
    print(f"mean radius of {z.shape[0]} samples: {radius:.2f} (the true radius is 2)")
    return bounds, (z, x)


if __name__ == "__main__":
    main()
