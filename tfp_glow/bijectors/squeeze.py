# SPDX-License-Identifier: Apache-2.0
"""Squeeze: trades resolution for channels."""

import math

import tensorflow as tf

from tfp_glow._checks import check_choice, check_int, check_shape
from tfp_glow.bijectors.flow_bijector import FlowBijector


class Squeeze(FlowBijector):
    """Turns every block of `factor x factor` pixels of an image into one pixel with `factor**2` times the channels.

    With image `y` of shape `(H, W, C)` and latent side `x` of shape `(H/f, W/f, C*f*f)`:

    * inverse (image to latent): `x[i, j, k] = y[f*i + a, f*j + b, c]`, where
      `k = (c*f + a)*f + b` for `order="channel_major"` (RealNVP's and Glow's code) and
      `k = (a*f + b)*C + c` for `order="space_to_depth"` (`tf.nn.space_to_depth`);
    * forward: the same read backwards. The log-det is 0.

    Args:
      shape: event shape on the image side, `(height, width, channels)`.
      factor: side of a block, an int of at least 2 that divides height and width.
      order: `"channel_major"` or `"space_to_depth"`.
      dtype: float32 or float64, of events.
      validate_args: passed to `tfb.Bijector`.
      name: name of the bijector.

    Raises:
      ValueError: if an argument is not as said.

    Reference: Dinh, Sohl-Dickstein and Bengio, *Density estimation using Real NVP*, 2017, section 3.6.

    >>> Squeeze((4, 4, 3)).inverse(tf.zeros((2, 4, 4, 3))).shape
    TensorShape([2, 2, 2, 12])
    """

    def __init__(self, shape, factor=2, order="channel_major", dtype="float32", validate_args=False, name="squeeze"):
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
        # Axes of an event cut into blocks: row, row within, column, column within, channel.
        self._blocks = self._no_dependency((height // factor, factor, width // factor, factor, channels))
        self._order = self._no_dependency((0, 2, 4, 1, 3) if order == "channel_major" else (0, 2, 1, 3, 4))

    _is_permutation = True

    def _inverse_and_log_det(self, y, **conditions):
        return self._rearrange(y, self._blocks, self._order, self.latent_shape), tf.zeros([], self.dtype)

    def _forward_and_log_det(self, x, **conditions):
        blocks = [self._blocks[axis] for axis in self._order]
        back = [self._order.index(axis) for axis in range(5)]
        return self._rearrange(x, blocks, back, self.event_shape), tf.zeros([], self.dtype)

    def _rearrange(self, value, blocks, order, shape):
        batch_shape = tf.shape(value)[:-3]
        value = tf.reshape(value, (-1, *blocks))
        value = tf.transpose(value, (0, *(axis + 1 for axis in order)))
        if batch_shape.shape[0] == 1:
            return tf.reshape(value, (-1, *shape))
        return tf.reshape(value, tf.concat([batch_shape, shape], axis=0))


def squeezed_shape(shape, factor=2):
    """Shape of an image of `shape` after a `Squeeze`."""
    height, width, channels = shape
    return height // factor, width // factor, math.prod((channels, factor, factor))
