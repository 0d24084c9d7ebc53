# SPDX-License-Identifier: Apache-2.0
"""`InvertibleConv1x1`: the invertible 1x1 convolution of Glow in the LU parametrization."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from tfp_glow._checks import check_order, check_shape
from tfp_glow._types import DTypeLike, SeedLike, ShapeLike
from tfp_glow.bijectors._stacking import constant_initializer
from tfp_glow.bijectors.channel_affine import ChannelAffine, ChannelMap, Read, exact_matmul


class InvertibleConv1x1(ChannelAffine):
    """Multiplies the `C` channels of every pixel by a learned invertible matrix `W`.

    `W = P L (U + diag(sign * exp(log_abs)))`, where

    * `P` is a permutation matrix and `sign` is a vector of signs, both fixed;
    * `L` is unit lower triangular, `U` is strictly upper triangular, and `log_abs` is a vector. The learned parameter
      `packed`, `[C, C]`, holds `L` below its diagonal, `U` above its diagonal and `log_abs` on its diagonal.

    At the start, `W` is a random rotation, or the permutation `order`. At each of the `N` pixels (1 for a vector):

    * inverse: `x = W y`, log-determinant `N * sum(log_abs)`;
    * forward: `y = W^-1 x`, log-determinant `-N * sum(log_abs)`.

    `W^-1` is computed by two triangular solves once per pass, not per pixel.

    Args:
      shape: event shape, `(height, width, channels)` or `(size,)`.
      seed: an int or a `keras.random.SeedGenerator` for the random rotation. None (the default) means Keras's global
        seed.
      dtype: float32 (the default) or float64, of events and parameters.
      validate_args: a bool, passed to `tfb.Bijector`. The default is False.
      name: name of the bijector.
      order: a sequence of ints, a permutation of `range(C)`. `W` then starts as this permutation, `x[..., j] =
        y[..., order[j]]`, and `seed` is not used. None (the default) means a random rotation.

    Raises:
      ValueError: if `shape` has neither 1 nor 3 positive sizes, `order` is no permutation of the channels, or `dtype`
        is neither float32 nor float64.

    References:
      Kingma and Dhariwal, *Glow*, 2018, section 3.2; Durkan, Bekasov, Murray and Papamakarios, *Neural spline flows*,
      2019, section 3.2, for the start as a permutation.

    Example:

    >>> conv = tfp_glow.bijectors.InvertibleConv1x1((4, 4, 3), seed=1)
    >>> conv.inverse(tf.zeros((2, 4, 4, 3))).shape
    TensorShape([2, 4, 4, 3])
    """

    def __init__(self, shape: ShapeLike, seed: SeedLike = None, dtype: DTypeLike = "float32",
                 validate_args: bool = False, name: str = "invertible_conv1x1",
                 order: Sequence[int] | np.ndarray | None = None):
        parameters = dict(locals())
        shape = check_shape("shape", shape, ranks=(1, 3))
        super().__init__(shape, dtype=dtype, validate_args=validate_args, parameters=parameters, name=name)
        size = shape[-1]
        if order is None:
            permutation, lower, upper, diagonal = _random_rotation_lu(size, seed)
        else:
            identity = np.eye(size)
            permutation, lower, upper, diagonal = (
                identity[check_order("order", order, size)], identity, identity, np.ones(size))
        packed = np.tril(lower, -1) + np.triu(upper, 1) + np.diag(np.log(np.abs(diagonal)))
        self.packed = self._add_parameter("packed", (size, size), constant_initializer(packed))
        self.sign = self._add_parameter("sign", (size,), constant_initializer(np.sign(diagonal)), trainable=False)
        self.permutation = self._add_parameter("permutation", (size, size), constant_initializer(permutation),
                                               trainable=False)

    def _factors(self, read: Read) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Computes `L`, `U + diag(sign * exp(log_abs))` and `sum(log_abs)`."""
        packed = read(self.packed)
        log_abs = tf.linalg.diag_part(packed)
        lower = tf.linalg.set_diag(tf.linalg.band_part(packed, -1, 0), tf.ones_like(log_abs))
        diagonal = read(self.sign) * tf.exp(log_abs)
        upper = tf.linalg.set_diag(tf.linalg.band_part(packed, 0, -1), diagonal)
        return lower, upper, tf.reduce_sum(log_abs, axis=-1)

    def _inverse_map(self, read: Read) -> ChannelMap:
        lower, upper, log_det = self._factors(read)
        weight = exact_matmul(read(self.permutation), exact_matmul(lower, upper))
        # Pixels are rows: `x^T = y^T W^T`.
        return ChannelMap(tf.linalg.matrix_transpose(weight), None, log_det)

    def _forward_map(self, read: Read) -> ChannelMap:
        lower, upper, log_det = self._factors(read)
        unpermute = tf.linalg.matrix_transpose(read(self.permutation))
        inverse = tf.linalg.triangular_solve(
            upper, tf.linalg.triangular_solve(lower, unpermute, lower=True), lower=False)
        return ChannelMap(tf.linalg.matrix_transpose(inverse), None, -log_det)


def random_rotation(size: int, seed: SeedLike) -> np.ndarray:
    """Returns a random rotation, a float64 array `[size, size]`.

    Args:
      size: number of rows and of columns, an int.
      seed: an int or a `keras.random.SeedGenerator`, or None for Keras's global seed.
    """
    noise = keras.random.normal((size, size), seed=seed, dtype="float32")
    return np.linalg.qr(keras.ops.convert_to_numpy(noise).astype(np.float64))[0]


def _random_rotation_lu(size: int, seed: SeedLike) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns the LU factors `P`, `L`, `U` of a random rotation and the diagonal of `U`, as float64 arrays."""
    with tf.init_scope():
        packed, order = (t.numpy() for t in tf.linalg.lu(tf.constant(random_rotation(size, seed))))
    permutation = np.eye(size)[:, order]
    return permutation, np.tril(packed, -1) + np.eye(size), np.triu(packed), np.diag(packed)
