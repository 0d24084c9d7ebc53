# SPDX-License-Identifier: Apache-2.0
"""`BindContext`: a bijector without a context, made of one that requires a context."""

from typing import Any

import tensorflow as tf

from tfp_glow._compat_tensorflow import untracked
from tfp_glow._types import TensorLike
from tfp_glow.bijectors._conditioner import check_context
from tfp_glow.bijectors.flow_bijector import FlowBijector


class BindContext(FlowBijector):
    """Runs a bijector with a fixed context.

    * forward: `y = bijector.forward(x, context=context)`;
    * inverse: `x = bijector.inverse(y, context=context)`.

    The log-determinant is the log-determinant of `bijector`. Gradients with respect to the context exist. A bijector
    such as this one is quick to create: it has no parameters of its own.

    Args:
      bijector: a `FlowBijector` with a `context_shape`.
      context: numbers `[..., *bijector.context_shape]`. The batch shape of the context broadcasts to the batch shape of
        the events.
      validate_args: a bool, passed to `tfb.Bijector`. The default is False.
      name: name of the bijector.

    Raises:
      ValueError: if `bijector` is no `FlowBijector` with a `context_shape`, or if `context` has another shape.

    Example:

    >>> coupling = tfp_glow.bijectors.AdditiveCoupling((4,), tfp_glow.networks.MLP(2), context_shape=(3,))
    >>> tfp_glow.bijectors.BindContext(coupling, [0.0, 1.0, 2.0]).inverse(tf.zeros((2, 4))).shape
    TensorShape([2, 4])
    """

    def __init__(self, bijector: FlowBijector, context: TensorLike, validate_args: bool = False,
                 name: str = "bind_context"):
        parameters = dict(locals())
        if not isinstance(bijector, FlowBijector) or bijector.context_shape is None:
            raise ValueError("Argument `bijector` must be a FlowBijector with a `context_shape`; "
                             f"received {bijector!r}.")
        super().__init__(
            bijector.event_shape, bijector.latent_shape, dtype=bijector.dtype, validate_args=validate_args,
            is_constant_jacobian=bijector.is_constant_jacobian, parameters=parameters, name=name)
        context = check_context(bijector.name, context, bijector.context_shape, tf.TensorShape(None))
        self._bijector = self._add_child(bijector)
        self._context = untracked(self, context)

    @property
    def context_shape(self) -> None:
        """None: calls receive no context."""
        return None

    def _forward_and_log_det(self, x: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        return self._bijector.forward_and_log_det(x, context=self._context, **conditions)

    def _inverse_and_log_det(self, y: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        return self._bijector.inverse_and_log_det(y, context=self._context, **conditions)

    def _initialize(self, y: tf.Tensor, **conditions: Any) -> tf.Tensor:
        return self._bijector._initialize(y, context=self._context, **conditions)
