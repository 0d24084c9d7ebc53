# SPDX-License-Identifier: Apache-2.0
"""Tests of the elementwise transform `RationalQuadraticSpline` against NumPy, against TFP, and at its limits."""

import math

import numpy as np
import pytest
import scipy.optimize
import tensorflow as tf
import tensorflow_probability as tfp
from numpy_layers import spline_parts, spline_value

from tfp_glow import bijectors as tfgb
from tfp_glow.networks import MLP
from tfp_glow.transforms import RationalQuadraticSpline

SETTINGS = {
    "paper": {},
    "few_bins": {"num_bins": 2, "bound": 1.5},
    "minima": {"num_bins": 5, "bound": 4.0, "min_width": 0.05, "min_height": 0.02, "min_slope": 0.3},
    "circular": {"num_bins": 6, "bound": math.pi, "circular": True},
}


def reference(spline, y, raw):
    """Returns `g(y)`, computed with NumPy."""
    if spline.circular:
        y = (y + spline.bound) % (2 * spline.bound) - spline.bound
    elif abs(y) >= spline.bound:
        return y
    return spline_value(y, spline.bound, *parts_of(spline, raw))


def parts_of(spline, raw):
    """Returns the widths, heights and all slopes of one element, computed with NumPy."""
    return spline_parts(raw, spline.num_bins, spline.bound, spline.circular, spline.min_width, spline.min_height,
                        spline.min_slope)


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_matches_numpy_in_float64(name, scale):
    """The slopes come from central differences, the inverse from a search for the root."""
    spline, rng = RationalQuadraticSpline(**SETTINGS[name]), np.random.RandomState(0)
    y, raw = rng.uniform(-1.3, 1.3, 40) * spline.bound, scale * rng.standard_normal((40, spline.num_parameters))
    x, log_det = spline.inverse(tf.constant(y[:, None]), tf.constant(raw))
    expected = [reference(spline, *each) for each in zip(y, raw, strict=True)]
    np.testing.assert_allclose(x[:, 0], expected, atol=1e-9)
    slopes = [(reference(spline, a + 1e-7, r) - reference(spline, a - 1e-7, r)) / 2e-7
              for a, r in zip(y, raw, strict=True)]
    np.testing.assert_allclose(log_det[:, 0], np.log(slopes), atol=1e-3)
    back, back_log_det = spline.forward(tf.constant(x), tf.constant(raw))
    x = x.numpy()
    inside = np.abs(x[:, 0]) < 0.99 * spline.bound
    ends = -spline.bound, 0.9999 * spline.bound
    roots = [scipy.optimize.brentq(lambda a, b=b, r=r: reference(spline, a, r) - b, *ends, xtol=1e-12)
             for b, r in zip(x[inside, 0], raw[inside], strict=True)]
    np.testing.assert_allclose(back.numpy()[inside, 0], roots, atol=1e-6)
    np.testing.assert_allclose(back_log_det, -log_det, atol=1e-6)


def test_equals_the_spline_of_tfp():
    spline, rng = RationalQuadraticSpline(), np.random.RandomState(0)
    y, raw = rng.uniform(-4.0, 4.0, (500, 1)), 2.0 * rng.standard_normal((500, spline.num_parameters))
    widths, heights, slopes = map(np.array, zip(*(parts_of(spline, each) for each in raw), strict=True))
    theirs = tfp.bijectors.RationalQuadraticSpline(widths[:, None], heights[:, None], slopes[:, None, 1:-1],
                                                   range_min=np.float64(-3.0))
    x, log_det = spline.inverse(tf.constant(y), tf.constant(raw))
    np.testing.assert_allclose(x, theirs.forward(y), atol=1e-10)
    np.testing.assert_allclose(log_det, theirs.forward_log_det_jacobian(y), atol=1e-10)
    np.testing.assert_allclose(spline.forward(x, tf.constant(raw))[0], theirs.inverse(tf.identity(x)), atol=1e-7)


def test_parameter_j_of_element_i_is_at_j_times_size_plus_i():
    spline, rng = RationalQuadraticSpline(num_bins=3), np.random.RandomState(0)
    y, raw = rng.uniform(-3.0, 3.0, (5, 2)), rng.standard_normal((5, spline.num_parameters, 2))
    both = spline.inverse(tf.constant(y), tf.reshape(tf.constant(raw), (5, -1)))
    for i in (0, 1):
        one = spline.inverse(tf.constant(y[:, i:i + 1]), tf.constant(raw[..., i]))
        for received, expected in zip(both, one, strict=True):
            np.testing.assert_allclose(received[:, i:i + 1], expected, atol=1e-12)


