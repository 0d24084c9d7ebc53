# SPDX-License-Identifier: Apache-2.0
"""Small versions of all flows, events for them, eager calls, and the log-determinant of a Jacobian."""

import contextlib
import math
import warnings

import numpy as np
import tensorflow as tf

import tfp_glow

IMAGE = (4, 4, 2)

# Functions that build the small flows. Each accepts additional arguments of the flow.
SMALL_FLOWS = {
    "glow": lambda **k: tfp_glow.glow(IMAGE, num_levels=2, num_steps=2, width=6, **k),
    "glow_additive_shuffle": lambda **k: tfp_glow.glow(
        IMAGE, num_levels=1, num_steps=2, width=6, coupling="additive", permutation="shuffle", **k),
    "glow_dense": lambda **k: tfp_glow.glow(IMAGE, num_levels=1, num_steps=1, width=6, permutation="dense", **k),
    "glow_reverse": lambda **k: tfp_glow.glow(IMAGE, num_levels=1, num_steps=2, width=6, permutation="reverse", **k),
    "realnvp": lambda **k: tfp_glow.realnvp(IMAGE, num_scales=1, num_blocks=1, width=4, **k),
    "realnvp_without_batch_norm": lambda **k: tfp_glow.realnvp(
        IMAGE, num_scales=1, num_blocks=1, width=4, batch_norm=False, **k),
    "realnvp_vector": lambda **k: tfp_glow.realnvp_vector(
        5, num_couplings=3, hidden_sizes=(8,), partition="odd_even", batch_norm=True, **k),
    "nice": lambda **k: tfp_glow.nice(5, hidden_sizes=(8, 8), loc=1.0, scale=[1.0, 2.0, 3.0, 4.0, 5.0], **k),
    "nice_image": lambda **k: tfp_glow.nice(
        IMAGE, hidden_sizes=(8,), partition="halves", prior="normal", pixels="affine", **k),
    "maf": lambda **k: tfp_glow.maf(5, num_layers=2, hidden_sizes=(8, 8), act_norm=True, **k),
    "maf_image": lambda **k: tfp_glow.maf((2, 2, 2), num_layers=2, hidden_sizes=(8,), num_bits=5, **k),
    "maf_bounded": lambda **k: tfp_glow.maf(5, num_layers=2, hidden_sizes=(8,), log_scale="tanh", **k),
    "realnvp_vector_loop": lambda **k: tfp_glow.realnvp_vector(5, num_couplings=5, hidden_sizes=(8,), **k),
    "nsf": lambda **k: tfp_glow.nsf(5, num_steps=2, width=8, num_blocks=1, num_bins=4, **k),
    "nsf_autoregressive": lambda **k: tfp_glow.nsf(
        4, num_steps=2, width=8, num_blocks=1, num_bins=4, kind="autoregressive", linear="permutation", **k),
    "pyramid": lambda **k: tfp_glow.pyramid(
        IMAGE, num_levels=1, width=4, num_blocks=1, num_components=2, top_sizes=(8,), **k),
    "pyramid_couplings": lambda **k: tfp_glow.pyramid(
        IMAGE, num_levels=1, width=4, num_blocks=1, num_components=2, top_sizes=(8,), top="couplings",
        channels="shared", **k),
    "pixelcnn": lambda **k: tfp_glow.pixelcnn(
        IMAGE, width=4, num_blocks=1, num_components=2, head_size=4, first_kernel=3, **k),
    "jet": lambda **k: tfp_glow.jet(IMAGE, patch_size=2, depth=6, block_depth=1, width=4, num_heads=2, **k),
    "iaf": lambda **k: tfp_glow.iaf(5, num_layers=2, hidden_sizes=(8,), batch_norm=True, **k),
}


def events(distribution, batch=6, seed=0):
    rng = np.random.RandomState(seed)
    if distribution.event_shape.rank == 3:
        return rng.randint(0, 32, (batch, *distribution.event_shape)).astype("uint8")
    return rng.standard_normal((batch, *distribution.event_shape)).astype("float32")


def moved(distribution):
    """Adds noise to trainable variables, so that zero-initialized layers have an effect. Returns the distribution."""
    rng = np.random.RandomState(0)
    for variable in distribution.trainable_variables:
        variable.assign_add(0.1 * rng.standard_normal(variable.shape))
    return distribution


@contextlib.contextmanager
def eagerly():
    """Runs each `tf.function` eagerly in the body of a `with` statement.

    A few calls of a flow are faster so: most of the time of its first call is tracing.
    """
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Even though the `tf.config.experimental_run_functions_eagerly`")
            yield
    finally:
        tf.config.run_functions_eagerly(before)


def log_det_by_autodiff(function, value, *conditions):
    """Returns the log-determinants `[batch]` of the Jacobians of a function that maps each event by itself.

    Each event is copied as often as it has elements, and each copy has the gradient of one output. So one backward pass
    computes all rows of all Jacobians.
    """
    batch, size = value.shape[0], math.prod(value.shape[1:])
    copies, *conditions = (tf.repeat(tensor, size, axis=0) for tensor in (value, *conditions))
    with tf.GradientTape() as tape:
        tape.watch(copies)
        result = function(copies, *conditions)
    rows = tf.reshape(tf.tile(tf.eye(size, dtype=result.dtype), (batch, 1)), result.shape)
    jacobian = tf.convert_to_tensor(tape.gradient(result, copies, rows))
    return tf.linalg.slogdet(tf.reshape(jacobian, (batch, size, size)))[1]
