# SPDX-License-Identifier: Apache-2.0
"""`Standardize`: a fixed shift and scale of every channel."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_glow._checks import check_shape
from tfp_glow._types import DTypeLike, ShapeLike
from tfp_glow.bijectors._stacking import constant_initializer
from tfp_glow.bijectors.channel_affine import ChannelAffine, ChannelMap, Read


class Standardize(ChannelAffine):
    """Maps latents with mean 0 and standard deviation 1 to data with a known mean and standard deviation.

    `loc` and `scale` have one value per channel. At each of the `H * W` pixels (a vector counts as one pixel):

    * forward: `y = x * scale + loc`, log-determinant `H * W * sum(log(scale))`;
    * inverse: `x = (y - loc) / scale`, log-determinant `-H * W * sum(log(scale))`.

    A flow with this bijector on its data side has densities in the units of the data. `loc` and `scale` are variables
    that are not trainable, so checkpoints store them.

    Args:
      shape: event shape, `(height, width, channels)` or `(size,)`.
      loc: mean of the data: a finite number, or a sequence of one number per channel. The default is 0.
      scale: standard deviation of the data: a positive number, or a sequence of one number per channel. The default
        is 1.
      dtype: float32 (the default) or float64, of events.
      validate_args: a bool, passed to `tfb.Bijector`. The default is False.
      name: name of the bijector.

    Raises:
      ValueError: if `shape` has neither 1 nor 3 positive sizes, `loc` or `scale` is not finite or is neither a number
        nor one number per channel, `scale` is not positive, or `dtype` is neither float32 nor float64.

    Example:

    >>> tfp_glow.bijectors.Standardize((2,), loc=[1.0, 2.0], scale=10.0).inverse([11.0, 2.0]).numpy().tolist()
    [1.0, 0.0]
    """

    def __init__(self, shape: ShapeLike, loc: float | Sequence[float] | np.ndarray = 0.0,
                 scale: float | Sequence[float] | np.ndarray = 1.0, dtype: DTypeLike = "float32",
                 validate_args: bool = False, name: str = "standardize"):
        parameters = dict(locals())
        shape = check_shape("shape", shape, ranks=(1, 3))
        locs, scales = (_per_channel(*pair, shape[-1]) for pair in (("loc", loc), ("scale", scale)))
        if not np.all(scales > 0.0):
            raise ValueError(f"Argument `scale` must be positive; received {scales}.")
        super().__init__(shape, dtype=dtype, validate_args=validate_args, parameters=parameters, name=name)
        self.loc = self._add_parameter("loc", shape[-1:], constant_initializer(locs), trainable=False)
        self.scale = self._add_parameter("scale", shape[-1:], constant_initializer(scales), trainable=False)

    def _forward_map(self, read: Read) -> ChannelMap:
        loc, scale = read(self.loc), read(self.scale)
        return ChannelMap(scale, loc, tf.reduce_sum(tf.math.log(scale), axis=-1), diagonal=True)

    def _inverse_map(self, read: Read) -> ChannelMap:
        loc, scale = read(self.loc), read(self.scale)
        return ChannelMap(1.0 / scale, -loc / scale, -tf.reduce_sum(tf.math.log(scale), axis=-1), diagonal=True)


def _per_channel(argument: str, value: Any, channels: int) -> np.ndarray:
    """Returns `value`, a finite number or one per channel, as a float64 array `[channels]`, or raises `ValueError`."""
    try:
        value = np.asarray(value, "float64")
    except (TypeError, ValueError):
        value = np.full((), np.nan)
    if value.shape not in ((), (channels,)) or not np.all(np.isfinite(value)):
        raise ValueError(f"Argument `{argument}` must be a finite number or {channels} finite numbers; "
                         f"received {value}.")
    return np.broadcast_to(value, (channels,))
