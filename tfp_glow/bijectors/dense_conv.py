# SPDX-License-Identifier: Apache-2.0
"""`DenseConv1x1`: the invertible 1x1 convolution whose parameters are the entries of its matrix."""

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

    Determinant and inverse cost `O(C**3)` once per pass, not per pixel. Training can make `W` singular. Use this class
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
        return ChannelMap(tf.linalg.matrix_transpose(weight), None, tf.linalg.slogdet(weight).log_abs_determinant)

    def _forward_map(self, read: Read) -> ChannelMap:
        weight = read(self.weight)
        inverse = tf.linalg.inv(weight)
        return ChannelMap(tf.linalg.matrix_transpose(inverse), None, -tf.linalg.slogdet(weight).log_abs_determinant)
