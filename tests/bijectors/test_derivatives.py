# SPDX-License-Identifier: Apache-2.0
"""Derivatives under any combination of tapes and forward accumulators, whatever the cache holds."""

import numpy as np
import pytest
import tensorflow as tf
from small_flows import SMALL_FLOWS, events, moved

import tfp_glow
from tfp_glow import bijectors as tfgb
from tfp_glow.networks import MLP

FLOWS = {name: SMALL_FLOWS[name] for name in ("realnvp_vector", "glow", "maf")}
FLOWS["reversible"] = lambda **k: tfp_glow.glow((4, 4, 1), 1, 2, 4, backprop="reversible", **k)


@pytest.fixture(scope="module", params=FLOWS)
def flow_and_points(request):
    flow = moved(FLOWS[request.param](dtype="float64"))
    return flow, tf.constant(events(flow) + 0.5, tf.float64)


def small_flow():
    coupling = tfgb.AffineCoupling((4,), MLP(4, (6,), "tanh", dtype="float64"), scale="exp", dtype="float64")
    return moved(tfgb.Steps([tfgb.ActNorm((4,), dtype="float64"), coupling])), tf.random.normal((3, 4), dtype="float64")


def change_along(function, x, direction, step=1e-5):
    """The central difference of `function` at `x`."""
    return (function(x + step * direction) - function(x - step * direction)) / (2.0 * step)


def test_forward_accumulators_compute_the_derivative_of_log_prob(flow_and_points):
    flow, x = flow_and_points
    direction = tf.random.stateless_normal(x.shape, (1, 2), dtype=tf.float64)
    expected = change_along(flow.log_prob, x, direction)
    kept = flow.bijector.inverse(x)  # The accumulator must not meet this pass, which it did not record.
    with tf.autodiff.ForwardAccumulator(x, direction) as accumulator:
        log_prob = flow.log_prob(x)
        latents = flow.bijector.inverse(x)
    np.testing.assert_allclose(accumulator.jvp(log_prob), expected, rtol=1e-6, atol=1e-6)
    assert kept is not None and np.any(accumulator.jvp(latents) != 0.0)


def test_a_forward_accumulator_of_a_variable():
    bijector, x = small_flow()
    variable = bijector.trainable_variables[-1]
    direction = tf.ones_like(variable)
    kept = bijector.inverse(x)
    with tf.autodiff.ForwardAccumulator(variable, direction) as accumulator:
        log_det = bijector.inverse_log_det_jacobian(x)
    start = tf.identity(variable)

    def log_det_at(value):
        variable.assign(value)
        return bijector.inverse_log_det_jacobian(tf.identity(x))

    np.testing.assert_allclose(
        accumulator.jvp(log_det), change_along(log_det_at, start, direction), rtol=1e-6, atol=1e-8)
    assert kept is not None


def test_a_bijector_without_variables_under_an_accumulator():
    pixels = tfgb.LogitPixels((2,), dtype="float64")
    x = tf.constant([[3.0, 200.0]], tf.float64)
    kept = pixels.inverse(x)
    with tf.autodiff.ForwardAccumulator(x, tf.ones_like(x)) as accumulator:
        log_det = pixels.inverse_log_det_jacobian(x)
    assert kept is not None and float(accumulator.jvp(log_det)[0]) != 0.0


def test_hessian_vector_products_forward_over_reverse_and_reverse_over_reverse():
    bijector, x = small_flow()
    direction = tf.random.normal(x.shape, dtype=tf.float64)

    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(bijector.inverse_log_det_jacobian(x) + tf.reduce_sum(bijector.inverse(x)**2, axis=-1))
        return tape.gradient(loss, x)

    with tf.autodiff.ForwardAccumulator(x, direction) as accumulator:
        first_order = gradient(x)
    expected = change_along(gradient, x, direction)
    np.testing.assert_allclose(accumulator.jvp(first_order), expected, rtol=1e-5, atol=1e-7)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        first_order = gradient(x)
    hessians = tape.batch_jacobian(first_order, x)
    np.testing.assert_allclose(tf.linalg.matvec(hessians, direction), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("persistent", [False, True])
def test_an_inner_tape_records_a_pass_that_an_outer_tape_has_cached(persistent):
    bijector, x = small_flow()
    with tf.GradientTape() as reference:
        log_det = tf.reduce_sum(bijector.inverse_log_det_jacobian(tf.identity(x)))
    expected = reference.gradient(log_det, bijector.trainable_variables)
    with tf.GradientTape(persistent=persistent):
        kept = bijector.inverse(x)
        with tf.GradientTape() as inner:
            log_det = tf.reduce_sum(bijector.inverse_log_det_jacobian(x))
    for received, value in zip(inner.gradient(log_det, bijector.trainable_variables), expected, strict=True):
        np.testing.assert_allclose(received, value, atol=1e-12)
    assert kept is not None


def test_tapes_that_watch_only_what_they_are_told():
    bijector, x = small_flow()
    variable = bijector.trainable_variables[-1]
    kept = bijector.inverse(x)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(variable)
        log_det = tf.reduce_sum(bijector.inverse_log_det_jacobian(x))
    assert kept is not None and np.any(tape.gradient(log_det, variable) != 0.0)
    with tf.GradientTape(watch_accessed_variables=False):
        np.testing.assert_allclose(tf.reduce_sum(bijector.inverse_log_det_jacobian(x)), log_det)
    with tf.GradientTape() as tape, tape.stop_recording():
        np.testing.assert_allclose(tf.reduce_sum(bijector.inverse_log_det_jacobian(x)), log_det)


def test_batch_jacobians_and_vectorized_map_agree_with_the_log_det():
    bijector, x = small_flow()
    with tf.GradientTape() as tape:
        tape.watch(x)
        latents = bijector.inverse(x)
    log_det = bijector.inverse_log_det_jacobian(x)
    np.testing.assert_allclose(np.linalg.slogdet(tape.batch_jacobian(latents, x))[1], log_det, atol=1e-10)
    np.testing.assert_allclose(tf.vectorized_map(bijector.inverse_log_det_jacobian, x), log_det, atol=1e-12)
