# SPDX-License-Identifier: Apache-2.0
"""Compares the determinant and the inverse of `DenseConv1x1` with `tf.linalg.slogdet` and `tf.linalg.inv`."""

import numpy as np
import pytest
import tensorflow as tf

from tfp_glow import bijectors as tfgb
from tfp_glow.bijectors.dense_conv import _inverse, _log_abs_det

TOLERANCES = {"float32": 1e-6, "float64": 1e-12}


def draws(shape, dtype, seed=0):
    return tf.constant(np.random.RandomState(seed).standard_normal(shape), dtype)


def well_conditioned(shape, dtype):
    """Random matrices whose singular values lie between 1/2 and 2."""
    u, _, v = np.linalg.svd(np.random.RandomState(0).standard_normal(shape))
    return tf.constant(u * np.linspace(0.5, 2.0, shape[-1]) @ v, dtype)


@pytest.mark.parametrize(("jit_compile", "shapes"), [
    (False, [(1, 1), (3, 12, 12), (2, 2, 4, 4), (2, 48, 48)]), (True, [(2, 4, 4)])], ids=["kernels", "xla"])
@pytest.mark.parametrize("dtype", TOLERANCES)
def test_determinant_inverse_and_gradients_equal_those_of_lu(dtype, jit_compile, shapes):
    @tf.function(jit_compile=jit_compile)
    def ours(matrix, weight, weights):
        with tf.GradientTape() as tape:
            tape.watch(matrix)
            loss = tf.reduce_sum(weight * _log_abs_det(matrix)) + tf.reduce_sum(weights * _inverse(matrix))
        return _log_abs_det(matrix), _inverse(matrix), tape.gradient(loss, matrix)

    for shape in shapes:
        matrix = well_conditioned(shape, dtype)
        weight, weights = draws(shape[:-2], dtype, 1), draws(shape, dtype, 2)
        with tf.GradientTape() as tape:
            tape.watch(matrix)
            log_det, inverse = tf.linalg.slogdet(matrix).log_abs_determinant, tf.linalg.inv(matrix)
            loss = tf.reduce_sum(weight * log_det) + tf.reduce_sum(weights * inverse)
        expected = log_det, inverse, tape.gradient(loss, matrix)
        tolerances = np.array([1.0, 10.0, 20.0]) * TOLERANCES[dtype]
        for received, value, tolerance in zip(ours(matrix, weight, weights), expected, tolerances, strict=True):
            np.testing.assert_allclose(received, value, rtol=tolerance, atol=tolerance * np.abs(value).max())


def test_second_derivatives_and_forward_derivatives():
    matrix = well_conditioned((3, 3), "float64")
    hessians = []
    for log_det in (_log_abs_det, lambda m: tf.linalg.slogdet(m).log_abs_determinant):
        with tf.GradientTape() as outer:
            outer.watch(matrix)
            with tf.GradientTape() as inner:
                inner.watch(matrix)
                value = log_det(matrix)
            gradient = inner.gradient(value, matrix)
        hessians.append(outer.jacobian(gradient, matrix))
    np.testing.assert_allclose(*hessians, atol=1e-12)
    with tf.autodiff.ForwardAccumulator(matrix, tf.ones_like(matrix)) as accumulator:
        value = _log_abs_det(matrix)
    np.testing.assert_allclose(accumulator.jvp(value), np.linalg.inv(matrix).sum(), atol=1e-12)


@pytest.mark.parametrize("dtype", TOLERANCES)
def test_matrices_of_extreme_scale_are_not_singular(dtype):
    matrix = tf.constant([[1e-30, 0.0], [0.0, 1e30]], dtype)
    np.testing.assert_allclose(_log_abs_det(matrix), 0.0, atol=1e-4)
    np.testing.assert_allclose(_inverse(matrix), [[1e30, 0.0], [0.0, 1e-30]], rtol=1e-6)


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("matrix", [np.zeros((3, 3)), np.ones((3, 3)), np.diag([1.0, 0.0, 2.0]),
                                    [[0.1, 0.2], [0.3, 0.6]], [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]])
def test_singular_matrices_have_no_density(matrix, dtype):
    """No error ends a training: its step is skipped, because neither the loss nor the gradient is finite."""
    conv = tfgb.DenseConv1x1((2, 2, len(matrix)), dtype=dtype)
    conv.weight.assign(matrix)
    with tf.GradientTape() as tape:
        latents, log_det = conv.inverse_and_log_det(tf.ones((2, 2, 2, len(matrix)), dtype))
        loss = -tf.reduce_sum(log_det)
    np.testing.assert_array_equal(log_det, -np.inf)
    assert np.isfinite(latents).all()
    assert np.isnan(tape.gradient(loss, conv.trainable_variables[0])).any()
    assert np.isnan(conv.forward(latents)).all()
