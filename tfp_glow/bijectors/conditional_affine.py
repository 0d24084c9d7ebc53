# SPDX-License-Identifier: Apache-2.0
"""ConditionalAffine: a scale and shift of every channel that depends on a context."""

import math

import tensorflow as tf

from tfp_glow._checks import check_shape
from tfp_glow.bijectors._conditioner import context_of_batch
from tfp_glow.bijectors.flow_bijector import FlowBijector


class ConditionalAffine(FlowBijector):
    """Scales and shifts every channel by what a linear map of the context says.

    With `shift, log_scale = split(context @ kernel + bias)`, per channel, at every pixel:

    * forward: `y = x * exp(log_scale) + shift`, log-det `H * W * sum(log_scale)`;
    * inverse: `x = (y - shift) * exp(-log_scale)`, log-det `-H * W * sum(log_scale)`.

    At the latent end of a flow, and given one-hot labels, it is a normal prior with a mean and a scale for each class.
    `kernel` and `bias` start at zero, so at first it is the identity. Every call needs `context=...` (through
    distributions: `bijector_kwargs={"context": ...}`), a tensor `[..., size]` whose batch broadcasts to that of the
    events.

    Args:
      shape: event shape, `(height, width, channels)` or `(size,)`.
      context_shape: shape of the context of one event, `(size,)`.
      dtype: float32 or float64, of events, contexts and parameters.
      validate_args: passed to `tfb.Bijector`.
      name: name of the bijector.

    Raises:
      ValueError: if an argument is not as said; in a call, if `context` is missing or of a wrong shape.

    Reference: Kingma and Dhariwal, *Glow*, 2018, and the published code: what its option `ycond` adds to the top prior.

    >>> prior = ConditionalAffine((4, 4, 3), context_shape=(10,))
    >>> prior.inverse(tf.zeros((2, 4, 4, 3)), context=tf.one_hot([7, 1], 10)).shape
    TensorShape([2, 4, 4, 3])
    """

    def __init__(self, shape, context_shape, dtype="float32", validate_args=False, name="conditional_affine"):
        parameters = dict(locals())
        shape = check_shape("shape", shape, ranks=(1, 3))
        context_shape = check_shape("context_shape", context_shape, ranks=(1,))
        super().__init__(shape, dtype=dtype, validate_args=validate_args, parameters=parameters, name=name)
        self._context_shape = self._no_dependency(context_shape)
        self.kernel = self._add_parameter("kernel", (*context_shape, 2 * shape[-1]))
        self.bias = self._add_parameter("bias", (2 * shape[-1],))

    @property
    def context_shape(self):
        """Shape of the context of one event, a tuple."""
        return self._context_shape

    def _forward_and_log_det(self, x, **conditions):
        shift, log_scale = self._shift_and_log_scale(x, **conditions)
        return x * tf.exp(log_scale) + shift, self._log_det(log_scale)

    def _inverse_and_log_det(self, y, **conditions):
        shift, log_scale = self._shift_and_log_scale(y, **conditions)
        return (y - shift) * tf.exp(-log_scale), -self._log_det(log_scale)

    def _shift_and_log_scale(self, value, context=None, training=None):
        """Both `[..., channels]`, with axes of size 1 for the pixels."""
        rank = len(self.event_shape)
        context = context_of_batch(self.name, context, self._context_shape, value, rank)
        raw = tf.linalg.matvec(self._read(self.kernel), context, transpose_a=True) + self._read(self.bias)
        for _ in range(rank - 1):
            raw = raw[..., tf.newaxis, :]
        return tf.split(raw, 2, axis=-1)

    def _log_det(self, log_scale):
        return math.prod(self.event_shape[:-1]) * tf.reduce_sum(log_scale, axis=list(range(-len(self.event_shape), 0)))
