# SPDX-License-Identifier: Apache-2.0
"""Masks: which part of an event a coupling keeps and which part it changes."""

from typing import TypeAlias

import numpy as np
import tensorflow as tf

from tfp_glow._types import Shape


class ChannelMask:
    """Splits an event along the last axis into a kept part and a changed part.

    By default the kept part is the first half of the channels. With an odd number of channels the changed part is the
    larger one.

    Args:
      shape: event shape, `(height, width, channels)` or `(size,)`.
      reverse: whether the kept part is the last half of the channels. The default is False.
      num_kept: number of kept channels. None (the default) means half of the channels, rounded down.

    Attributes:
      reverse: whether the kept channels are the last ones.
      num_kept: number of kept channels.
      num_changed: number of changed channels.
      kept_shape: shape of the kept part of one event.

    Raises:
      ValueError: if `shape` has fewer than 2 channels.
    """

    def __init__(self, shape: Shape, reverse: bool = False, num_kept: int | None = None):
        channels = shape[-1]
        if channels < 2:
            raise ValueError(f"Argument `shape` must have at least 2 channels to be split; received {tuple(shape)}.")
        self.reverse = reverse
        self.num_kept = channels // 2 if num_kept is None else num_kept
        self.num_changed = channels - self.num_kept
        self.kept_shape = (*shape[:-1], self.num_kept)

    def split(self, value: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns `(kept, changed)`."""
        if self.reverse:
            changed, kept = tf.split(value, [self.num_changed, self.num_kept], axis=-1)
        else:
            kept, changed = tf.split(value, [self.num_kept, self.num_changed], axis=-1)
        return kept, changed

    def merge(self, kept: tf.Tensor, changed: tf.Tensor) -> tf.Tensor:
        """Returns the event with these parts; the inverse of `split`."""
        return tf.concat([changed, kept] if self.reverse else [kept, changed], axis=-1)

    def merge_gradients(self, d_kept: tf.Tensor, d_changed: tf.Tensor) -> tf.Tensor:
        """Returns the gradient with respect to an event, given the gradients with respect to its parts."""
        return self.merge(d_kept, d_changed)

    def only_changed(self, value: tf.Tensor) -> tf.Tensor:
        """Returns `value`, a tensor of the shape of the changed part, as every element of it is changed."""
        return value


class CheckerboardMask:
    """Splits an event like the squares of a chessboard. Both parts have the shape of the event, with zeros elsewhere.

    A pixel is kept if row + column is odd, and changed if it is even. In a vector the index takes the place of
    row + column.

    Args:
      shape: event shape, `(height, width, channels)` or `(size,)`.
      reverse: whether a pixel is kept if row + column is even instead. The default is False.

    Attributes:
      kept_shape: shape of the kept part of one event, equal to `shape`.
      num_changed: size of the last axis of the changed part, equal to `shape[-1]`.

    Raises:
      ValueError: if `shape` has fewer than 2 pixels, or fewer than 2 elements for a vector.
    """

    def __init__(self, shape: Shape, reverse: bool = False):
        if max(shape[:-1] or shape) < 2:
            raise ValueError("Argument `shape` must have at least 2 pixels for a checkerboard; "
                             f"received {tuple(shape)}.")
        axes = shape[:-1] if len(shape) > 1 else shape
        kept = np.sum(np.indices(axes), axis=0) % 2 == (0 if reverse else 1)
        self._kept = kept[..., np.newaxis] if len(shape) > 1 else kept
        self.kept_shape, self.num_changed = tuple(shape), shape[-1]

    @property
    def kept(self) -> np.ndarray:
        """Whether each pixel is kept, a bool array `[height, width, 1]` or `[size]`."""
        return self._kept

    def split(self, value: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns `(kept, changed)`, both of the shape of the event."""
        return value * self._constant(self._kept, value), value * self._constant(~self._kept, value)

    def merge(self, kept: tf.Tensor, changed: tf.Tensor) -> tf.Tensor:
        """Returns the event with these parts; the inverse of `split`. Ignores `changed` at kept places."""
        return kept + self.only_changed(changed)

    def merge_gradients(self, d_kept: tf.Tensor, d_changed: tf.Tensor) -> tf.Tensor:
        """Returns the gradient with respect to an event, given the gradients with respect to its parts."""
        return d_kept * self._constant(self._kept, d_kept) + self.only_changed(d_changed)

    def only_changed(self, value: tf.Tensor) -> tf.Tensor:
        """Returns `value`, a tensor of the shape of the event, with zeros at kept places."""
        return value * self._constant(~self._kept, value)

    @staticmethod
    def _constant(mask: np.ndarray, like: tf.Tensor) -> tf.Tensor:
        return tf.constant(mask, like.dtype)


Mask: TypeAlias = ChannelMask | CheckerboardMask

MASKS = ("channel", "channel_reversed", "checkerboard", "checkerboard_reversed")


def make_mask(name: str, shape: Shape) -> Mask:
    """Returns the mask with a name from `MASKS` for events of a shape."""
    mask_class = ChannelMask if name.startswith("channel") else CheckerboardMask
    return mask_class(shape, reverse=name.endswith("_reversed"))
