# SPDX-License-Identifier: Apache-2.0
"""`ConditionalAffine`: a scale and shift of every channel that depend on a context."""

import math
from typing import Any

import tensorflow as tf

from tfp_glow._checks import check_shape
from tfp_glow._compat_tensorflow import untracked
from tfp_glow._types import DTypeLike, Shape, ShapeLike
from tfp_glow.bijectors._conditioner import broadcast_context
from tfp_glow.bijectors.flow_bijector import FlowBijector


class ConditionalAffine(FlowBijector):
    """Scales and shifts every channel; scale and shift are a linear function of a context.

    The vector `context @ kernel + bias` has `2 * channels` elements. The first half is `shift`, the second half is
    `log_scale`. At each of the `H * W` pixels (a vector counts as one pixel):

    * forward: `y = x * exp(log_scale) + shift`, log-determinant `H * W * sum(log_scale)`;
    * inverse: `x = (y - shift) * exp(-log_scale)`, log-determinant `-H * W * sum(log_scale)`.

    `kernel` and `bias` start at zero, so the bijector starts as the identity. On the latent side of a flow, and with
    one-hot labels as contexts, it makes the base distribution class-conditional: the base distribution then has its own
    mean and scale for each class and channel.

    Every call requires `context=...` (in a distribution: `bijector_kwargs={"context": ...}`), a tensor `[..., size]`
    whose batch shape broadcasts to the batch shape of the events.

    Args:
      shape: event shape, `(height, width, channels)` or `(size,)`.
      context_shape: shape of the context of one event, `(size,)`.
      dtype: float32 (the default) or float64, of events, contexts and parameters.
      validate_args: a bool, passed to `tfb.Bijector`. The default is False.
      name: name of the bijector.

    Raises:
      ValueError: if `shape` has neither 1 nor 3 positive sizes, `context_shape` is not one positive size, or `dtype` is
        neither float32 nor float64. In a call: if `context` is missing or has the wrong shape.

    References:
      Kingma and Dhariwal, *Glow*, 2018, with the published code: the class-conditional prior of its option `ycond`.

    Example:

    >>> prior = tfp_glow.bijectors.ConditionalAffine((4, 4, 3), context_shape=(10,))
    >>> prior.inverse(tf.zeros((2, 4, 4, 3)), context=tf.one_hot([7, 1], 10)).shape
    TensorShape([2, 4, 4, 3])
    """

    def __init__(self, shape: ShapeLike, context_shape: ShapeLike, dtype: DTypeLike = "float32",
                 validate_args: bool = False, name: str = "conditional_affine"):
        parameters = dict(locals())
        shape = check_shape("shape", shape, ranks=(1, 3))
        context_shape = check_shape("context_shape", context_shape, ranks=(1,))
        super().__init__(shape, dtype=dtype, validate_args=validate_args, parameters=parameters, name=name)
        self._context_shape = untracked(self, context_shape)
        self.kernel = self._add_parameter("kernel", (*context_shape, 2 * shape[-1]))
        self.bias = self._add_parameter("bias", (2 * shape[-1],))

    @property
    def context_shape(self) -> Shape:
        """Shape of the additional input `context` for one event: a tuple of ints."""
        return self._context_shape

    def _forward_and_log_det(self, x: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        shift, log_scale = self._shift_and_log_scale(x, **conditions)
        return x * tf.exp(log_scale) + shift, self._log_det(log_scale)

    def _inverse_and_log_det(self, y: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        shift, log_scale = self._shift_and_log_scale(y, **conditions)
        return (y - shift) * tf.exp(-log_scale), -self._log_det(log_scale)

    def _shift_and_log_scale(self, value: tf.Tensor, context: Any = None,
                             training: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns shift and log-scale, both `[..., channels]`, with axes of size 1 in the place of the pixels."""
        rank = len(self.event_shape)
        context = broadcast_context(self.name, context, self._context_shape, value, rank)
        raw = tf.linalg.matvec(self._read(self.kernel), context, transpose_a=True) + self._read(self.bias)
        for _ in range(rank - 1):
            raw = raw[..., tf.newaxis, :]
        return tf.split(raw, 2, axis=-1)

    def _log_det(self, log_scale: tf.Tensor) -> tf.Tensor:
        return math.prod(self.event_shape[:-1]) * tf.reduce_sum(log_scale, axis=list(range(-len(self.event_shape), 0)))
