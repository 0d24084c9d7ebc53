# SPDX-License-Identifier: Apache-2.0
"""`Reordered`: a bijector that runs on reordered channels or pixels and restores their order afterwards."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_glow._checks import check_choice
from tfp_glow.bijectors.flow_bijector import FlowBijector


class Reordered(FlowBijector):
    """Applies a bijector to reordered channels or pixels, and restores their order afterwards.

    With `reorder(v)[j] = v[order[j]]` along the channels, or along the pixels counted row by row:

    * inverse: `reorder(x) = bijector.inverse(reorder(y))`;
    * forward: `reorder(y) = bijector.forward(reorder(x))`.

    The log-determinant is the log-determinant of `bijector`. Around a coupling, `order` selects the kept part: with the
    mask `"channel"` or `"pixel"`, the coupling keeps the first half of `order` and changes the second half. The order
    is a variable that is not trained. Inside `Repeat` each step has an order of its own, a row of the stacked variable.

    Args:
      bijector: a `FlowBijector` over images or vectors, whose latent shape is its event shape.
      order: a sequence of ints, a permutation of `range(channels)` or of `range(height * width)`.
      axis: what `order` counts: `"channel"` (the default) for channels or the elements of a vector, or `"pixel"`.
      validate_args: a bool, passed to `tfb.Bijector`. The default is False.
      name: name of the bijector.

    Raises:
      ValueError: if `bijector` is no such bijector, `axis` is unknown, or is `"pixel"` for vectors, or `order` is no
        permutation of the channels or pixels.

    Example:

    >>> coupling = tfp_glow.bijectors.AffineCoupling((4,), keras.layers.Dense(4))
    >>> odd_kept = tfp_glow.bijectors.Reordered(coupling, order=[1, 3, 0, 2])
    >>> odd_kept.inverse([1.0, 2.0, 3.0, 4.0]).numpy()[1::2].tolist()
    [2.0, 4.0]
    """

    def __init__(self, bijector: FlowBijector, order: Sequence[int] | np.ndarray, axis: str = "channel",
                 validate_args: bool = False, name: str = "reordered"):
        parameters = dict(locals())
        if not isinstance(bijector, FlowBijector) or bijector.event_shape != bijector.latent_shape:
            raise ValueError("Argument `bijector` must be a FlowBijector whose latent shape is its event shape; "
                             f"received {bijector!r}.")
        shape = bijector.event_shape
        check_choice("axis", axis, ("channel", "pixel") if len(shape) == 3 else ("channel",))
        size = shape[-1] if axis == "channel" else math.prod(shape[:-1])
        if np.ndim(order) != 1 or not np.array_equal(np.sort(order), np.arange(size)):
            raise ValueError(f"Argument `order` must be a permutation of range({size}), the {axis}s; "
                             f"received {order!r}.")
        super().__init__(shape, dtype=bijector.dtype, is_constant_jacobian=bijector.is_constant_jacobian,
                         validate_args=validate_args, parameters=parameters, name=name)
        self._bijector, self._axis = self._add_child(bijector), axis
        self.order = self._add_indices("order", np.asarray(order, "int64"))

    def _forward_and_log_det(self, x: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        y, log_det = self._bijector._forward_and_log_det(self._reorder(x), **conditions)
        return self._restore(y), log_det

    def _inverse_and_log_det(self, y: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        x, log_det = self._bijector._inverse_and_log_det(self._reorder(y), **conditions)
        return self._restore(x), log_det

    def _initialize(self, y: tf.Tensor, **conditions: Any) -> tf.Tensor:
        return self._restore(self._bijector._initialize(self._reorder(y), **conditions))

    def _inverse_vjp(self, x: tf.Tensor, dx: tf.Tensor, dlog_det: tf.Tensor,
                     **conditions: Any) -> tuple[tf.Tensor, tf.Tensor, dict[str, tf.Tensor]]:
        # The matrix of a permutation is orthogonal, so gradients are reordered as values are.
        y, dy, d_sources = self._bijector._inverse_vjp(self._reorder(x), self._reorder(dx), dlog_det, **conditions)
        return self._restore(y), self._restore(dy), d_sources

    def _reorder(self, value: tf.Tensor) -> tf.Tensor:
        return self._take(value, self._read(self.order))

    def _restore(self, value: tf.Tensor) -> tf.Tensor:
        return self._take(value, tf.math.invert_permutation(self._read(self.order)))

    def _take(self, value: tf.Tensor, order: tf.Tensor) -> tf.Tensor:
        if self._axis == "channel":
            return tf.gather(value, order, axis=-1)
        height, width, channels = self.event_shape
        shape = tf.shape(value)
        pixels = tf.reshape(value, tf.concat([shape[:-3], [height * width, channels]], axis=0))
        return tf.reshape(tf.gather(pixels, order, axis=-2), shape)
