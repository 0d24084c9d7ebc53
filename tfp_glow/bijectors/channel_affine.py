# SPDX-License-Identifier: Apache-2.0
"""Bijectors that apply one affine map to the channels of every pixel, and a bijector that merges several of them."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from tfp_glow._compat_tensorflow import untracked
from tfp_glow._tracking import Hidden
from tfp_glow._types import Shape
from tfp_glow.bijectors.flow_bijector import FlowBijector

Read = Callable[[keras.Variable], tf.Tensor]


def exact_matmul(a: tf.Tensor, b: tf.Tensor, transpose_a: bool = False) -> tf.Tensor:
    """Computes `a @ b` with the precision of its dtype, also on GPUs.

    By default, TensorFlow lets GPUs round the factors of float32 products to TensorFloat-32, which has 10 bits of
    mantissa. A matrix times its inverse then differs from the identity by about 1e-3. Where this default applies, the
    function computes float32 products in float64. The matrices are small, because they multiply channels.

    Args:
      a: a tensor `[..., I, J]`, float32 or float64.
      b: a tensor `[..., J, K]` of the same dtype.
      transpose_a: True if `a` is `[..., J, I]`. Default: False.

    Returns:
      A tensor `[..., I, K]` of the same dtype.
    """
    if not (a.dtype == tf.float32 and tf.config.get_visible_devices("GPU")
            and tf.config.experimental.tensor_float_32_execution_enabled()):
        return tf.matmul(a, b, transpose_a=transpose_a)
    return tf.cast(tf.matmul(tf.cast(a, tf.float64), tf.cast(b, tf.float64), transpose_a=transpose_a), tf.float32)


def _vecmat(vector: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
    """Computes `vector @ matrix` as `exact_matmul` does."""
    return tf.squeeze(exact_matmul(matrix, vector[..., tf.newaxis], transpose_a=True), axis=-1)


class ChannelMap(NamedTuple):
    """The map `v -> v @ matrix + shift` of the `C` channels of a pixel, or several such maps along leading axes.

    Attributes:
      matrix: a tensor `[..., C, C]`, or `[..., C]` if `diagonal` is True.
      shift: a tensor `[..., C]`, or None for no shift.
      log_det: `log |det matrix|` of each map, a tensor `[...]`.
      diagonal: True if the matrix is diagonal; `matrix` then holds the diagonal only.
    """

    matrix: tf.Tensor
    shift: tf.Tensor | None
    log_det: tf.Tensor
    diagonal: bool = False

    def __call__(self, value: tf.Tensor) -> tf.Tensor:
        """Applies the map to pixels `[..., C]`. The `ChannelMap` must hold one map, without leading axes."""
        if self.diagonal:
            value = value * self.matrix
        elif value.shape.rank == 1:
            value = _vecmat(value, self.matrix)
        else:
            pixels = exact_matmul(tf.reshape(value, (-1, value.shape[-1])), self.matrix)
            value = tf.reshape(pixels, tf.concat([tf.shape(value)[:-1], pixels.shape[1:]], axis=0))
        return value if self.shift is None else value + self.shift

    def then(self, after: "ChannelMap") -> "ChannelMap":
        """Returns the composition that applies this map first and `after` second."""
        if after.diagonal:
            matrix = self.matrix * (after.matrix if self.diagonal else after.matrix[..., tf.newaxis, :])
        elif self.diagonal:
            matrix = self.matrix[..., tf.newaxis] * after.matrix
        else:
            matrix = exact_matmul(self.matrix, after.matrix)
        shift = after.shift
        if self.shift is not None:
            moved = (self.shift * after.matrix if after.diagonal
                     else _vecmat(self.shift, after.matrix))
            shift = moved if shift is None else moved + shift
        return ChannelMap(matrix, shift, self.log_det + after.log_det, self.diagonal and after.diagonal)


class ChannelAffine(FlowBijector):
    """Base of the bijectors that apply one affine map to the channels of every pixel, or to a vector.

    A subclass defines `_forward_map(read)` and `_inverse_map(read)`. Each returns a `ChannelMap` that is a function of
    the parameters only. `read(variable)` returns the value of a parameter. Inside `Repeat` it returns the values of
    this parameter in all steps, stacked along a first axis. So the formulas must allow leading axes.

    The log-determinant of an event is `N * ChannelMap.log_det` for `N` pixels (1 for a vector).

    Args:
      shape: event shape, `(height, width, channels)` or `(size,)`.
      **kwargs: further arguments of `FlowBijector`.
    """

    def __init__(self, shape: Shape, **kwargs: Any):
        super().__init__(shape, is_constant_jacobian=True, **kwargs)

    def _forward_map(self, read: Read) -> ChannelMap:
        raise NotImplementedError(f"{type(self).__name__} must define _forward_map.")

    def _inverse_map(self, read: Read) -> ChannelMap:
        raise NotImplementedError(f"{type(self).__name__} must define _inverse_map.")

    def _forward_and_log_det(self, x: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        return self._apply(self._forward_map(self._read), x)

    def _inverse_and_log_det(self, y: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        return self._apply(self._inverse_map(self._read), y)

    def _apply(self, channel_map: ChannelMap, value: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return channel_map(value), math.prod(self.event_shape[:-1]) * channel_map.log_det

    def _prepared(self) -> "PreparedChannelAffine":
        return PreparedChannelAffine(self)


class FoldedChannelAffine(ChannelAffine):
    """A composition of `ChannelAffine` bijectors that multiplies their maps and applies the product.

    Args:
      bijectors: the bijectors, listed from the data side. All have the same event shape and dtype.
    """

    def __init__(self, bijectors: Sequence[ChannelAffine]):
        super().__init__(bijectors[0].event_shape, dtype=bijectors[0].dtype, name="folded_channel_affine")
        self._bijectors = [self._add_child(bijector) for bijector in bijectors]

    def _forward_map(self, read: Read) -> ChannelMap:
        return functools.reduce(ChannelMap.then, [b._forward_map(read) for b in reversed(self._bijectors)])

    def _inverse_map(self, read: Read) -> ChannelMap:
        return functools.reduce(ChannelMap.then, [b._inverse_map(read) for b in self._bijectors])


class PreparedChannelAffine(ChannelAffine):
    """A `ChannelAffine` whose parameters are the tensors of two `ChannelMap`s, one per direction.

    `Repeat` replaces a `ChannelAffine` in its step by this class. Before its loop, `Repeat` computes the maps of all
    steps at once. Iteration `k` of the loop then sets the parameters of this bijector to the map of step `k`.

    Args:
      bijector: the `ChannelAffine` to replace.
    """

    def __init__(self, bijector: ChannelAffine):
        super().__init__(bijector.event_shape, dtype=bijector.dtype, name=f"prepared_{bijector.name}")
        self._replaced = Hidden(bijector)
        # `Repeat` differentiates only the inverse direction.
        self._maps = untracked(self, {
            "forward": self._add_map("forward", bijector._forward_map(self._read), trainable=False),
            "inverse": self._add_map("inverse", bijector._inverse_map(self._read), trainable=True)})

    def _add_map(self, direction: str, channel_map: ChannelMap, trainable: bool) -> ChannelMap:
        """Returns `channel_map` with a new variable in the place of each tensor."""
        variables = {name: self._add_parameter(f"{direction}_{name}", value.shape, trainable=trainable)
                     for name, value in zip(("matrix", "shift", "log_det"), channel_map[:3], strict=True)
                     if value is not None}
        return channel_map._replace(**variables)

    def variables_of(self, direction: str) -> list[keras.Variable]:
        """Returns the variables that hold the map of one direction.

        Args:
          direction: `"forward"` (latents to data) or `"inverse"` (data to latents).

        Returns:
          The variables for `matrix`, `shift` and `log_det` of the `ChannelMap`, in this order. A map without a shift
          has no variable for it.
        """
        return [variable for variable in self._maps[direction][:3] if variable is not None]

    def values_of(self, direction: str, read: Read) -> list[tf.Tensor]:
        """Computes the values of `variables_of(direction)` from the parameters of the replaced bijector.

        Args:
          direction: `"forward"` (latents to data) or `"inverse"` (data to latents).
          read: a function that returns the value of a variable of the replaced bijector, or the values of this variable
            in several steps, stacked along a first axis.

        Returns:
          One tensor per variable of `variables_of(direction)`, in the same order. It has the same first axis as the
          values of `read`.
        """
        replaced = self._replaced.value
        channel_map = replaced._forward_map(read) if direction == "forward" else replaced._inverse_map(read)
        return [value for value in channel_map[:3] if value is not None]

    def _forward_map(self, read: Read) -> ChannelMap:
        return self._read_map("forward", read)

    def _inverse_map(self, read: Read) -> ChannelMap:
        return self._read_map("inverse", read)

    def _read_map(self, direction: str, read: Read) -> ChannelMap:
        matrix, shift, log_det, diagonal = self._maps[direction]
        return ChannelMap(read(matrix), None if shift is None else read(shift), read(log_det), diagonal)
