# SPDX-License-Identifier: Apache-2.0
"""`MapContext`: one network that prepares the context of many couplings."""

import keras

from tfp_glow._checks import check_shape
from tfp_glow.bijectors._conditioner import Conditioner, context_of_batch
from tfp_glow.bijectors.flow_bijector import FlowBijector


class MapContext(FlowBijector):
    """A bijector whose parts get as context what a network makes of the context given, once for all of them.

    * forward: `y = bijector.forward(x, context=network(context))`;
    * inverse: `x = bijector.inverse(y, context=network(context))`.

    The log-det is the bijector's.

    Args:
      bijector: a `FlowBijector` with a `context_shape`.
      network: a Keras layer or model, or another callable as for `Coupling`, that maps contexts
        `[batch, *context_shape]` to `[batch, *bijector.context_shape]`. Built here if it is not. A method `initialize`
        it may have is called with the context by `tfp_glow.initialize`.
      context_shape: shape of the context of one event, `(size,)` or `(height, width, channels)`.
      validate_args: passed to `tfb.Bijector`.
      name: name of the bijector.

    Raises:
      ValueError: if an argument is not as said, or the network's output shape is not that of the bijector's contexts;
        in a call, if `context` is missing or of a wrong shape.

    >>> coupling = tfp_glow.bijectors.AdditiveCoupling((4,), tfp_glow.networks.MLP(2), context_shape=(8,))
    >>> flow = MapContext(coupling, keras.layers.Dense(8), context_shape=(3,))
    >>> flow.inverse(tf.zeros((2, 4)), context=tf.zeros((2, 3))).shape
    TensorShape([2, 4])
    """

    def __init__(self, bijector, network, context_shape, validate_args=False, name="map_context"):
        parameters = dict(locals())
        if not isinstance(bijector, FlowBijector) or bijector.context_shape is None:
            raise ValueError("Argument `bijector` must be a FlowBijector with a `context_shape`; "
                             f"received {bijector!r}.")
        context_shape = check_shape("context_shape", context_shape, ranks=(1, 3))
        super().__init__(
            bijector.event_shape, bijector.latent_shape, dtype=bijector.dtype, validate_args=validate_args,
            is_constant_jacobian=bijector.is_constant_jacobian, parameters=parameters, name=name)
        self._bijector = self._add_child(bijector)
        self._context_shape = self._no_dependency(context_shape)
        self._map = self._no_dependency(
            Conditioner(name, network, context_shape, None, bijector.context_shape, self.dtype, takes="contexts"))
        if isinstance(network, keras.Layer):
            self._network = self._add_network(network)
        else:
            self._network, self._network_variables = network, list(self._map.variables)

    @property
    def context_shape(self):
        """Shape of the context of one event, a tuple."""
        return self._context_shape

    def _forward_and_log_det(self, x, **conditions):
        mapped = self._mapped(x, len(self.latent_shape), **conditions)
        return self._bijector._forward_and_log_det(x, **{**conditions, "context": mapped})

    def _inverse_and_log_det(self, y, **conditions):
        mapped = self._mapped(y, len(self.event_shape), **conditions)
        return self._bijector._inverse_and_log_det(y, **{**conditions, "context": mapped})

    def _mapped(self, value, rank, context=None, training=None):
        """What the network makes of the context of events of a rank."""
        return self._map(self._context_of(value, rank, context), training=training)

    def _context_of(self, value, rank, context):
        return context_of_batch(self.name, context, self._context_shape, value, rank)

    def _initialize(self, y, **conditions):
        if hasattr(self._network, "initialize"):
            context = self._context_of(y, len(self.event_shape), conditions.get("context"))
            self._network.initialize(self._map.inputs(context))
        mapped = self._mapped(y, len(self.event_shape), **conditions)
        return self._bijector._initialize(y, **{**conditions, "context": mapped})
