# SPDX-License-Identifier: Apache-2.0
"""The parts of TFP's Glow and RealNVP, and what its other bijectors make up for where they lack something."""

import math

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from benchmarks.features import tf_probes as probes
from benchmarks.features.ours_parts import trains_posterior_and_moves_chain

tfb, tfd = tfp.bijectors, tfp.distributions
IMAGE = (4, 4, 2)
BATCH = 3.0 + 2.0 * probes.uniform(16, *IMAGE)


def part_of_glow(name):
    """A class of TFP's that has no public name: the parts of a Glow show it."""
    glow = tfb.Glow((4, 4, 1), num_glow_blocks=1, num_steps_per_block=1, coupling_bijector_fn=tfb.GlowDefaultNetwork,
                    exit_bijector_fn=tfb.GlowDefaultExitNetwork)
    return next(type(part) for part in glow.submodules if type(part).__name__ == name)


def coupling_of(num_masked, network, **arguments):
    """RealNVP with a network that gives shift and log-scale, or a shift only."""
    def shift_and_log_scale(kept, units, **conditions):
        raw = network(kept, **conditions)
        return (raw, None) if raw.shape[-1] == units else tf.split(raw, 2, axis=-1)

    part = tfb.RealNVP(num_masked, shift_and_log_scale_fn=shift_and_log_scale, **arguments)
    part.network = network  # For variable tracking, as tfb.Glow does.
    return part


def convolutions(outputs):
    return tf_keras.Sequential([tf_keras.layers.Conv2D(4, 3, padding="same", activation="relu"),
                                tf_keras.layers.Conv2D(outputs, 3, padding="same")])


def dense(outputs):
    return tf_keras.Sequential([tf_keras.layers.Dense(8, "relu"), tf_keras.layers.Dense(outputs)])


def act_norm():
    norm = part_of_glow("ActivationNormalization")(2)
    norm.inverse(BATCH)
    probes.is_normalised(norm.inverse(tf.identity(BATCH)))
    return "part of tfb.Glow, set by its first call"


def no_accident():
    norm = part_of_glow("ActivationNormalization")(2)
    norm.forward(tf.random.normal((8, *IMAGE)))
    norm.inverse(BATCH)
    probes.is_normalised(norm.inverse(tf.identity(BATCH)))
    return "sampling first"


def invertible_conv():
    matrix = tf.Variable(np.linalg.qr(np.random.RandomState(0).standard_normal((2, 2)))[0].astype("float32"))
    dense_matrix = tfb.ScaleMatvecLinearOperator(tf.linalg.LinearOperatorFullMatrix(matrix))
    for conv in (part_of_glow("OneByOneConv")(2), dense_matrix):
        probes.is_bijector(conv, BATCH[:2], 3)
    return "part of tfb.Glow; tfb.ScaleMatvecLinearOperator"


def coupling():
    for num_masked, half in ((1, np.s_[..., :1]), (-1, np.s_[..., 1:])):
        for outputs in (2, 1):
            part = coupling_of(num_masked, convolutions(outputs))
            probes.is_bijector(part, BATCH[:2], 3)
            probes.close(part.inverse(BATCH)[half], BATCH[half], 0.0, "the half that is kept")
    return "tfb.RealNVP"


def checkerboard():
    board = np.broadcast_to(np.indices((4, 4)).sum(axis=0)[..., np.newaxis] % 2, IMAGE)
    order = np.argsort(board.reshape(-1), kind="stable")
    flat = tfb.Reshape(event_shape_in=IMAGE, event_shape_out=[32])
    part = tfb.Chain([tfb.Invert(flat), tfb.Invert(tfb.Permute(order)), coupling_of(16, dense(32)), tfb.Permute(order),
                      flat])
    probes.is_bijector(part, BATCH[:2], 3)
    changed = np.any(part.inverse(BATCH) != BATCH, axis=(0, 3))
    probes.close(changed, board[..., 0] == 1, 0.0, "the mask")
    return "tfb.RealNVP between tfb.Reshape and tfb.Permute"


def squeeze():
    y = tf.reshape(tf.range(16.0), (4, 4, 1))
    blocks = part_of_glow("Expand")((2, 2, 4)).inverse(y)
    probes.close(np.sort(blocks[0, 1]), [2.0, 3.0, 6.0, 7.0], 0.0, "a block")
    return "part of tfb.Glow"


def logit(alpha=0.05):
    slope = 1.0 - 2.0 * alpha
    pixels = tfb.Chain([tfb.Scale(256.0 / slope), tfb.Shift(-alpha), tfb.Sigmoid()])
    probes.is_bijector(pixels, 256.0 * probes.uniform(3, 2, 2, 1), 3)
    return "tfb.Chain of tfb.Scale, tfb.Shift and tfb.Sigmoid"


def batch_norm():
    for shape in ((3,), IMAGE):
        layer = tf_keras.layers.BatchNormalization(epsilon=1e-4)
        y = 2.0 + 3.0 * probes.uniform(64, *shape)
        norm = tfb.BatchNormalization(layer, training=True)
        probes.is_normalised(norm.inverse(y), f"latents of events {shape}")
        log_det = tf.broadcast_to(norm.inverse_log_det_jacobian(tf.identity(y), len(shape)), [64])
        variance = tf.math.reduce_variance(y, axis=list(range(len(shape))))
        expected = -0.5 * np.prod(shape[:-1]) * tf.reduce_sum(tf.math.log(variance))
        probes.close(log_det, np.full(64, expected), 1e-3, f"log-det in training, events {shape}")
        probes.is_bijector(tfb.BatchNormalization(layer, training=False), y[:2], len(shape))
    return "tfb.BatchNormalization"


def context():
    network = dense(4)
    part = coupling_of(2, lambda kept, context: network(tf.concat([kept, context], axis=-1)))
    y, given = probes.uniform(2, 4), probes.uniform(2, 3)
    probes.is_bijector(part, y, 1, context=given)
    assert np.all(np.any(part.inverse(y, context=given) != part.inverse(y, context=given + 1.0), axis=1))
    return "tfb.RealNVP, with a network of one's own"


def classes():
    means = tf.Variable(np.random.RandomState(0).standard_normal((3, 4)).astype("float32"))
    part, y = coupling_of(2, dense(4)), probes.uniform(2, 4)

    def log_prob(labels):
        base = tfd.MultivariateNormalDiag(tf.gather(means, labels), tf.ones(4))
        return tfd.TransformedDistribution(base, part).log_prob(y)

    expected = math.log(2.0 * math.pi) * -2.0 - 0.5 * tf.reduce_sum((part.inverse(y) - means[1]) ** 2, axis=-1)
    expected += part.inverse_log_det_jacobian(tf.identity(y), 1)
    probes.close(log_prob([1, 1]), expected, 1e-4, "log_prob")
    assert np.all(log_prob([0, 0]) != log_prob([1, 1]))
    return "a base distribution made for each batch"


def vectors():
    norm, linear = part_of_glow("ActivationNormalization")(6), part_of_glow("OneByOneConv")(6)
    norm.inverse(probes.uniform(16, 6))
    probes.is_bijector(tfb.Chain([norm, linear, coupling_of(3, dense(6))]), probes.uniform(3, 6), 1)
    return "the same classes"


def inference():
    couplings = [coupling_of(num_masked, dense(2)) for num_masked in (1, -1)]
    posterior = tfd.TransformedDistribution(tfd.MultivariateNormalDiag(tf.zeros(2)), tfb.Chain(couplings))
    posterior.sample(1)  # Builds the networks.
    return trains_posterior_and_moves_chain(posterior, couplings)
