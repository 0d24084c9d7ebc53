# SPDX-License-Identifier: Apache-2.0
"""Maps that do the same affine thing to the channels of every pixel, and how neighbours among them fold into one."""

import functools
import math
from typing import NamedTuple

import tensorflow as tf

from tfp_glow.bijectors.flow_bijector import FlowBijector
from tfp_glow.bijectors._stacking import key_of, substitute


class Affine(NamedTuple):
    """The map `v -> v @ matrix + shift` of a pixel's channels, or several at once along leading axes.

    `matrix` is `[..., C, C]`, or `[..., C]` if `diagonal`; `shift` is `[..., C]` or None; `log_det`, `[...]`, is
    log |det matrix|.
    """

    matrix: tf.Tensor
    shift: tf.Tensor | None
    log_det: tf.Tensor
    diagonal: bool = False

    @classmethod
    def of_tensors(cls, tensors, diagonal):
        """Undoes `tensors_of`."""
        matrix, *shift, log_det = tensors
        return cls(matrix, shift[0] if shift else None, log_det, diagonal)

    def __call__(self, value):
        """Applies one map to a tensor of pixels, `[..., C]`."""
        if self.diagonal:
            value = value * self.matrix
        elif value.shape.rank == 1:
            value = tf.linalg.matvec(self.matrix, value, transpose_a=True)
        else:
            pixels = tf.reshape(value, (-1, value.shape[-1])) @ self.matrix
            value = tf.reshape(pixels, tf.concat([tf.shape(value)[:-1], pixels.shape[1:]], axis=0))
        return value if self.shift is None else value + self.shift

    def then(self, after):
        """This map followed by `after`, as one map."""
        if after.diagonal:
            matrix = self.matrix * (after.matrix if self.diagonal else after.matrix[..., tf.newaxis, :])
        elif self.diagonal:
            matrix = self.matrix[..., tf.newaxis] * after.matrix
        else:
            matrix = self.matrix @ after.matrix
        shift = after.shift
        if self.shift is not None:
            moved = (self.shift * after.matrix if after.diagonal
                     else tf.linalg.matvec(after.matrix, self.shift, transpose_a=True))
            shift = moved if shift is None else moved + shift
        return Affine(matrix, shift, self.log_det + after.log_det, self.diagonal and after.diagonal)


class ChannelAffine(FlowBijector):
    """Base of the bijectors that act on every pixel's channels (or on a vector) by one affine map.

    A subclass defines `_forward_affine()` and `_inverse_affine()`, each an `Affine` made of parameters alone, which it
    reads by `_read` and which may be stacked along leading axes. The log-det of an event is the number of its pixels
    times that of the map.
    """

    def __init__(self, shape, **kwargs):
        super().__init__(shape, is_constant_jacobian=True, **kwargs)

    def _forward_affine(self):
        raise NotImplementedError(f"{type(self).__name__} must define _forward_affine.")

    def _inverse_affine(self):
        raise NotImplementedError(f"{type(self).__name__} must define _inverse_affine.")

    def _affine(self, direction):
        """The map of a direction: one that a loop around prepared, or made of the parameters."""
        prepared = substitute(key_of(self, direction))
        if prepared is not None:
            return prepared
        return self._forward_affine() if direction == "forward" else self._inverse_affine()

    def _affine_stages(self):
        return [self]

    def _forward_and_log_det(self, x, **conditions):
        return self._apply(self._affine("forward"), x)

    def _inverse_and_log_det(self, y, **conditions):
        return self._apply(self._affine("inverse"), y)

    def _apply(self, affine, value):
        return affine(value), math.prod(self.event_shape[:-1]) * affine.log_det

    def _sources(self, **conditions):
        prepared = substitute(key_of(self, "inverse"))
        return super()._sources() if prepared is None else {key_of(self, "inverse"): tensors_of(prepared)}


class FoldedAffine(ChannelAffine):
    """Neighbouring channel-affine bijectors (listed from the image side) applied as one matrix."""

    def __init__(self, bijectors):
        super().__init__(bijectors[0].event_shape, dtype=bijectors[0].dtype, name="folded_affine")
        self._bijectors = [self._add_child(b) for b in bijectors]

    def _forward_affine(self):
        return functools.reduce(Affine.then, [b._forward_affine() for b in reversed(self._bijectors)])

    def _inverse_affine(self):
        return functools.reduce(Affine.then, [b._inverse_affine() for b in self._bijectors])


def tensors_of(affine):
    """The tensors of an `Affine`: matrix, shift if there is one, log-det."""
    return [t for t in affine[:3] if t is not None]