@pytest.mark.parametrize("name", SETTINGS)
def test_starts_as_the_identity(name):
    spline = RationalQuadraticSpline(**SETTINGS[name])
    y = tf.linspace(-0.999 * spline.bound, 0.999 * spline.bound, 50)
    for function in (spline.inverse, spline.forward):
        value, log_det = function(y, tf.zeros(50 * spline.num_parameters))
        np.testing.assert_allclose(value, y, atol=2e-6)
        np.testing.assert_allclose(log_det, np.zeros(50), atol=2e-6)


def test_bins_and_slopes_have_the_minima_of_the_paper():
    """One width, one height and all slopes have very low parameters."""
    spline = RationalQuadraticSpline(num_bins=4, bound=2.0)
    raw = np.zeros(11)
    raw[0], raw[5], raw[8:] = -80.0, -80.0, -80.0
    raw = tf.constant(raw, tf.float64)
    first = -2.0 + 4.0 * 1e-3  # The end of the first bin. The heights there are 0.333 of the interval.
    x, log_det = spline.inverse(tf.constant([first], tf.float64), raw)
    np.testing.assert_allclose(x, [-2.0 + 4.0 * (1e-3 + (1 - 4e-3) / 3)], atol=1e-9)
    np.testing.assert_allclose(log_det, [np.log(1e-3)], atol=1e-9)
    second = first + 4.0 * (1e-3 + (1 - 4e-3) / 3)
    height = spline.inverse(tf.constant([second], tf.float64), raw)[0] - x
    np.testing.assert_allclose(height, [4e-3], atol=1e-9)


@pytest.mark.parametrize("circular", [False, True])
@pytest.mark.parametrize("scale", [1.0, 10.0, 100.0])
def test_values_and_gradients_are_finite_in_float32(circular, scale):
    """At the knots, at the bounds, and far outside; also for very steep and very flat bins."""
    spline, rng = RationalQuadraticSpline(circular=circular), np.random.RandomState(0)
    special = [-3.0, 3.0, np.nextafter(np.float32(3.0), 0), np.nextafter(np.float32(-3.0), -9), 0.0, 3.0001, 1e4]
    special += [] if circular else [1e30, -3e38]
    y = np.concatenate([special, rng.uniform(-3.0, 3.0, 20_000)])[:, None]
    raw = tf.constant(scale * rng.standard_normal((len(y), spline.num_parameters)), tf.float32)
    if scale == 1.0:  # All inner knots of one spline.
        widths = parts_of(spline, raw[0].numpy().astype("float64"))[0]
        y[:8, 0], raw = np.cumsum(widths) - 3.0, tf.concat([tf.repeat(raw[:1], 8, axis=0), raw[8:]], axis=0)
    value = tf.constant(y, tf.float32)
    for function in (spline.inverse, spline.forward):
        with tf.GradientTape() as tape:
            tape.watch([value, raw])
            result, log_det = function(value, raw)
            loss = tf.reduce_sum(result) + tf.reduce_sum(log_det)
        for tensor in (result, log_det, *tape.gradient(loss, [value, raw])):
            assert np.all(np.isfinite(tensor))
        if circular:
            assert np.all(result >= -3.0) and np.all(result <= 3.0)


def test_tails_are_the_identity():
    spline = RationalQuadraticSpline()
    y, raw = tf.constant([[3.0], [-3.0001], [1e4], [1e30], [-3e38]]), 9.0 * tf.random.stateless_normal((5, 23), (1, 2))
    for function in (spline.inverse, spline.forward):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch([y, raw])
            value, log_det = function(y, raw)
        np.testing.assert_array_equal(value, y)
        np.testing.assert_array_equal(log_det, np.zeros((5, 1)))
        np.testing.assert_array_equal(tape.gradient(value, y), np.ones((5, 1)))
        np.testing.assert_array_equal(tape.gradient([value, log_det], raw), np.zeros((5, 23)))


def test_round_trip_in_float32():
    spline, rng = RationalQuadraticSpline(), np.random.RandomState(0)
    y = tf.constant(rng.uniform(-3.5, 3.5, (20_000, 1)), tf.float32)
    raw = tf.constant(rng.standard_normal((20_000, spline.num_parameters)), tf.float32)
    x, log_det = spline.inverse(y, raw)
    back, back_log_det = spline.forward(x, raw)
    # The error of y is the rounding of x, divided by the slope.
    assert np.all(np.abs(back - y) < 2e-5 + 2e-6 * np.exp(-log_det))
    assert np.quantile(np.abs(back_log_det + log_det), 0.999) < 1e-3


