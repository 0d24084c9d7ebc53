# SPDX-License-Identifier: Apache-2.0
"""`DenseConv1x1`: the invertible 1x1 convolution whose parameters are the entries of its matrix.

Determinant and inverse come from the factors `W = Q R` of a QR decomposition, with `Q` orthogonal and `R` upper
triangular: `log |det W| = sum_k log |R_kk|`, and `W^-1 = R^-1 Q^T`. `tf.linalg.slogdet` has no kernel for XLA, and
`tf.linalg.inv` raises an error for singular matrices on CPUs.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from tfp_glow._checks import check_shape
from tfp_glow._types import DTypeLike, SeedLike, ShapeLike
from tfp_glow.bijectors._stacking import constant_initializer
from tfp_glow.bijectors.channel_affine import ChannelAffine, ChannelMap, Read
from tfp_glow.bijectors.invertible_conv import random_rotation


class DenseConv1x1(ChannelAffine):
    """Multiplies the channels of every pixel by a learned matrix `W`, whose entries are the parameters.

    `W` is `[C, C]` for `C` channels and starts as a random rotation. At each of the `N` pixels (1 for a vector):

    * inverse: `x = W y`, log-determinant `N * log |det W|`;
    * forward: `y = W^-1 x`, log-determinant `-N * log |det W|`.

    Determinant and inverse cost `O(C**3)` once per pass, not per pixel. Training can make `W` singular. If `W` is
    singular to working precision, its log-determinant is `-inf`, and `forward` and gradients return NaN. Use this class
    for comparisons only: `InvertibleConv1x1` computes the log-determinant as a sum of parameters and is never singular.

    Args:
      shape: event shape, `(height, width, channels)` or `(size,)`.
      seed: an int or a `keras.random.SeedGenerator` for the random rotation. None (the default) means Keras's global
        seed.
      dtype: float32 (the default) or float64, of events and parameters.
      validate_args: a bool, passed to `tfb.Bijector`. The default is False.
      name: name of the bijector.

    Raises:
      ValueError: if `shape` has neither 1 nor 3 positive sizes, or `dtype` is neither float32 nor float64.

    References:
      Kingma and Dhariwal, *Glow*, 2018, section 3.2, equation 9.

    Example:

    >>> conv = tfp_glow.bijectors.DenseConv1x1((4, 4, 3), seed=1)
    >>> conv.inverse(tf.zeros((2, 4, 4, 3))).shape
    TensorShape([2, 4, 4, 3])
    """

    def __init__(self, shape: ShapeLike, seed: SeedLike = None, dtype: DTypeLike = "float32",
                 validate_args: bool = False, name: str = "dense_conv1x1"):
        parameters = dict(locals())
        shape = check_shape("shape", shape, ranks=(1, 3))
        super().__init__(shape, dtype=dtype, validate_args=validate_args, parameters=parameters, name=name)
        size = shape[-1]
        self.weight = self._add_parameter("weight", (size, size), constant_initializer(random_rotation(size, seed)))

    def _inverse_map(self, read: Read) -> ChannelMap:
        weight = read(self.weight)
        # Pixels are rows: `x^T = y^T W^T`.
        return ChannelMap(tf.linalg.matrix_transpose(weight), None, _log_abs_det(weight))

    def _forward_map(self, read: Read) -> ChannelMap:
        weight = read(self.weight)
        return ChannelMap(tf.linalg.matrix_transpose(_inverse(weight)), None, -_log_abs_det(weight))


def _factors(matrix: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Computes `Q`, `R` and the diagonal of `R`, with 0 in the place of each element that consists of rounding errors.

    Such an element is as small as the rounding errors of its column of `R`. The matrix is then singular to working
    precision.

    Args:
      matrix: square matrices, `[..., C, C]`.
    """
    q, r = tf.linalg.qr(matrix)
    diagonal = tf.linalg.diag_part(r)
    rounding = matrix.shape[-1] * np.finfo(matrix.dtype.as_numpy_dtype).eps * tf.reduce_max(tf.abs(r), axis=-2)
    return q, r, tf.where(tf.abs(diagonal) <= rounding, tf.zeros_like(diagonal), diagonal)


@tf.custom_gradient
def _log_abs_det(matrix: tf.Tensor) -> Any:
    """Computes `log |det W|` of matrices `W`, `[..., C, C]`. Its gradient is the transpose of `W^-1`."""
    def gradient(d_log_det: tf.Tensor) -> tf.Tensor:
        return d_log_det[..., tf.newaxis, tf.newaxis] * tf.linalg.matrix_transpose(_inverse(matrix))

    return tf.reduce_sum(tf.math.log(tf.abs(_factors(matrix)[2])), axis=-1), gradient


def _inverse(matrix: tf.Tensor) -> tf.Tensor:
    """Computes the inverses of matrices `[..., C, C]`. All elements of the inverse of a singular matrix are NaN."""
    q, r, diagonal = _factors(matrix)
    is_singular = tf.reduce_any(diagonal == 0.0, axis=-1, keepdims=True)
    solvable = tf.where(is_singular, tf.constant(np.nan, diagonal.dtype), diagonal)
    return tf.linalg.triangular_solve(tf.linalg.set_diag(r, solvable), tf.linalg.matrix_transpose(q), lower=False)
