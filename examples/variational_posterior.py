# SPDX-License-Identifier: Apache-2.0
"""A flow as a variational posterior: it beats the best mean-field Gaussian on a banana.

`python -m examples.variational_posterior` fits both with `tfp.vi.fit_surrogate_posterior` and prints their ELBOs; the
target is normalised, so that 0 is the best there is. TFP minimises with tf_keras's optimizers.
"""

import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from tfp_glow import bijectors as tfgb
from tfp_glow.networks import MLP

tfb, tfd = tfp.bijectors, tfp.distributions


def banana():
    """Log-density of `z[0] ~ N(0, 1)`, `z[1] ~ N(z[0]**2, 0.3)`."""
    def log_prob(z):
        return tfd.Normal(0.0, 1.0).log_prob(z[..., 0]) + tfd.Normal(z[..., 0] ** 2, 0.3).log_prob(z[..., 1])

    return log_prob


def flow_posterior(num_couplings=4, width=32):
    """RealNVP over two numbers."""
    couplings = [
        tfgb.AffineCoupling((2,), MLP(2, (width, width), "tanh", seed=index), mask, scale="tanh")
        for index, mask in zip(range(num_couplings), ("channel", "channel_reversed") * num_couplings, strict=False)]
    return tfd.TransformedDistribution(tfd.MultivariateNormalDiag(tf.zeros(2)), tfgb.Steps(couplings))


def mean_field_posterior():
    """Two independent Gaussians."""
    scale = tfp.util.TransformedVariable(tf.ones(2), tfb.Softplus())
    return tfd.MultivariateNormalDiag(tf.Variable(tf.zeros(2)), scale)


def elbo(target_log_prob, posterior, num_samples=4096, seed=0):
    """Monte Carlo estimate of `E_q[log p(z) - log q(z)]`."""
    samples, log_q = posterior.experimental_sample_and_log_prob(num_samples, seed=seed)
    return float(tf.reduce_mean(target_log_prob(samples) - log_q))


def main(num_steps=1000, sample_size=64):
    """Fits both posteriors and returns their ELBOs, in nats."""
    target = banana()
    elbos = {}
    for name, posterior in (("flow", flow_posterior()), ("mean field", mean_field_posterior())):
        tfp.vi.fit_surrogate_posterior(
            target, posterior, tf_keras.optimizers.Adam(5e-3), num_steps, sample_size=sample_size, seed=1)
        elbos[name] = elbo(target, posterior)
        print(f"ELBO of the {name}: {elbos[name]:.3f} nats (the best is 0)")
    return elbos


if __name__ == "__main__":
    main()
