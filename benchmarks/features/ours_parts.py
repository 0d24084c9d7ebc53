# SPDX-License-Identifier: Apache-2.0
"""The parts of this package: what each bijector does by itself."""

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow
from benchmarks.features import tf_probes as probes
from tfp_glow import bijectors as tfgb
from tfp_glow.networks import ConvNet, MLP

tfd = tfp.distributions
IMAGE = (4, 4, 2)
BATCH = 3.0 + 2.0 * probes.uniform(16, *IMAGE)


def act_norm():
    norm = tfgb.ActNorm(IMAGE)
    tfp_glow.initialize(norm, BATCH)
    probes.is_normalised(norm.inverse(BATCH))
    return "ActNorm, tfp_glow.initialize"


def no_accident():
    norm = tfgb.ActNorm(IMAGE)
    norm.forward(tf.random.normal((8, *IMAGE)))
    tfp_glow.initialize(norm, BATCH)
    probes.is_normalised(norm.inverse(BATCH))
    return "initialisation is a call"


def invertible_conv():
    for kind in (tfgb.InvertibleConv1x1, tfgb.DenseConv1x1):
        conv = kind(IMAGE)
        probes.move(conv.trainable_variables)
        probes.is_bijector(conv, BATCH[:2], 3)
    return "InvertibleConv1x1, DenseConv1x1"


def coupling():
    for mask, kept in (("channel", BATCH[..., :1]), ("channel_reversed", BATCH[..., 1:])):
        for kind, outputs in ((tfgb.AffineCoupling, 2), (tfgb.AdditiveCoupling, 1)):
            part = kind(IMAGE, ConvNet(4, outputs), mask)
            probes.move(part.trainable_variables)
            probes.is_bijector(part, BATCH[:2], 3)
            latents = part.inverse(BATCH)
            half = latents[..., :1] if mask == "channel" else latents[..., 1:]
            probes.close(half, kept, 0.0, "the half that is kept")
    return "AffineCoupling, AdditiveCoupling"


def checkerboard():
    part = tfgb.AffineCoupling(IMAGE, ConvNet(4, 4), "checkerboard")
    probes.move(part.trainable_variables)
    probes.is_bijector(part, BATCH[:2], 3)
    changed = np.any(part.inverse(BATCH) != BATCH, axis=(0, 3))
    probes.close(changed, np.indices((4, 4)).sum(axis=0) % 2 == 0, 0.0, "the mask")
    return 'mask="checkerboard"'


def squeeze():
    y = tf.reshape(tf.range(16.0), (4, 4, 1))
    blocks = tfgb.Squeeze((4, 4, 1)).inverse(y)
    probes.close(np.sort(blocks[0, 1]), [2.0, 3.0, 6.0, 7.0], 0.0, "a block")
    return "Squeeze"


def logit():
    probes.is_bijector(tfgb.LogitPixels((2, 2, 1)), 256.0 * probes.uniform(3, 2, 2, 1), 3)
    return "LogitPixels"


def batch_norm():
    for shape in ((3,), IMAGE):
        norm = tfgb.BatchNorm(shape)
        y = 2.0 + 3.0 * probes.uniform(64, *shape)
        latents, log_det = norm.inverse(y, training=True), norm.inverse_log_det_jacobian(y, training=True)
        probes.is_normalised(latents)
        variance = tf.math.reduce_variance(y, axis=list(range(len(shape))))
        expected = -0.5 * np.prod(shape[:-1]) * tf.reduce_sum(tf.math.log(variance))
        probes.close(log_det, np.full(64, expected), 1e-3, f"log-det in training, events {shape}")
        probes.is_bijector(norm, y[:2], len(shape), training=False)
    return "BatchNorm, of vectors and of images"


def context():
    part = tfgb.AffineCoupling((4,), MLP(4, (8,)), context_shape=(3,))
    probes.move(part.trainable_variables)
    y, given = probes.uniform(2, 4), probes.uniform(2, 3)
    probes.is_bijector(part, y, 1, context=given)
    assert np.all(np.any(part.inverse(y, context=given) != part.inverse(y, context=given + 1.0), axis=1))
    return "AffineCoupling(context_shape=...)"


def vectors():
    steps = tfgb.Steps([tfgb.ActNorm((6,)), tfgb.InvertibleConv1x1((6,)), tfgb.AffineCoupling((6,), MLP(6, (8,)))])
    probes.move(steps.trainable_variables)
    probes.is_bijector(steps, probes.uniform(3, 6), 1)
    return "the same classes"


def inference():
    couplings = [tfgb.AffineCoupling((2,), MLP(2, (8,)), mask) for mask in ("channel", "channel_reversed")]
    posterior = tfd.TransformedDistribution(tfd.MultivariateNormalDiag(tf.zeros(2)), tfgb.Steps(couplings))
    return trains_posterior_and_moves_chain(posterior, couplings)


def trains_posterior_and_moves_chain(posterior, couplings):
    """Gradients of variational inference reach every network; HMC runs in the latents and stays finite."""
    def target(z):
        return -0.5 * tf.reduce_sum((z - 1.0) ** 2, axis=-1)

    with tf.GradientTape() as tape:
        loss = tfp.vi.monte_carlo_variational_loss(target, posterior, sample_size=8, seed=1)
    variables = [v for part in couplings for v in part.trainable_variables]
    gradients = tape.gradient(loss, variables)
    assert variables and all(g is not None for g in gradients)
    kernel = tfp.mcmc.TransformedTransitionKernel(
        tfp.mcmc.HamiltonianMonteCarlo(target, step_size=0.1, num_leapfrog_steps=2), posterior.bijector)
    draws = tfp.mcmc.sample_chain(3, tf.zeros((2, 2)), kernel=kernel, trace_fn=None, seed=1)
    assert np.all(np.isfinite(draws)) and np.any(draws != 0.0)
    return "tfp.vi, tfp.mcmc.TransformedTransitionKernel"
