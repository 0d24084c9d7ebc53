# SPDX-License-Identifier: Apache-2.0
"""ActNorm: a learned scale and shift of every channel, started from the first batch."""

import tensorflow as tf

from tfp_glow.bijectors.channel_affine import Affine, ChannelAffine
from tfp_glow._checks import check_bool, check_shape


class ActNorm(ChannelAffine):
    """Scales and shifts every channel.

    With per-channel parameters `log_scale` and `shift`, at every pixel:

    * forward: `y = x * exp(log_scale) + shift`, log-det `H * W * sum(log_scale)`;
    * inverse: `x = (y - shift) * exp(-log_scale)`, log-det `-H * W * sum(log_scale)`.

    `tfp_glow.initialize` sets them from a batch so that its latents have mean 0 and standard deviation 1 in every
    channel; a channel that is constant over the batch keeps scale 1. Until then the bijector is the identity.

    Args:
      shape: event shape, `(height, width, channels)` or `(size,)`.
      data_dependent: whether `tfp_glow.initialize` sets it; if not, it starts as the identity and only learns.
      dtype: float32 or float64, of events and parameters.
      validate_args: passed to `tfb.Bijector`.
      name: name of the bijector.

    Raises:
      ValueError: if an argument is not as said.

    Reference: Kingma and Dhariwal, *Glow*, 2018, section 3.1.

    >>> norm = ActNorm((4, 4, 3))
    >>> norm.forward(tf.zeros((2, 4, 4, 3))).shape
    TensorShape([2, 4, 4, 3])
    """

    def __init__(self, shape, data_dependent=True, dtype="float32", validate_args=False, name="act_norm"):
        parameters = dict(locals())
        shape = check_shape("shape", shape, ranks=(1, 3))
        check_bool("data_dependent", data_dependent)
        super().__init__(shape, dtype=dtype, validate_args=validate_args, parameters=parameters, name=name)
        self.log_scale = self._add_parameter("log_scale", shape[-1:])
        self.shift = self._add_parameter("shift", shape[-1:])
        if data_dependent:
            self.initialized = self._add_parameter("initialized", (), trainable=False, dtype="bool")
        self._data_dependent = data_dependent

    def _forward_affine(self):
        log_scale, shift = self._read(self.log_scale), self._read(self.shift)
        return Affine(tf.exp(log_scale), shift, tf.reduce_sum(log_scale, axis=-1), diagonal=True)

    def _inverse_affine(self):
        log_scale, shift = self._read(self.log_scale), self._read(self.shift)
        scale = tf.exp(-log_scale)
        return Affine(scale, -shift * scale, -tf.reduce_sum(log_scale, axis=-1), diagonal=True)

    def _initialize(self, y, **conditions):
        if self._data_dependent and not bool(self.initialized.numpy()):
            mean, variance = tf.nn.moments(y, axes=list(range(y.shape.rank - 1)))
            constant = variance <= 1e-12 * (1.0 + tf.square(mean))
            self.log_scale.assign(tf.where(constant, tf.zeros_like(mean), 0.5 * tf.math.log(variance)))
            self.shift.assign(mean)
            self.initialized.assign(True)
        return super()._initialize(y, **conditions)