def test_not_a_number_stays_not_a_number():
    for circular in (False, True):
        spline = RationalQuadraticSpline(circular=circular)
        for function in (spline.inverse, spline.forward):
            assert np.isnan(function(tf.constant([np.nan]), tf.zeros(spline.num_parameters))[0])


def test_circular_domain():
    spline, rng = RationalQuadraticSpline(5, np.pi, circular=True), np.random.RandomState(0)
    raw = tf.constant(rng.standard_normal((200, spline.num_parameters)))
    y = tf.constant(rng.uniform(-np.pi, np.pi, (200, 1)))
    expected = spline.inverse(y, raw)
    for turns in (-2, 1):
        for received, value in zip(spline.inverse(y + 2 * np.pi * turns, raw), expected, strict=True):
            np.testing.assert_allclose(received, value, atol=1e-9)
    ends = [tf.fill((200, 1), tf.constant(end, tf.float64)) for end in (-np.pi, np.pi - 1e-12)]
    first, last = (spline.inverse(end, raw)[1] for end in ends)
    np.testing.assert_allclose(first, last, atol=1e-6)
    assert np.std(first) > 0.1  # The slope at the bounds is learned.
    ticks = tf.constant(np.linspace(-np.pi, np.pi, 20_001)[:-1, None])
    np.testing.assert_allclose(np.mean(np.exp(spline.inverse(ticks, raw[:1])[1])), 1.0, rtol=1e-6)


def test_second_derivatives():
    """The derivative of the log-determinant with respect to y, against a finite difference."""
    spline, rng = RationalQuadraticSpline(), np.random.RandomState(0)
    raw, y = tf.constant(rng.standard_normal((30, 23))), tf.constant(rng.uniform(-2.9, 2.9, (30, 1)))
    for function in (spline.inverse, spline.forward):
        with tf.GradientTape() as outer:
            outer.watch(y)
            with tf.GradientTape() as inner:
                inner.watch(y)
                value, log_det = function(y, raw)
            slope = inner.gradient(value, y)
        np.testing.assert_allclose(tf.math.log(slope), log_det, atol=1e-9)
        second = outer.gradient(slope, y)
        sides = [tf.exp(function(y + step, raw)[1]) for step in (1e-6, -1e-6)]
        np.testing.assert_allclose(second, (sides[0] - sides[1]) / 2e-6, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("arguments", "message"), [
    ({"num_bins": 1}, "`num_bins` must be an integer of at least 2; received 1"),
    ({"bound": 0.0}, "`bound` must be positive and finite; received 0.0"),
    ({"bound": math.inf}, "`bound` must be positive and finite"),
    ({"circular": 1}, "`circular` must be True or False; received 1"),
    ({"min_width": 0.125}, r"`min_width` must be between 0 and 1 / num_bins = 0.125; received 0.125"),
    ({"min_height": 0.0}, "`min_height`"),
    ({"min_slope": 1.0}, "`min_slope` must be between 0 and 1; received 1.0"),
])
def test_wrong_arguments_raise(arguments, message):
    with pytest.raises(ValueError, match=message):
        RationalQuadraticSpline(**arguments)


def test_elementwise_transforms_the_first_elements():
    spline = RationalQuadraticSpline(4)
    bijector = tfgb.Elementwise((3,), spline, num_changed=2, dtype="float64")
    raw = np.random.RandomState(0).standard_normal(bijector.raw.shape)
    bijector.raw.assign(raw)
    y = tf.constant([[0.5, -1.0, 2.0], [2.5, 7.0, 0.1]], tf.float64)
    x, log_det = bijector.inverse_and_log_det(y)
    expected, parts = spline.inverse(y[:, :2], tf.constant(np.tile(raw, (2, 1))))
    np.testing.assert_allclose(x, tf.concat([expected, y[:, 2:]], axis=-1), atol=1e-12)
    np.testing.assert_allclose(log_det, tf.reduce_sum(parts, axis=-1), atol=1e-12)
    for number in (0, 4):
        with pytest.raises(ValueError, match=f"`num_changed` must be .*received {number}"):
            tfgb.Elementwise((3,), spline, num_changed=number)


def test_a_coupling_names_the_outputs_that_a_spline_requires():
    with pytest.raises(ValueError, match=r"outputs of shape \(46,\); received a network with outputs of shape \(2,\)"):
        tfgb.Coupling((4,), MLP(2), RationalQuadraticSpline())
