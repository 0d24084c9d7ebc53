# SPDX-License-Identifier: Apache-2.0
"""A flow as a variational posterior, compared with a mean-field normal distribution.

`python -m examples.variational_posterior` fits both posteriors to a banana-shaped target density by
`tfp.vi.fit_surrogate_posterior`, which requires an optimizer of `tf_keras`. It prints the evidence lower bound (ELBO)
of each. The target is normalized, so the largest possible ELBO is 0.
"""

from collections.abc import Callable

import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from tfp_glow import bijectors as tfgb
from tfp_glow.networks import MLP

tfb, tfd = tfp.bijectors, tfp.distributions


def banana() -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns the log-density of `z[0] ~ N(0, 1)`, `z[1] ~ N(z[0]**2, 0.3**2)`, a function of points `[..., 2]`."""
    def log_prob(z: tf.Tensor) -> tf.Tensor:
        return tfd.Normal(0.0, 1.0).log_prob(z[..., 0]) + tfd.Normal(z[..., 0] ** 2, 0.3).log_prob(z[..., 1])

    return log_prob


def flow_posterior(num_couplings: int = 4, width: int = 32) -> tfp.distributions.Distribution:
    """Returns a RealNVP over the plane."""
    couplings = [
        tfgb.AffineCoupling((2,), MLP(2, (width, width), "tanh", seed=index), mask, scale="tanh")
        for index, mask in zip(range(num_couplings), ("channel", "channel_reversed") * num_couplings, strict=False)]
    return tfd.TransformedDistribution(tfd.MultivariateNormalDiag(tf.zeros(2)), tfgb.Steps(couplings))


def mean_field_posterior() -> tfp.distributions.Distribution:
    """Returns two independent normal distributions with learned means and scales."""
    scale = tfp.util.TransformedVariable(tf.ones(2), tfb.Softplus())
    return tfd.MultivariateNormalDiag(tf.Variable(tf.zeros(2)), scale)


def elbo(target_log_prob: Callable[[tf.Tensor], tf.Tensor], posterior: tfp.distributions.Distribution,
         num_samples: int = 4096, seed: int = 0) -> float:
    """Estimates the ELBO, the mean of `log p(z) - log q(z)` over samples `z` of `q`.

    Args:
      target_log_prob: the function `log p`.
      posterior: the distribution `q`.
      num_samples: number of samples.
      seed: seed of the samples.

    Returns:
      The estimate in nats, a float.
    """
    samples, log_q = posterior.experimental_sample_and_log_prob(num_samples, seed=seed)
    return float(tf.reduce_mean(target_log_prob(samples) - log_q))


def main(num_steps: int = 1000, sample_size: int = 64) -> dict[str, float]:
    """Fits both posteriors and prints their ELBOs.

    Args:
      num_steps: number of training steps per posterior.
      sample_size: number of samples per step.

    Returns:
      A dict of the ELBOs in nats: `"flow"` and `"mean field"`.
    """
    target = banana()
    elbos = {}
    for name, posterior in (("flow", flow_posterior()), ("mean field", mean_field_posterior())):
        tfp.vi.fit_surrogate_posterior(
            target, posterior, tf_keras.optimizers.Adam(5e-3), num_steps, sample_size=sample_size, seed=1)
        elbos[name] = elbo(target, posterior)
        print(f"ELBO of the {name}: {elbos[name]:.3f} nats (largest possible value: 0)")
    return elbos


if __name__ == "__main__":
    main()
