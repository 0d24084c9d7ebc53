# SPDX-License-Identifier: Apache-2.0
"""Tests of the elementwise transform `LogisticMixtureCDF` and of `tfp_glow.glow(coupling="mixture")`."""

import numpy as np
import pytest
import scipy.special
import tensorflow as tf

import tfp_glow
from tfp_glow.transforms import LogisticMixtureCDF


def reference(number, y, raw):
    """Evaluates the inverse of one element with NumPy."""
    shift, raw_scale, logits, mean, raw_log_scale = np.split(raw, [1, 2, 2 + number, 2 + 2 * number])
    weights = scipy.special.softmax(logits)
    mean = mean + scipy.special.logit((np.arange(number) + 0.5) / number)
    scale = np.exp(-7.0 + np.log1p(np.exp(raw_log_scale + 6.5)))
    cdf, rest = (np.sum(weights * scipy.special.expit(sign * (y - mean) / scale)) for sign in (1.0, -1.0))
    return float((np.log(cdf) - np.log(rest)) * np.exp(np.tanh(raw_scale[0])) + shift[0])


@pytest.mark.parametrize("number", [1, 3])
def test_matches_numpy_in_float64(number):
    transform, rng = LogisticMixtureCDF(number), np.random.RandomState(0)
    y, raw = 2.0 * rng.standard_normal(40), rng.standard_normal((40, transform.num_parameters))
    x, log_det = transform.inverse(tf.constant(y[:, None]), tf.constant(raw))
    np.testing.assert_allclose(x[:, 0], [reference(number, *each) for each in zip(y, raw, strict=True)], rtol=1e-9)
    slopes = [(reference(number, a + 1e-6, r) - reference(number, a - 1e-6, r)) / 2e-6
              for a, r in zip(y, raw, strict=True)]
    np.testing.assert_allclose(log_det[:, 0], np.log(slopes), atol=1e-5)
    back, back_log_det = transform.forward(x, tf.constant(raw))
    np.testing.assert_allclose(back[:, 0], y, atol=1e-9)
    np.testing.assert_allclose(back_log_det, -log_det, atol=1e-8)


def test_parameter_j_of_element_i_is_at_j_times_size_plus_i():
    transform, rng = LogisticMixtureCDF(2), np.random.RandomState(0)
    y, raw = rng.standard_normal((1, 3)), rng.standard_normal((1, 3 * transform.num_parameters))
    x = transform.inverse(tf.constant(y), tf.constant(raw))[0].numpy()
    for i in range(3):
        assert x[0, i] == pytest.approx(reference(2, y[0, i], raw[0, i::3]))


def test_is_nearly_linear_at_the_start():
    transform = LogisticMixtureCDF(4)
    y = np.linspace(-3.0, 3.0, 25, dtype=np.float32)[:, None]
    x, log_det = transform.inverse(tf.constant(y), tf.zeros((25, transform.num_parameters)))
    assert np.abs(np.polyfit(y[:, 0], x.numpy()[:, 0], 1)[0] - 1.0) < 0.25 and np.abs(log_det).max() < 0.6


@pytest.mark.parametrize("far", [30.0, 1e4])
def test_single_precision_far_from_the_components_and_between_them(far):
    """Sharp and distant components: values, log-determinants and gradients are finite, and the round trip holds."""
    transform, rng = LogisticMixtureCDF(3), np.random.RandomState(1)
    raw = (4.0 * rng.standard_normal((200, transform.num_parameters))).astype(np.float32)
    y = rng.uniform(-far, far, (200, 1)).astype(np.float32)
    with tf.GradientTape() as tape:
        inputs = tf.constant(y), tf.constant(raw)
        tape.watch(inputs)
        x, log_det = transform.inverse(*inputs)
        back, back_log_det = transform.forward(x, inputs[1])
        total = tf.reduce_sum(tf.math.tanh(x) + log_det + tf.math.tanh(back) + back_log_det)
    for value in (x, log_det, back_log_det, *tape.gradient(total, inputs)):
        assert np.all(np.isfinite(value))
    again = transform.inverse(back, tf.constant(raw))[0].numpy()
    slope = np.exp(np.minimum(log_det.numpy(), 60.0))
    assert np.all(np.abs(again - x) <= 1e-5 * (np.abs(x) + 1.0) + 3e-6 * slope * (np.abs(y) + 1.0))


def test_gradients_of_forward_are_those_of_the_implicit_function():
    transform, rng = LogisticMixtureCDF(3), np.random.RandomState(0)
    x, raw = (tf.constant(each) for each in (
        rng.standard_normal((4, 2)), 0.5 * rng.standard_normal((4, 2 * transform.num_parameters))))

    def output(x, raw):
        y, log_det = transform.forward(x, raw)
        return tf.reduce_sum(y * tf.constant([1.0, 2.0], tf.float64) + tf.sin(log_det))

    theirs, ours = tf.test.compute_gradient(tf.function(output), [x, raw], delta=1e-5)
    for a, b in zip(theirs, ours, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_glow_with_mixtures():
    flow = tfp_glow.glow((4, 4, 1), 1, 2, 8, coupling="mixture", num_components=2, seed=0)
    rng = np.random.RandomState(0)
    for variable in flow.trainable_variables:
        variable.assign_add(0.1 * rng.standard_normal(variable.shape))
    images = rng.randint(0, 256, (3, 4, 4, 1)).astype(np.float32) + 0.5
    np.testing.assert_allclose(flow.bijector.forward(tf.identity(flow.bijector.inverse(images))), images, atol=0.02)
    restored = tfp_glow.flows.config_from_dict(tfp_glow.flows.config_to_dict(tfp_glow.flows.config_of(flow)))
    assert restored == tfp_glow.flows.config_of(flow) and flow.sample(2).shape == (2, 4, 4, 1)
    with pytest.raises(ValueError, match="`num_components` must be an integer of at least 1; received 0"):
        tfp_glow.glow((4, 4, 1), 1, 2, 8, coupling="mixture", num_components=0)
