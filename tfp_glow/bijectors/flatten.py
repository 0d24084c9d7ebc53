# SPDX-License-Identifier: Apache-2.0
"""`Flatten`: reshapes an image to a vector."""

import math
from typing import Any

import tensorflow as tf

from tfp_glow._checks import check_shape
from tfp_glow._compat_tfp import permutation
from tfp_glow._types import DTypeLike, ShapeLike
from tfp_glow.bijectors.flow_bijector import FlowBijector


@permutation
class Flatten(FlowBijector):
    """Reshapes latent vectors to images in data space; `inverse` flattens an image, channels fastest, then columns.

    With image `y` of shape `(H, W, C)` and vector `x` of size `H * W * C`:

    * inverse: `x[(i * W + j) * C + c] = y[i, j, c]`;
    * forward: `y[i, j, c] = x[(i * W + j) * C + c]`.

    The log-determinant is 0.

    Args:
      shape: event shape on the data side, `(height, width, channels)`.
      dtype: float32 (the default) or float64, of events.
      validate_args: a bool, passed to `tfb.Bijector`. The default is False.
      name: name of the bijector.

    Raises:
      ValueError: if `shape` does not have 3 positive sizes, or `dtype` is neither float32 nor float64.

    Example:

    >>> tfp_glow.bijectors.Flatten((4, 4, 3)).inverse(tf.zeros((2, 4, 4, 3))).shape
    TensorShape([2, 48])
    """

    def __init__(self, shape: ShapeLike, dtype: DTypeLike = "float32", validate_args: bool = False,
                 name: str = "flatten"):
        parameters = dict(locals())
        shape = check_shape("shape", shape, ranks=(3,))
        super().__init__(shape, (math.prod(shape),), dtype=dtype, is_constant_jacobian=True,
                         validate_args=validate_args, parameters=parameters, name=name)

    def _inverse_and_log_det(self, y: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.reshape(y, tf.concat([tf.shape(y)[:-3], self.latent_shape], axis=0)), tf.zeros([], self.dtype)

    def _forward_and_log_det(self, x: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.reshape(x, tf.concat([tf.shape(x)[:-1], self.event_shape], axis=0)), tf.zeros([], self.dtype)
