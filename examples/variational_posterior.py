# SPDX-License-Identifier: Apache-2.0
"""A flow as a variational posterior: it is better than the best mean-field Gaussian on a banana-shaped density.

`python -m examples.variational_posterior` fits both with `tfp.vi.fit_surrogate_posterior` and prints their ELBOs. The
target is normalized, so the largest possible ELBO is 0. TFP requires optimizers of tf_keras here.
"""

from collections.abc import Callable

import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from tfp_glow import bijectors as tfgb
from tfp_glow.networks import MLP

tfb, tfd = tfp.bijectors, tfp.distributions


def banana() -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns the log-density of `z[0] ~ N(0, 1)`, `z[1] ~ N(z[0]**2, 0.3)`."""
    def log_prob(z: tf.Tensor) -> tf.Tensor:
        return tfd.Normal(0.0, 1.0).log_prob(z[..., 0]) + tfd.Normal(z[..., 0] ** 2, 0.3).log_prob(z[..., 1])

    return log_prob


def flow_posterior(num_couplings: int = 4, width: int = 32) -> tfp.distributions.Distribution:
    """Returns a RealNVP of two numbers."""
    couplings = [
        tfgb.AffineCoupling((2,), MLP(2, (width, width), "tanh", seed=index), mask, scale="tanh")
        for index, mask in zip(range(num_couplings), ("channel", "channel_reversed") * num_couplings, strict=False)]
    return tfd.TransformedDistribution(tfd.MultivariateNormalDiag(tf.zeros(2)), tfgb.Steps(couplings))


def mean_field_posterior() -> tfp.distributions.Distribution:
    """Returns two independent Gaussians."""
    scale = tfp.util.TransformedVariable(tf.ones(2), tfb.Softplus())
    return tfd.MultivariateNormalDiag(tf.Variable(tf.zeros(2)), scale)


def elbo(target_log_prob: Callable[[tf.Tensor], tf.Tensor], posterior: tfp.distributions.Distribution,
         num_samples: int = 4096, seed: int = 0) -> float:
    """Returns a Monte Carlo estimate of `E_q[log p(z) - log q(z)]`."""
    samples, log_q = posterior.experimental_sample_and_log_prob(num_samples, seed=seed)
    return float(tf.reduce_mean(target_log_prob(samples) - log_q))


def main(num_steps: int = 1000, sample_size: int = 64) -> dict[str, float]:
    """Fits both posteriors and returns their ELBOs, in nats."""
    target = banana()
    elbos = {}
    for name, posterior in (("flow", flow_posterior()), ("mean field", mean_field_posterior())):
        tfp.vi.fit_surrogate_posterior(
            target, posterior, tf_keras.optimizers.Adam(5e-3), num_steps, sample_size=sample_size, seed=1)
        elbos[name] = elbo(target, posterior)
        print(f"ELBO of the {name}: {elbos[name]:.3f} nats (at most 0)")
    return elbos


if __name__ == "__main__":
    main()
