# SPDX-License-Identifier: Apache-2.0
"""The ranges of the log-scales of `Affine`, and the number of parameters that each transform requires."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tfp_glow.transforms import Additive, Affine, LogisticMixture, LogisticMixtureCDF, RationalQuadraticSpline

RAW = [-50.0, 0.0, 50.0]


@pytest.mark.parametrize(("scale", "log_scales"), [
    ("tanh", [-1.0, 0.0, 1.0]), ("exp", RAW), ("sigmoid", [48.0, math.log1p(math.exp(-2.0)), 0.0]),
    ("double_sigmoid", [50.0 - math.log(2.0), 0.0, -math.log(2.0)])])
def test_log_scales_of_extreme_outputs_of_a_network(scale, log_scales):
    shift, x = [1.0, -2.0, 3.0], np.float64([0.5, 2.0, -1.5])
    y, log_det = Affine(scale).forward(tf.constant(x), tf.constant([*shift, *RAW], tf.float64))
    np.testing.assert_allclose(log_det, log_scales, atol=1e-12)
    np.testing.assert_allclose(y, x * np.exp(log_scales) + shift)
    back, inverse_log_det = Affine(scale).inverse(y, tf.constant([*shift, *RAW], tf.float64))
    np.testing.assert_allclose(inverse_log_det, -log_det)
    np.testing.assert_allclose(back[1], x[1])


@pytest.mark.parametrize("transform", [
    Additive(), Affine("exp"), LogisticMixture(2), LogisticMixtureCDF(2), RationalQuadraticSpline(4)],
    ids=lambda transform: type(transform).__name__)
def test_parameters_of_another_number_of_elements_raise(transform):
    """TensorFlow would broadcast one element's parameters to all."""
    for method in (transform.forward, transform.inverse):
        with pytest.raises(ValueError, match=rf"`raw` must have {transform.num_parameters} \* 5 numbers .* for 5 elem"):
            method(tf.zeros((3, 5)), tf.zeros((3, transform.num_parameters)))
