# SPDX-License-Identifier: Apache-2.0
"""`FlowBijector`: one pass a direction, Keras parameters that TFP sees too."""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow._checks import check_conditions, check_float_dtype
from tfp_glow.bijectors._pass_cache import PassCache
from tfp_glow.bijectors._stacking import key_of, substitute

tfb = tfp.bijectors


class FlowBijector(tfb.Bijector):
    """A bijector that finds its value and its log-det in one pass, with Keras 3 variables as parameters.

    A subclass writes two methods; everything of `tfb.Bijector` follows from them:

    * `_forward_and_log_det(x, **conditions)` -> `(y, log |det dy/dx|)`, latent to image;
    * `_inverse_and_log_det(y, **conditions)` -> `(x, log |det dx/dy|)`, image to latent.

    Both get events with any batch shape and return a `log_det` of batch shape, or a scalar where it is the same for
    every event. `conditions` are `context` (a tensor handed to the networks; whoever wants one has a `context_shape`)
    and `training` (for dropout and batch norm inside them). Two more may be overridden: `_initialize`, `_inverse_vjp`.

    Args:
      event_shape: shape of one event on the image side, as a sequence of ints.
      latent_shape: shape of one event on the latent side; `event_shape` by default.
      dtype: float dtype of events and parameters.
      is_constant_jacobian: whether the log-det is the same for every event.
      validate_args: passed to `tfb.Bijector`.
      parameters: the constructor's arguments, for `copy`.
      name: name of the bijector and of the Keras layer that holds its parameters.
    """

    _cache = PassCache(forward_name="_cached_forward", inverse_name="_cached_inverse")

    def __init__(self, event_shape, latent_shape=None, dtype="float32", is_constant_jacobian=False,
                 validate_args=False, parameters=None, name="flow_bijector"):
        dtype = check_float_dtype(dtype)
        event_shape = tuple(event_shape)
        latent_shape = event_shape if latent_shape is None else tuple(latent_shape)
        super().__init__(
            forward_min_event_ndims=len(latent_shape), inverse_min_event_ndims=len(event_shape), dtype=dtype,
            is_constant_jacobian=is_constant_jacobian, validate_args=validate_args, parameters=parameters, name=name)
        self._event_shape = self._no_dependency(event_shape)
        self._latent_shape = self._no_dependency(latent_shape)
        self._own_layer = FlowParameters(name=name, dtype=dtype.name)
        self._layers = self._no_dependency([self._own_layer])
        self._children = []

    # What a subclass's constructor uses.

    def _add_parameter(self, name, shape, initializer="zeros", trainable=True, dtype=None, regularizer=None):
        """Makes a Keras variable that both Keras and TFP list; mixed precision never lowers its dtype."""
        variable = self._own_layer.add_weight(
            name=name, shape=tuple(shape), initializer=initializer, trainable=trainable, regularizer=regularizer,
            dtype=dtype or self.dtype.name, autocast=False)
        setattr(self._own_layer, name, variable)  # TensorFlow's checkpoints follow attributes.
        return self._see(variable)

    def _add_network(self, network):
        """Adopts a built Keras layer."""
        self._layers.append(network)
        self._saved = [*getattr(self, "_saved", ()), *network.variables]  # Checkpoints look past a layer's own lists.
        for variable in network.variables:
            self._see(variable)
        return network

    def _add_child(self, bijector):
        """Adopts another bijector."""
        self._children.append(bijector)
        return bijector

    def _see(self, variable):
        # `tf.Module` looks for `tf.Variable`s among attributes; a Keras variable holds one. Checkpoints, which follow
        # dependencies, find it through its layer and need not save it twice.
        self._tf_variables = self._no_dependency([*getattr(self, "_tf_variables", ()), variable.value])
        return variable

    # What Keras and the bijectors around this one use.

    @property
    def event_shape(self):
        """Shape of one event on the image side, a tuple."""
        return self._event_shape

    @property
    def latent_shape(self):
        """Shape of one event on the latent side, a tuple."""
        return self._latent_shape

    @property
    def keras_layers(self):
        """The Keras layers that hold every parameter of this bijector and of those inside it, each once."""
        layers = [layer for layer in self._layers if layer.variables]
        return list(dict.fromkeys([*layers, *(layer for part in self._parts for layer in part.keras_layers)]))

    @property
    def context_shape(self):
        """Shape of the context that a pass needs for one event, a tuple; None if no part depends on one."""
        return next((part.context_shape for part in self._parts if part.context_shape is not None), None)

    @property
    def _parts(self):
        """The flow bijectors in this one, those in tfb.Invert and its like too."""
        among = [[child] if isinstance(child, FlowBijector) else child.submodules for child in self._children]
        return [part for parts in among for part in parts if isinstance(part, FlowBijector)]

    @property
    def keras_variables(self):
        """The Keras variables of `keras_layers`, in a fixed order."""
        return list({id(v): v for layer in self.keras_layers for v in layer.variables}.values())

    @property
    def is_initialized(self):
        """Whether all data-dependent parameters are set: those have a bool variable, their only use here, to say so."""
        return all(keras.ops.convert_to_numpy(v).all() for v in self.keras_variables if v.dtype == "bool")

    def forward_and_log_det(self, x, **conditions):
        """Returns `(y, log |det dy/dx|)` of one pass from latent to image; the log-det has the batch's shape."""
        check_conditions(self, conditions)
        x = self._checked("x", x, self.latent_shape)
        y, log_det = self._forward_and_log_det(x, **conditions)
        return y, _of_batch_shape(log_det, x, len(self.latent_shape))

    def inverse_and_log_det(self, y, **conditions):
        """Returns `(x, log |det dx/dy|)` of one pass from image to latent; the log-det has the batch's shape."""
        check_conditions(self, conditions)
        y = self._checked("y", y, self.event_shape)
        x, log_det = self._inverse_and_log_det(y, **conditions)
        return x, _of_batch_shape(log_det, y, len(self.event_shape))

    def _checked(self, argument, value, shape):
        value = tf.convert_to_tensor(value, dtype=self.dtype)
        if not value.shape[-len(shape):].is_compatible_with(shape) or (value.shape.rank or 99) < len(shape):
            raise ValueError(f"{self.name}: argument `{argument}` must have a shape that ends in {shape}; "
                             f"received shape {tuple(value.shape)}.")
        return value

    # The primitives, and what follows from them.

    def _forward_and_log_det(self, x, **conditions):
        raise NotImplementedError(f"{type(self).__name__} must define _forward_and_log_det.")

    def _inverse_and_log_det(self, y, **conditions):
        raise NotImplementedError(f"{type(self).__name__} must define _inverse_and_log_det.")

    def _initialize(self, y, **conditions):
        """Sets data-dependent parameters from a batch of images and returns the batch's latents."""
        return self._inverse_and_log_det(y, **conditions)[0]

    def _inverse_vjp(self, x, dx, dlog_det, **conditions):
        """Goes back through `_inverse_and_log_det` from its *outputs*: `(y, dy, d_sources)`.

        `d_sources` has the keys of `_sources()`. A bijector with a network overrides this so that rebuilding `y` and
        differentiating share one evaluation of the network.
        """
        y = tf.stop_gradient(self._forward_and_log_det(x, **conditions)[0])
        sources = self._sources(**conditions)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([y, sources])
            outputs = self._inverse_and_log_det(y, **conditions)
        cotangents = [dx, of_shape_of(outputs[1], dlog_det)]
        dy, d_sources = tape.gradient(outputs, [y, sources], cotangents, tf.UnconnectedGradients.ZERO)
        return y, dy, d_sources

    def _sources(self, context=None, training=None):
        """The tensors by which trainable parameters, and a context, enter a pass, each under a key."""
        sources = {key_of(v): self._read(v) for v in self.keras_variables if v.trainable}
        return sources if self.context_shape is None else {**sources, "context": context}

    @staticmethod
    def _read(variable):
        """A parameter's value, as `substituted` or a `keras.StatelessScope` around may define it."""
        value = substitute(key_of(variable))
        return tf.convert_to_tensor(variable.value) if value is None else value

    def _affine_stages(self):
        """The parts of a pass that are one affine map of the channels, which a loop can prepare for all its steps."""
        return []

    def _cached_forward(self, x, **conditions):
        y, log_det = self.forward_and_log_det(x, **conditions)
        return y, {"ildj": -log_det}

    def _cached_inverse(self, y, **conditions):
        x, log_det = self.inverse_and_log_det(y, **conditions)
        return x, {"ildj": log_det}

    def _forward_log_det_jacobian(self, x, **conditions):
        y = self._cache.forward(x, **conditions)  # Held: the cache lets go of a pass when its result is gone.
        log_det = -self._cache.forward_attributes(x, **conditions)["ildj"]
        del y
        return log_det

    def _inverse_log_det_jacobian(self, y, **conditions):
        x = self._cache.inverse(y, **conditions)
        log_det = self._cache.inverse_attributes(y, **conditions)["ildj"]
        del x
        return log_det

    def _forward_event_shape(self, shape):
        return self._other_side("input_shape", shape, self.latent_shape, self.event_shape)

    def _inverse_event_shape(self, shape):
        return self._other_side("output_shape", shape, self.event_shape, self.latent_shape)

    def _other_side(self, argument, shape, here, there):
        if shape.rank is None:
            return tf.TensorShape(None)
        if shape.rank < len(here) or not shape[-len(here):].is_compatible_with(here):
            raise ValueError(f"{self.name}: argument `{argument}` must end in {here}; received {shape}.")
        return shape[:-len(here)].concatenate(there)

    def _forward_event_shape_tensor(self, shape):
        return tf.concat([shape[:-len(self.latent_shape)], self.event_shape], axis=0)

    def _inverse_event_shape_tensor(self, shape):
        return tf.concat([shape[:-len(self.event_shape)], self.latent_shape], axis=0)

    @classmethod
    def _parameter_properties(cls, dtype):
        return {}  # No parameter has a batch shape.

    def _get_parameterization(self):
        return id(self)  # Weights are state: a bijector equals itself only.


class FlowParameters(keras.layers.Layer):
    """The Keras layer that holds a flow bijector's own parameters; as a layer it does nothing."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.built = True

    def call(self, inputs):
        return inputs


def of_shape_of(log_det, dlog_det):
    """The cotangent of a log-det that may be one scalar for the whole batch."""
    return tf.reduce_sum(dlog_det) if log_det.shape.rank == 0 else dlog_det


def _of_batch_shape(log_det, event, event_ndims):
    if log_det.shape.rank == 0 and event.shape.rank != event_ndims:
        return tf.broadcast_to(log_det, tf.shape(event)[:tf.rank(event) - event_ndims])
    return log_det
