# SPDX-License-Identifier: Apache-2.0
"""`Scale`: a learned positive factor per channel, the scaling of NICE."""

import tensorflow as tf

from tfp_glow._checks import check_shape
from tfp_glow._types import DTypeLike, ShapeLike
from tfp_glow.bijectors.channel_affine import ChannelAffine, ChannelMap, Read


class Scale(ChannelAffine):
    """Scales every channel, or every element of a vector, by a learned positive factor.

    The parameter `log_scale` has one value per channel and starts at 0. At each of the `H * W` pixels (a vector counts
    as one pixel):

    * forward: `y = x * exp(log_scale)`, log-determinant `H * W * sum(log_scale)`;
    * inverse: `x = y * exp(-log_scale)`, log-determinant `-H * W * sum(log_scale)`.

    Args:
      shape: event shape, `(height, width, channels)` or `(size,)`.
      dtype: float32 (the default) or float64, of events and parameters.
      validate_args: a bool, passed to `tfb.Bijector`. The default is False.
      name: name of the bijector.

    Raises:
      ValueError: if `shape` has neither 1 nor 3 positive sizes, or `dtype` is neither float32 nor float64.

    References:
      Dinh, Krueger and Bengio, *NICE*, 2015, section 3.3.

    Example:

    >>> tfp_glow.bijectors.Scale((4,)).forward(tf.ones((2, 4))).shape
    TensorShape([2, 4])
    """

    def __init__(self, shape: ShapeLike, dtype: DTypeLike = "float32", validate_args: bool = False,
                 name: str = "scale"):
        parameters = dict(locals())
        shape = check_shape("shape", shape, ranks=(1, 3))
        super().__init__(shape, dtype=dtype, validate_args=validate_args, parameters=parameters, name=name)
        self.log_scale = self._add_parameter("log_scale", shape[-1:])

    def _forward_map(self, read: Read) -> ChannelMap:
        log_scale = read(self.log_scale)
        return ChannelMap(tf.exp(log_scale), None, tf.reduce_sum(log_scale, axis=-1), diagonal=True)

    def _inverse_map(self, read: Read) -> ChannelMap:
        log_scale = read(self.log_scale)
        return ChannelMap(tf.exp(-log_scale), None, -tf.reduce_sum(log_scale, axis=-1), diagonal=True)
