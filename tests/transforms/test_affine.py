# SPDX-License-Identifier: Apache-2.0
"""The ranges of the log-scales of `Affine`: which of them are bounded, and on which side."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tfp_glow.transforms import Affine

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
