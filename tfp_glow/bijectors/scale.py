# SPDX-License-Identifier: Apache-2.0
"""Diagonal maps without a data-dependent start: NICE's learned scaling, and a fixed standardisation."""

import numpy as np
import tensorflow as tf

from tfp_glow.bijectors.channel_affine import Affine, ChannelAffine
from tfp_glow._checks import check_shape
from tfp_glow.bijectors.invertible_conv import constant


class Scale(ChannelAffine):
    """Scales every channel, or every element of a vector, by a learned positive factor.

    * forward: `y = x * exp(log_scale)`, log-det `H * W * sum(log_scale)`;
    * inverse: `x = y * exp(-log_scale)`, log-det `-H * W * sum(log_scale)`.

    Args:
      shape: event shape, `(height, width, channels)` or `(size,)`.
      dtype: float32 or float64, of events and parameters.
      validate_args: passed to `tfb.Bijector`.
      name: name of the bijector.

    Raises:
      ValueError: if `shape` or `dtype` is not as said.

    Reference: Dinh, Krueger and Bengio, *NICE*, 2015, section 3.3.

    >>> Scale((4,)).forward(tf.ones((2, 4))).shape
    TensorShape([2, 4])
    """

    def __init__(self, shape, dtype="float32", validate_args=False, name="scale"):
        parameters = dict(locals())
        shape = check_shape("shape", shape, ranks=(1, 3))
        super().__init__(shape, dtype=dtype, validate_args=validate_args, parameters=parameters, name=name)
        self.log_scale = self._add_parameter("log_scale", shape[-1:])

    def _forward_affine(self):
        log_scale = self._read(self.log_scale)
        return Affine(tf.exp(log_scale), None, tf.reduce_sum(log_scale, axis=-1), diagonal=True)

    def _inverse_affine(self):
        log_scale = self._read(self.log_scale)
        return Affine(tf.exp(-log_scale), None, -tf.reduce_sum(log_scale, axis=-1), diagonal=True)


class Standardize(ChannelAffine):
    """Brings data of a known location and scale to mean 0 and standard deviation 1, and densities to the data's units.

    * forward: `y = x * scale + loc`, log-det `H * W * sum(log(scale))`;
    * inverse: `x = (y - loc) / scale`, log-det `-H * W * sum(log(scale))`.

    `loc` and `scale` are variables that are not trained, so checkpoints keep them.

    Args:
      shape: event shape, `(height, width, channels)` or `(size,)`.
      loc: a number, or one for each of the `shape[-1]` channels.
      scale: a positive number, or one for each channel.
      dtype: float32 or float64, of events.
      validate_args: passed to `tfb.Bijector`.
      name: name of the bijector.

    Raises:
      ValueError: if an argument is not as said.

    >>> Standardize((2,), loc=[1.0, 2.0], scale=10.0).inverse([11.0, 2.0]).numpy().tolist()
    [1.0, 0.0]
    """

    def __init__(self, shape, loc=0.0, scale=1.0, dtype="float32", validate_args=False, name="standardize"):
        parameters = dict(locals())
        shape = check_shape("shape", shape, ranks=(1, 3))
        loc, scale = (_per_channel(*pair, shape[-1]) for pair in (("loc", loc), ("scale", scale)))
        if not np.all(scale > 0.0):
            raise ValueError(f"Argument `scale` must be positive; received {scale}.")
        super().__init__(shape, dtype=dtype, validate_args=validate_args, parameters=parameters, name=name)
        self.loc = self._add_parameter("loc", shape[-1:], constant(loc), trainable=False)
        self.scale = self._add_parameter("scale", shape[-1:], constant(scale), trainable=False)

    def _forward_affine(self):
        loc, scale = self._read(self.loc), self._read(self.scale)
        return Affine(scale, loc, tf.reduce_sum(tf.math.log(scale), axis=-1), diagonal=True)

    def _inverse_affine(self):
        loc, scale = self._read(self.loc), self._read(self.scale)
        return Affine(1.0 / scale, -loc / scale, -tf.reduce_sum(tf.math.log(scale), axis=-1), diagonal=True)


def _per_channel(argument, value, channels):
    try:
        value = np.asarray(value, "float64")
    except (TypeError, ValueError):
        value = np.full((), np.nan)
    if value.shape not in ((), (channels,)) or not np.all(np.isfinite(value)):
        raise ValueError(f"Argument `{argument}` must be a finite number or {channels} of them; received {value}.")
    return np.broadcast_to(value, (channels,))
