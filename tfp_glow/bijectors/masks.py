# SPDX-License-Identifier: Apache-2.0
"""Masks of couplings: they split an event into the part that a coupling keeps and the part that it changes."""

from typing import TypeAlias

import numpy as np
import tensorflow as tf

from tfp_glow._types import Shape


class ChannelMask:
    """Splits an event along the last axis into a kept part and a changed part.

    By default the kept part is the first half of the channels, or of the elements of a vector. If their number is odd,
    the changed part has one more channel than the kept part.

    Args:
      shape: event shape, `(height, width, channels)` or `(size,)`.
      reverse: a bool. True keeps the last channels, False (the default) the first ones.
      num_kept: number of kept channels, an int. None (the default) means half of the channels, rounded down.

    Attributes:
      reverse: True if the kept channels are the last ones.
      num_kept: number of kept channels.
      num_changed: number of changed channels.
      kept_shape: shape of the kept part of one event.
      changed_shape: shape of the changed part of one event.

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
        self.kept_shape, self.changed_shape = (*shape[:-1], self.num_kept), (*shape[:-1], self.num_changed)

    def split(self, value: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns `(kept, changed)` for events `[..., *shape]`: tensors with `num_kept` and `num_changed` channels."""
        if self.reverse:
            changed, kept = tf.split(value, [self.num_changed, self.num_kept], axis=-1)
        else:
            kept, changed = tf.split(value, [self.num_kept, self.num_changed], axis=-1)
        return kept, changed

    def merge(self, kept: tf.Tensor, changed: tf.Tensor) -> tf.Tensor:
        """Returns the event with these two parts. Inverts `split`."""
        return tf.concat([changed, kept] if self.reverse else [kept, changed], axis=-1)

    def merge_gradients(self, d_kept: tf.Tensor, d_changed: tf.Tensor) -> tf.Tensor:
        """Returns the gradient with respect to an event from the gradients with respect to its two parts."""
        return self.merge(d_kept, d_changed)

    def only_changed(self, value: tf.Tensor) -> tf.Tensor:
        """Returns `value`, a tensor of the shape of the changed part, unchanged: it has no kept elements."""
        return value


