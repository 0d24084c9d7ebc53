# SPDX-License-Identifier: Apache-2.0
"""Maps that do the same affine thing to the channels of every pixel, and how neighbours among them fold into one."""

import math
from typing import NamedTuple

import tensorflow as tf

from tfp_glow.bijectors.flow_bijector import FlowBijector


class Affine(NamedTuple):
    """The map `v -> v @ matrix + shift` of a pixel's channels.

    `matrix` is `[C, C]`, or `[C]` for a diagonal one; `shift` is `[C]` or None; `log_det` is log |det matrix|.
    """

    matrix: tf.Tensor
    shift: tf.Tensor | None
    log_det: tf.Tensor

    def __call__(self, value):
        if self.matrix.shape.rank == 1 or value.shape.rank == 1:
            value = value * self.matrix if self.matrix.shape.rank == 1 else tf.linalg.matvec(self.matrix, value, True)
        else:
            pixels = tf.reshape(value, (-1, value.shape[-1])) @ self.matrix
            value = tf.reshape(pixels, tf.concat([tf.shape(value)[:-1], pixels.shape[1:]], axis=0))
        return value if self.shift is None else value + self.shift

    def then(self, after):
        """This map followed by `after`, as one map."""
        if self.matrix.shape.rank == 1:
            matrix = (self.matrix * after.matrix if after.matrix.shape.rank == 1
                      else self.matrix[:, tf.newaxis] * after.matrix)
        else:
            matrix = (self.matrix * after.matrix if after.matrix.shape.rank == 1
                      else tf.matmul(self.matrix, after.matrix))
        shift = after.shift
        if self.shift is not None:
            moved = after._replace(shift=None)(self.shift)
            shift = moved if shift is None else moved + shift
        return Affine(matrix, shift, self.log_det + after.log_det)


class ChannelAffine(FlowBijector):
    """Base of the bijectors that act on every pixel's channels (or on a vector) by one affine map.

    A subclass defines `_forward_affine()` and `_inverse_affine()`, each an `Affine`; both are made from parameters
    alone, once a call. The log-det of an event is the number of its pixels times that of the map.
    """

    def __init__(self, shape, **kwargs):
        super().__init__(shape, is_constant_jacobian=True, **kwargs)

    def _forward_affine(self):
        raise NotImplementedError(f"{type(self).__name__} must define _forward_affine.")

    def _inverse_affine(self):
        raise NotImplementedError(f"{type(self).__name__} must define _inverse_affine.")

    def _forward_and_log_det(self, x, **conditions):
        return self._apply(self._forward_affine(), x)

    def _inverse_and_log_det(self, y, **conditions):
        return self._apply(self._inverse_affine(), y)

    def _apply(self, affine, value):
        return affine(value), math.prod(self.event_shape[:-1]) * affine.log_det


class FoldedAffine(ChannelAffine):
    """Neighbouring channel-affine bijectors (listed from the image side) applied as one matrix."""

    def __init__(self, bijectors):
        super().__init__(bijectors[0].event_shape, dtype=bijectors[0].dtype, name="folded_affine")
        self._bijectors = [self._add_child(b) for b in bijectors]

    def _forward_affine(self):
        return _fold([b._forward_affine() for b in reversed(self._bijectors)])

    def _inverse_affine(self):
        return _fold([b._inverse_affine() for b in self._bijectors])


def _fold(affines):
    folded, *rest = affines
    for affine in rest:
        folded = folded.then(affine)
    return folded
