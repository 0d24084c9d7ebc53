# SPDX-License-Identifier: Apache-2.0
"""Which part of an event a coupling keeps and which it changes."""

import numpy as np
import tensorflow as tf


class ChannelMask:
    """Splits the last axis: the first half is kept and the second changed, or the other way round if `reverse`.

    With an odd number of channels the changed part is the larger one. `num_kept` channels may be kept instead of half.
    """

    def __init__(self, shape, reverse=False, num_kept=None):
        channels = shape[-1]
        if channels < 2:
            raise ValueError(f"Argument `shape` must have at least 2 channels to be split; received {tuple(shape)}.")
        self.reverse = reverse
        self.num_kept = channels // 2 if num_kept is None else num_kept
        self.num_changed = channels - self.num_kept
        self.kept_shape = (*shape[:-1], self.num_kept)

    def split(self, value):
        """Returns `(kept, changed)`."""
        if self.reverse:
            changed, kept = tf.split(value, [self.num_changed, self.num_kept], axis=-1)
        else:
            kept, changed = tf.split(value, [self.num_kept, self.num_changed], axis=-1)
        return kept, changed

    def merge(self, kept, changed):
        """Undoes `split`."""
        return tf.concat([changed, kept] if self.reverse else [kept, changed], axis=-1)

    def merge_gradients(self, d_kept, d_changed):
        """Gradient with respect to the whole, from those with respect to the parts that `split` gave."""
        return self.merge(d_kept, d_changed)

    def only_changed(self, value):
        """Leaves of a changed-sized tensor what belongs to the changed part: here all of it."""
        return value


class CheckerboardMask:
    """Splits an image's pixels like the fields of a chess board; both parts keep the full shape, zero elsewhere.

    A pixel is kept where row + column is odd, or even if `reverse`. For vectors the index takes the sum's place.
    """

    def __init__(self, shape, reverse=False):
        if max(shape[:-1] or shape) < 2:
            raise ValueError("Argument `shape` must have at least 2 pixels for a checkerboard; "
                             f"received {tuple(shape)}.")
        axes = shape[:-1] if len(shape) > 1 else shape
        kept = np.sum(np.indices(axes), axis=0) % 2 == (0 if reverse else 1)
        self._kept = kept[..., np.newaxis] if len(shape) > 1 else kept
        self.kept_shape, self.num_changed = tuple(shape), shape[-1]

    @property
    def kept(self):
        """A bool array, `[height, width, 1]` or `[size]`: what is kept."""
        return self._kept

    def split(self, value):
        """Returns `(kept, changed)`, each of the full shape."""
        return value * self._constant(self._kept, value), value * self._constant(~self._kept, value)

    def merge(self, kept, changed):
        """Undoes `split`; what `changed` has on kept places is dropped."""
        return kept + self.only_changed(changed)

    def merge_gradients(self, d_kept, d_changed):
        """Gradient with respect to the whole, from those with respect to the parts that `split` gave."""
        return d_kept * self._constant(self._kept, d_kept) + self.only_changed(d_changed)

    def only_changed(self, value):
        """Zeroes a full-sized tensor on the kept places."""
        return value * self._constant(~self._kept, value)

    @staticmethod
    def _constant(mask, like):
        return tf.constant(mask, like.dtype)


def make_mask(name, shape):
    """The mask called `name` over `shape`; the names are those of `MASKS`."""
    kind = ChannelMask if name.startswith("channel") else CheckerboardMask
    return kind(shape, reverse=name.endswith("_reversed"))


MASKS = ("channel", "channel_reversed", "checkerboard", "checkerboard_reversed")
