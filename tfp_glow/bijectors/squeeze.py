# SPDX-License-Identifier: Apache-2.0
"""`Squeeze`: moves the pixels of small blocks of an image to channels."""

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfp_glow._checks import check_choice, check_int, check_shape
from tfp_glow._compat_tensorflow import untracked
from tfp_glow._compat_tfp import permutation
from tfp_glow._types import DTypeLike, Shape, ShapeLike
from tfp_glow.bijectors.flow_bijector import FlowBijector


@permutation
class Squeeze(FlowBijector):
    """Its `inverse` maps each block of `factor x factor` pixels to one pixel with `factor**2` times the channels.

    With `f = factor`, the data are images `y` of shape `(H, W, C)`, and the latents are images `x` of shape
    `(H/f, W/f, C*f*f)`. For `i` in `[0, H/f)`, `j` in `[0, W/f)`, `a` and `b` in `[0, f)`, and `c` in `[0, C)`:

    * inverse (data to latents): `x[i, j, k] = y[f*i + a, f*j + b, c]`;
    * forward (latents to data): `y[f*i + a, f*j + b, c] = x[i, j, k]`.

    The latent channel `k` is

    * `k = (c*f + a)*f + b` for `order="channel_major"`, as in the published code of RealNVP and Glow;
    * `k = (a*f + b)*C + c` for `order="space_to_depth"`, as in `tf.nn.space_to_depth`.

    The log-determinant is 0.

    Args:
      shape: event shape on the data side, `(height, width, channels)`.
      factor: side of a block in pixels, an int of at least 2 that divides height and width. The default is 2.
      order: order of the latent channels, `"channel_major"` (the default) or `"space_to_depth"`.
      dtype: float32 (the default) or float64, of events.
      validate_args: a bool, passed to `tfb.Bijector`. The default is False.
      name: name of the bijector.

    Raises:
      ValueError: if `shape` does not have 3 positive sizes, `factor` is not an int of at least 2 or does not divide
        height and width, `order` is unknown, or `dtype` is neither float32 nor float64.

    References:
      Dinh, Sohl-Dickstein and Bengio, *Density estimation using Real NVP*, 2017, section 3.6.

    Example:

    >>> tfp_glow.bijectors.Squeeze((4, 4, 3)).inverse(tf.zeros((2, 4, 4, 3))).shape
    TensorShape([2, 2, 2, 12])
    """

    def __init__(self, shape: ShapeLike, factor: int = 2, order: str = "channel_major", dtype: DTypeLike = "float32",
                 validate_args: bool = False, name: str = "squeeze"):
        parameters = dict(locals())
        height, width, channels = check_shape("shape", shape, ranks=(3,))
        factor = check_int("factor", factor, minimum=2)
        check_choice("order", order, ("channel_major", "space_to_depth"))
        if height % factor or width % factor:
            raise ValueError(f"Argument `shape` must have height and width divisible by {factor}; "
                             f"received {(height, width, channels)}.")
        super().__init__(
            (height, width, channels), (height // factor, width // factor, channels * factor**2), dtype=dtype,
            is_constant_jacobian=True, validate_args=validate_args, parameters=parameters, name=name)
        # Axes of an image cut into blocks: row, row within the block, column, column within the block, channel.
        self._blocks = untracked(self, (height // factor, factor, width // factor, factor, channels))
        self._order = untracked(self, (0, 2, 4, 1, 3) if order == "channel_major" else (0, 2, 1, 3, 4))

    def _inverse_and_log_det(self, y: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        return _rearrange(y, self._blocks, self._order, self.latent_shape), tf.zeros([], self.dtype)

    def _forward_and_log_det(self, x: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        blocks = [self._blocks[axis] for axis in self._order]
        inverse_order = [self._order.index(axis) for axis in range(5)]
        return _rearrange(x, blocks, inverse_order, self.event_shape), tf.zeros([], self.dtype)


def squeezed_shape(shape: Shape, factor: int = 2) -> Shape:
    """Returns the latent shape of `Squeeze(shape, factor)`: `(height / factor, width / factor, channels * factor**2)`.

    Args:
      shape: `(height, width, channels)`.
      factor: side of a block in pixels, an int that divides height and width. The default is 2.
    """
    height, width, channels = shape
    return height // factor, width // factor, math.prod((channels, factor, factor))


def _rearrange(value: tf.Tensor, blocks: Sequence[int], order: Sequence[int], shape: Shape) -> tf.Tensor:
    """Reshapes each event to `blocks`, transposes its axes to `order` and reshapes it to `shape`."""
    batch_shape = tf.shape(value)[:-3]
    value = tf.reshape(value, (-1, *blocks))
    value = tf.transpose(value, (0, *(axis + 1 for axis in order)))
    if batch_shape.shape[0] == 1:
        return tf.reshape(value, (-1, *shape))
    return tf.reshape(value, tf.concat([batch_shape, shape], axis=0))