class CheckerboardMask:
    """Splits an event like the squares of a chessboard into a kept part and a changed part.

    A pixel is kept if row + column is odd, and changed if row + column is even. In a vector the index takes the place
    of row + column. Both parts have the shape of the event. The kept part is 0 at changed pixels, and the changed part
    is 0 at kept pixels.

    Args:
      shape: event shape, `(height, width, channels)` or `(size,)`.
      reverse: a bool. True keeps the pixels whose row + column is even instead. The default is False.

    Attributes:
      kept_shape: shape of the kept part of one event, equal to `shape`.
      changed_shape: shape of the changed part of one event, equal to `shape`.
      num_changed: size of the last axis of the changed part, equal to `shape[-1]`.

    Raises:
      ValueError: if `shape` has fewer than 2 pixels, or a vector fewer than 2 elements.
    """

    def __init__(self, shape: Shape, reverse: bool = False):
        if max(shape[:-1] or shape) < 2:
            raise ValueError("Argument `shape` must have at least 2 pixels for a checkerboard; "
                             f"received {tuple(shape)}.")
        axes = shape[:-1] if len(shape) > 1 else shape
        kept = np.sum(np.indices(axes), axis=0) % 2 == (0 if reverse else 1)
        self._kept = kept[..., np.newaxis] if len(shape) > 1 else kept
        self.kept_shape = self.changed_shape = tuple(shape)
        self.num_changed = shape[-1]

    @property
    def kept(self) -> np.ndarray:
        """A bool array that is True at kept pixels or elements: `[height, width, 1]`, or `[size]` for vectors."""
        return self._kept

    def split(self, value: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns `(kept, changed)` for events `[..., *shape]`, both of the shape of the events."""
        return value * self._constant(self._kept, value), value * self._constant(~self._kept, value)

    def merge(self, kept: tf.Tensor, changed: tf.Tensor) -> tf.Tensor:
        """Returns the event with these two parts. Inverts `split`. Ignores `changed` at kept pixels."""
        return kept + self.only_changed(changed)

    def merge_gradients(self, d_kept: tf.Tensor, d_changed: tf.Tensor) -> tf.Tensor:
        """Returns the gradient with respect to an event from the gradients with respect to its two parts."""
        return d_kept * self._constant(self._kept, d_kept) + self.only_changed(d_changed)

    def only_changed(self, value: tf.Tensor) -> tf.Tensor:
        """Returns `value`, a tensor of the shape of the event, with zeros at kept pixels."""
        return value * self._constant(~self._kept, value)

    @staticmethod
    def _constant(mask: np.ndarray, like: tf.Tensor) -> tf.Tensor:
        return tf.constant(mask, like.dtype)


class PixelMask:
    """Splits the pixels of an image into a kept part and a changed part, each a sequence of pixels.

    The kept part is the first half of the pixels, counted row by row. If their number is odd, the changed part has one
    more pixel than the kept part. A part of `n` pixels has the shape `[..., n, channels]`.

    Args:
      shape: event shape, `(height, width, channels)`.

    Attributes:
      kept_shape: shape of the kept part of one event, `(height * width // 2, channels)`.
      changed_shape: shape of the changed part of one event.
      num_changed: size of the last axis of the changed part, the number of channels.

    Raises:
      ValueError: if `shape` is not the shape of an image of at least 2 pixels.
    """

    def __init__(self, shape: Shape):
        if len(shape) != 3 or shape[0] * shape[1] < 2:
            raise ValueError("Argument `shape` must be (height, width, channels) with at least 2 pixels to be split; "
                             f"received {tuple(shape)}.")
        height, width, channels = shape
        self._shape, self._sizes = tuple(shape), [height * width // 2, height * width - height * width // 2]
        self.kept_shape, self.changed_shape = ((size, channels) for size in self._sizes)
        self.num_changed = channels

    def split(self, value: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns `(kept, changed)`, `[..., *kept_shape]` and `[..., *changed_shape]`, for events `[..., *shape]`."""
        pixels = tf.reshape(value, tf.concat([tf.shape(value)[:-3], [sum(self._sizes), self.num_changed]], axis=0))
        kept, changed = tf.split(pixels, self._sizes, axis=-2)
        return kept, changed

    def merge(self, kept: tf.Tensor, changed: tf.Tensor) -> tf.Tensor:
        """Returns the event with these two parts. Inverts `split`."""
        pixels = tf.concat([kept, changed], axis=-2)
        return tf.reshape(pixels, tf.concat([tf.shape(pixels)[:-2], self._shape], axis=0))

    def merge_gradients(self, d_kept: tf.Tensor, d_changed: tf.Tensor) -> tf.Tensor:
        """Returns the gradient with respect to an event from the gradients with respect to its two parts."""
        return self.merge(d_kept, d_changed)

    def only_changed(self, value: tf.Tensor) -> tf.Tensor:
        """Returns `value`, a tensor of the shape of the changed part, unchanged: it has no kept elements."""
        return value


Mask: TypeAlias = ChannelMask | CheckerboardMask | PixelMask

MASKS = ("channel", "channel_reversed", "checkerboard", "checkerboard_reversed", "pixel")


def make_mask(name: str, shape: Shape) -> Mask:
    """Returns a mask by name.

    Args:
      name: `"channel"` (keeps the first half of the channels), `"channel_reversed"` (keeps the last half),
        `"checkerboard"` (keeps the pixels whose row + column is odd), `"checkerboard_reversed"` (even) or `"pixel"`
        (keeps the first half of the pixels, and passes only these on).
      shape: event shape, `(height, width, channels)` or `(size,)`.

    Raises:
      ValueError: if an event has fewer than 2 channels or pixels to split.
    """
    if name == "pixel":
        return PixelMask(shape)
    mask_class = ChannelMask if name.startswith("channel") else CheckerboardMask
    return mask_class(shape, reverse=name.endswith("_reversed"))
