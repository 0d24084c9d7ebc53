# SPDX-License-Identifier: Apache-2.0
"""Flatten: an image as a vector."""

import math

import tensorflow as tf

from tfp_glow._checks import check_shape
from tfp_glow.bijectors.flow_bijector import FlowBijector


class Flatten(FlowBijector):
    """Turns an image into a vector, row by row with the channels of a pixel side by side.

    * inverse: `x[(i * W + j) * C + c] = y[i, j, c]`; forward: the same read backwards. The log-det is 0.

    Args:
      shape: event shape on the image side, `(height, width, channels)`.
      dtype: float32 or float64, of events.
      validate_args: passed to `tfb.Bijector`.
      name: name of the bijector.

    Raises:
      ValueError: if `shape` or `dtype` is not as said.

    >>> Flatten((4, 4, 3)).inverse(tf.zeros((2, 4, 4, 3))).shape
    TensorShape([2, 48])
    """

    def __init__(self, shape, dtype="float32", validate_args=False, name="flatten"):
        parameters = dict(locals())
        shape = check_shape("shape", shape, ranks=(3,))
        super().__init__(shape, (math.prod(shape),), dtype=dtype, is_constant_jacobian=True,
                         validate_args=validate_args, parameters=parameters, name=name)

    _is_permutation = True

    def _inverse_and_log_det(self, y, **conditions):
        return tf.reshape(y, tf.concat([tf.shape(y)[:-3], self.latent_shape], axis=0)), tf.zeros([], self.dtype)

    def _forward_and_log_det(self, x, **conditions):
        return tf.reshape(x, tf.concat([tf.shape(x)[:-1], self.event_shape], axis=0)), tf.zeros([], self.dtype)
