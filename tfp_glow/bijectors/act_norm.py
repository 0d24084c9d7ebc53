# SPDX-License-Identifier: Apache-2.0
"""`ActNorm`: a learned scale and shift of every channel with data-dependent initialization."""

from typing import Any

import tensorflow as tf

from tfp_glow._checks import check_bool, check_shape
from tfp_glow._types import DTypeLike, ShapeLike
from tfp_glow.bijectors.channel_affine import ChannelAffine, ChannelMap, Read


class ActNorm(ChannelAffine):
    """Scales and shifts every channel.

    The parameters `log_scale` and `shift` have one value per channel. At each of the `H * W` pixels (a vector counts as
    one pixel):

    * forward: `y = x * exp(log_scale) + shift`, log-determinant `H * W * sum(log_scale)`;
    * inverse: `x = (y - shift) * exp(-log_scale)`, log-determinant `-H * W * sum(log_scale)`.

    The bijector starts as the identity. `tfp_glow.initialize` sets the parameters from a batch, so that the latents of
    the batch have mean 0 and standard deviation 1 in every channel. If a channel is constant over the batch, its
    `log_scale` stays 0.

    Args:
      shape: event shape, `(height, width, channels)` or `(size,)`.
      data_dependent: a bool. If True (the default), `tfp_glow.initialize` sets the parameters. If False, the bijector
        stays the identity until it is trained.
      dtype: float32 (the default) or float64, of events and parameters.
      validate_args: a bool, passed to `tfb.Bijector`. The default is False.
      name: name of the bijector.

    Raises:
      ValueError: if `shape` has neither 1 nor 3 positive sizes, `data_dependent` is not a bool, or `dtype` is neither
        float32 nor float64.

    References:
      Kingma and Dhariwal, *Glow*, 2018, section 3.1.

    Example:

    >>> norm = tfp_glow.bijectors.ActNorm((4, 4, 3))
    >>> norm.forward(tf.zeros((2, 4, 4, 3))).shape
    TensorShape([2, 4, 4, 3])
    """

    def __init__(self, shape: ShapeLike, data_dependent: bool = True, dtype: DTypeLike = "float32",
                 validate_args: bool = False, name: str = "act_norm"):
        parameters = dict(locals())
        shape = check_shape("shape", shape, ranks=(1, 3))
        data_dependent = check_bool("data_dependent", data_dependent)
        super().__init__(shape, dtype=dtype, validate_args=validate_args, parameters=parameters, name=name)
        self.log_scale = self._add_parameter("log_scale", shape[-1:])
        self.shift = self._add_parameter("shift", shape[-1:])
        if data_dependent:
            self.initialized = self._add_parameter("initialized", (), trainable=False, dtype="bool")
        self._data_dependent = data_dependent

    def _forward_map(self, read: Read) -> ChannelMap:
        log_scale, shift = read(self.log_scale), read(self.shift)
        return ChannelMap(tf.exp(log_scale), shift, tf.reduce_sum(log_scale, axis=-1), diagonal=True)

    def _inverse_map(self, read: Read) -> ChannelMap:
        log_scale, shift = read(self.log_scale), read(self.shift)
        scale = tf.exp(-log_scale)
        return ChannelMap(scale, -shift * scale, -tf.reduce_sum(log_scale, axis=-1), diagonal=True)

    def _initialize(self, y: tf.Tensor, **conditions: Any) -> tf.Tensor:
        if self._data_dependent and not bool(self.initialized.numpy()):
            mean, variance = tf.nn.moments(y, axes=list(range(y.shape.rank - 1)))
            constant = variance <= 1e-12 * (1.0 + tf.square(mean))
            self.log_scale.assign(tf.where(constant, tf.zeros_like(mean), 0.5 * tf.math.log(variance)))
            self.shift.assign(mean)
            self.initialized.assign(True)
        return super()._initialize(y, **conditions)
