# SPDX-License-Identifier: Apache-2.0
"""`MapContext`: a bijector whose context a network computes from another context."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from tfp_glow._checks import check_shape
from tfp_glow._compat_tensorflow import untracked
from tfp_glow._types import Shape, ShapeLike
from tfp_glow.bijectors._conditioner import Conditioner, broadcast_context
from tfp_glow.bijectors.flow_bijector import FlowBijector


class MapContext(FlowBijector):
    """Runs a bijector whose context is the output of a network.

    * forward: `y = bijector.forward(x, context=network(context))`;
    * inverse: `x = bijector.inverse(y, context=network(context))`.

    The log-determinant is the log-determinant of `bijector`. A pass evaluates the network once. All bijectors inside
    `bijector` share the output of the network.

    Args:
      bijector: a `FlowBijector` with a `context_shape`.
      network: a Keras layer or model, or another callable such as a function, that maps contexts
        `[batch, *context_shape]` to `[batch, *bijector.context_shape]`. The constructor builds the network if it is not
        built. If the network has a method `initialize`, `tfp_glow.initialize` calls it with the context.
      context_shape: shape of the context that the network receives for one event, `(size,)` or
        `(height, width, channels)`.
      validate_args: a bool, passed to `tfb.Bijector`. The default is False.
      name: name of the bijector.

    Raises:
      ValueError: if `bijector` is no `FlowBijector` with a `context_shape`, `context_shape` has neither 1 nor 3
        positive sizes, or the output of the network does not have the shape of the bijector's context. In a call: if
        `context` is missing or has the wrong shape.

    Example:

    >>> coupling = tfp_glow.bijectors.AdditiveCoupling((4,), tfp_glow.networks.MLP(2), context_shape=(8,))
    >>> flow = tfp_glow.bijectors.MapContext(coupling, keras.layers.Dense(8), context_shape=(3,))
    >>> flow.inverse(tf.zeros((2, 4)), context=tf.zeros((2, 3))).shape
    TensorShape([2, 4])
    """

    def __init__(self, bijector: FlowBijector, network: Callable, context_shape: ShapeLike, validate_args: bool = False,
                 name: str = "map_context"):
        parameters = dict(locals())
        if not isinstance(bijector, FlowBijector) or bijector.context_shape is None:
            raise ValueError("Argument `bijector` must be a FlowBijector with a `context_shape`; "
                             f"received {bijector!r}.")
        context_shape = check_shape("context_shape", context_shape, ranks=(1, 3))
        super().__init__(
            bijector.event_shape, bijector.latent_shape, dtype=bijector.dtype, validate_args=validate_args,
            is_constant_jacobian=bijector.is_constant_jacobian, parameters=parameters, name=name)
        self._bijector = self._add_child(bijector)
        self._context_shape = untracked(self, context_shape)
        self._conditioner = untracked(self, Conditioner(
            name, network, context_shape, None, bijector.context_shape, self.dtype, input_name="contexts"))
        if isinstance(network, keras.Layer):
            self._network = self._add_network(network)
        else:
            self._network, self._network_variables = network, list(self._conditioner.variables)

    @property
    def context_shape(self) -> Shape:
        """Shape of the additional input `context` for one event, which the network receives: a tuple of ints."""
        return self._context_shape

    def _forward_and_log_det(self, x: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        mapped = self._mapped_context(x, len(self.latent_shape), **conditions)
        return self._bijector._forward_and_log_det(x, **{**conditions, "context": mapped})

    def _inverse_and_log_det(self, y: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        mapped = self._mapped_context(y, len(self.event_shape), **conditions)
        return self._bijector._inverse_and_log_det(y, **{**conditions, "context": mapped})

    def _mapped_context(self, value: tf.Tensor, event_ndims: int, context: Any = None,
                        training: Any = None) -> tf.Tensor:
        """Returns the output of the network for the context of each event in `value`."""
        context = broadcast_context(self.name, context, self._context_shape, value, event_ndims)
        return self._conditioner(context, training=training)

    def _initialize(self, y: tf.Tensor, **conditions: Any) -> tf.Tensor:
        if hasattr(self._network, "initialize"):
            context = broadcast_context(
                self.name, conditions.get("context"), self._context_shape, y, len(self.event_shape))
            self._network.initialize(self._conditioner.inputs(context))
        mapped = self._mapped_context(y, len(self.event_shape), **conditions)
        return self._bijector._initialize(y, **{**conditions, "context": mapped})
