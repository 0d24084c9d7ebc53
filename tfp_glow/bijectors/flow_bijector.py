# SPDX-License-Identifier: Apache-2.0
"""`FlowBijector`: the base class of all bijectors of this package."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from tensorflow_probability import bijectors as tfb

from tfp_glow._checks import check_float_dtype, ending_in
from tfp_glow._compat_tensorflow import untracked
from tfp_glow._compat_tfp import cache_of, mutable_bijector
from tfp_glow._tracking import ParameterLayer, show_variables
from tfp_glow._types import DTypeLike, Shape, TensorLike
from tfp_glow.bijectors._conditioner import check_context
from tfp_glow.bijectors._pass_cache import PassCache
from tfp_glow.bijectors._training_checks import checked_training

CONDITIONS = ("context", "training")


@mutable_bijector(PassCache(forward_name="_cached_forward", inverse_name="_cached_inverse"))
class FlowBijector(tfb.Bijector):
    """A bijector that computes its value and its log-determinant in one pass; its parameters are Keras 3 variables.

    A subclass defines two methods, and everything that `tfb.Bijector` offers follows from them:

    * `_forward_and_log_det(x, **conditions)` returns `(y, log |det dy/dx|)`, from latents to data;
    * `_inverse_and_log_det(y, **conditions)` returns `(x, log |det dx/dy|)`, from data to latents.

    Both methods receive events with any batch shape. They return a log-determinant of the batch shape, or a scalar
    log-determinant if it is the same for every event.

    `conditions` can have two keys. `context` is a tensor `[..., *context_shape]` for the conditioners, if the bijector
    has a `context_shape`. `training` is a bool for dropout and batch normalization; without it the mode comes from
    Keras (`fit`). A subclass may also override `_initialize` (data-dependent initialization) and `_inverse_vjp`
    (reversible backpropagation).

    The constructor of a subclass registers what is trained and saved:

    * `self._add_parameter(name, shape, initializer="zeros", trainable=True)` creates a Keras variable;
    * `self._add_network(layer)` takes a Keras layer or model that is built;
    * `self._add_child(bijector)` takes another bijector.

    Each returns what it registered.

    Args:
      event_shape: shape of one event on the data side, a sequence of ints.
      latent_shape: shape of one event on the latent side. None (the default) is `event_shape`.
      dtype: float32 (the default) or float64, of events and parameters.
      is_constant_jacobian: a bool. True declares that the log-determinant is the same for every event. The default is
        False.
      validate_args: a bool, passed to `tfb.Bijector`. The default is False.
      parameters: dict of the arguments of the subclass's constructor, which the method `copy` requires. The default is
        None.
      name: name of the bijector, and of the Keras layer that holds its parameters.

    Raises:
      ValueError: if `dtype` is neither float32 nor float64, or `event_shape` is no sequence of ints. If an attribute is
        set to a Keras layer or variable that is not registered. In a call: if one of the two methods does not return a
        pair with a log-determinant of the batch shape.

    Example:

    >>> class Double(tfp_glow.bijectors.FlowBijector):
    ...     def _forward_and_log_det(self, x, **conditions):
    ...         return 2.0 * x, tf.constant(self.event_shape[0] * np.log(2.0), self.dtype)
    ...
    ...     def _inverse_and_log_det(self, y, **conditions):
    ...         return 0.5 * y, tf.constant(-self.event_shape[0] * np.log(2.0), self.dtype)
    >>> Double(event_shape=(3,)).forward([1.0, 2.0, 3.0]).numpy().tolist()
    [2.0, 4.0, 6.0]
    """

    def __init__(self, event_shape: Sequence[int], latent_shape: Sequence[int] | None = None,
                 dtype: DTypeLike = "float32", is_constant_jacobian: bool = False, validate_args: bool = False,
                 parameters: dict[str, Any] | None = None, name: str = "flow_bijector"):
        dtype = check_float_dtype(dtype)
        event_shape = _as_shape("event_shape", event_shape)
        latent_shape = event_shape if latent_shape is None else _as_shape("latent_shape", latent_shape)
        super().__init__(
            forward_min_event_ndims=len(latent_shape), inverse_min_event_ndims=len(event_shape), dtype=dtype,
            is_constant_jacobian=is_constant_jacobian, validate_args=validate_args, parameters=parameters, name=name)
        self._event_shape = untracked(self, event_shape)
        self._latent_shape = untracked(self, latent_shape)
        self._own_layer = ParameterLayer(name=name, dtype=dtype.name)
        self._layers = untracked(self, [self._own_layer])
        self._children: list[tfb.Bijector] = []
        self.has_warned, self.known_as_initialized = False, False

    def __setattr__(self, name: str, value: Any) -> None:
        """Sets an attribute, but refuses Keras layers and variables that are not registered.

        Nothing would train or save them.
        """
        layers = getattr(self, "_layers", ())
        items = value if isinstance(value, (list, tuple)) else [value]
        for item in items if name not in ("_own_layer", "_layers") else ():
            if isinstance(item, keras.layers.Layer) and not any(item is layer for layer in layers):
                raise ValueError(f"{type(self).__name__}: attribute `{name}` must hold a registered layer, or nothing "
                                 "would train and save it; received a Keras layer that is not registered. Call the "
                                 "constructor of the base class, build the layer, and write "
                                 f"`self.{name} = self._add_network(layer)`.")
            if isinstance(item, keras.Variable) and not any(item is v for layer in layers for v in layer.variables):
                raise ValueError(f"{type(self).__name__}: attribute `{name}` must hold a registered variable, or "
                                 "nothing would train and save it; received a Keras variable that is not registered. "
                                 f"Write `self.{name} = self._add_parameter(name, shape)`.")
        super().__setattr__(name, value)

    def __reduce__(self) -> Any:
        raise TypeError(f"The bijector {self.name!r} cannot be pickled or copied deeply. Instead, pickle the flow that "
                        "contains it if a registered flow built it (`tfp_glow.flows.register_flow`). Otherwise store "
                        "the values of `bijector.variables` and build the bijector again.")

    # For the constructors of subclasses.

    def _add_parameter(self, name: str, shape: Sequence[int], initializer: Any = "zeros", trainable: bool = True,
                       dtype: DTypeLike | None = None, regularizer: Any = None) -> keras.Variable:
        """Creates a parameter of this bijector, a Keras variable. Mixed-precision policies do not change its dtype."""
        variable = self._own_layer.add_parameter(
            name, shape=tuple(shape), initializer=initializer, trainable=trainable, regularizer=regularizer,
            dtype=dtype or self.dtype.name)
        show_variables(self, [variable])
        return variable

    def _add_indices(self, name: str, indices: Any) -> keras.Variable:
        """Creates a parameter of this bijector that holds indices. It is an int64 variable and is not trained."""
        variable = self._own_layer.add_indices(name, indices)
        show_variables(self, [variable])
        return variable

    def _add_network(self, network: keras.Layer) -> keras.Layer:
        """Registers a built Keras layer whose variables are parameters of this bijector."""
        self._layers.append(network)
        # TensorFlow's checkpoints follow this list, but no lists inside a Keras layer. They store the name `_saved`.
        self._saved = [*getattr(self, "_saved", ()), *network.variables]
        show_variables(self, network.variables)
        return network

    def _add_child(self, bijector: tfb.Bijector) -> tfb.Bijector:
        """Registers another bijector whose parameters become parameters of this bijector."""
        self._children.append(bijector)
        return bijector

    # Properties.

    @property
    def event_shape(self) -> Shape:
        """Shape of one event on the data side, a tuple of ints."""
        return self._event_shape

    @property
    def latent_shape(self) -> Shape:
        """Shape of one event on the latent side, a tuple of ints."""
        return self._latent_shape

    @property
    def context_shape(self) -> Shape | None:
        """Shape of the context of one event, a tuple of ints, or None if the bijector has no context.

        A context is an additional input of the conditioners, such as a one-hot label. With a context shape, every call
        requires `context=...`, a tensor `[..., *context_shape]` whose batch shape broadcasts to the
        batch shape of the events.
        """
        return next((part.context_shape for part in self._flow_parts if part.context_shape is not None), None)

    @property
    def keras_layers(self) -> list[keras.layers.Layer]:
        """The Keras layers with the parameters of this bijector and of the bijectors in it. Each layer occurs once."""
        layers = [layer for layer in self._layers if layer.variables]
        return list(dict.fromkeys([*layers, *(layer for part in self._flow_parts for layer in part.keras_layers)]))

    @property
    def keras_variables(self) -> list[keras.Variable]:
        """The Keras variables of `keras_layers`, in a fixed order."""
        return list({id(v): v for layer in self.keras_layers for v in layer.variables}.values())

    @property
    def network_dtypes(self) -> set[str]:
        """Names of the dtypes that the Keras layers of `keras_layers` compute in, such as `{"bfloat16", "float32"}`."""
        return {dtype for layer in self.keras_layers for dtype in _compute_dtypes(layer)}

    @property
    def is_initialized(self) -> bool:
        """True if all data-dependent parameters are set, or if there are none.

        A bijector or layer with data-dependent parameters stores in a bool variable whether they are set.
        """
        return all(keras.ops.convert_to_numpy(v).all() for v in self.keras_variables if v.dtype == "bool")

    @property
    def _flow_parts(self) -> list["FlowBijector"]:
        """The flow bijectors among the children, including those inside `tfb.Invert` and similar wrappers."""
        found = [[child] if isinstance(child, FlowBijector) else child.submodules for child in self._children]
        return [part for parts in found for part in parts if isinstance(part, FlowBijector)]

    # The two passes.

    def forward_and_log_det(self, x: TensorLike, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Maps latents to data and computes the log-determinant in the same pass.

        Args:
          x: latents, `[..., *latent_shape]`.
          **conditions: `context`, a tensor `[..., *context_shape]`, required if `context_shape` is not None; and
            `training`, a bool for dropout and batch normalization. Without it the mode comes from Keras (`fit`).

        Returns:
          `(y, log |det dy/dx|)`: tensors `[..., *event_shape]` and `[...]`.

        Raises:
          ValueError: if `x` has another shape, a keyword is neither `context` nor `training`, `context` is missing or
            does not have the shape above, or `context` is given although `context_shape` is None.
        """
        x = self._checked("x", x, self.latent_shape)
        conditions = self._checked_conditions(conditions, x.shape[:-len(self.latent_shape)])
        with checked_training(self, from_data=False):
            y, log_det = checked_pass(self, "forward", x, len(self.latent_shape), **conditions)
        return y, _with_batch_shape(log_det, x, len(self.latent_shape))

    def inverse_and_log_det(self, y: TensorLike, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Maps data to latents and computes the log-determinant in the same pass.

        Args:
          y: data, `[..., *event_shape]`.
          **conditions: `context`, a tensor `[..., *context_shape]`, required if `context_shape` is not None; and
            `training`, a bool for dropout and batch normalization. Without it the mode comes from Keras (`fit`).

        Returns:
          `(x, log |det dx/dy|)`: tensors `[..., *latent_shape]` and `[...]`.

        Raises:
          ValueError: if `y` has another shape, a keyword is neither `context` nor `training`, `context` is missing or
            does not have the shape above, or `context` is given although `context_shape` is None.
        """
        y = self._checked("y", y, self.event_shape)
        conditions = self._checked_conditions(conditions, y.shape[:-len(self.event_shape)])
        with checked_training(self, from_data=True):
            x, log_det = checked_pass(self, "inverse", y, len(self.event_shape), **conditions)
        return x, _with_batch_shape(log_det, y, len(self.event_shape))

    def _forward_and_log_det(self, x: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        raise NotImplementedError(f"{type(self).__name__} must define _forward_and_log_det.")

    def _inverse_and_log_det(self, y: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        raise NotImplementedError(f"{type(self).__name__} must define _inverse_and_log_det.")

    def _checked(self, argument: str, value: TensorLike, shape: Shape) -> tf.Tensor:
        value = tf.convert_to_tensor(value, dtype=self.dtype)
        return ending_in(f"{self.name}: argument `{argument}`", value, shape)

    def _checked_conditions(self, conditions: dict[str, Any], batch_shape: tf.TensorShape) -> dict[str, Any]:
        """Returns the keyword arguments of a pass, with the context as a tensor, or raises `ValueError`."""
        for key in conditions:
            if key not in CONDITIONS:
                raise ValueError(f"{self.name}: keyword must be one of {', '.join(map(repr, CONDITIONS))}; "
                                 f"received {key!r}.")
        context, context_shape = conditions.get("context"), self.context_shape
        if context_shape is not None:
            return {**conditions, "context": check_context(self.name, context, context_shape, batch_shape)}
        if context is not None:
            raise ValueError(f"{self.name}: argument `context` must be left out, because no part has a "
                             f"`context_shape`; received a context of shape "
                             f"{tuple(tf.convert_to_tensor(context).shape)}.")
        return conditions

    # Data-dependent initialization and reversible backpropagation.

    def _initialize(self, y: tf.Tensor, **conditions: Any) -> tf.Tensor:
        """Sets data-dependent parameters from a batch of data and returns the latents of the batch."""
        return self._inverse_and_log_det(y, **conditions)[0]

    def _inverse_vjp(self, x: tf.Tensor, dx: tf.Tensor, dlog_det: tf.Tensor,
                     **conditions: Any) -> tuple[tf.Tensor, tf.Tensor, dict[str, tf.Tensor]]:
        """Computes the gradient of `_inverse_and_log_det` from the outputs of that pass, and rebuilds its input.

        This is a vector-Jacobian product for reversible backpropagation. A coupling overrides this method, so that it
        evaluates its conditioner once instead of twice.

        Args:
          x: the latents that the inverse pass returned.
          dx: gradient of the loss with respect to `x`.
          dlog_det: gradient of the loss with respect to the log-determinant, of the batch shape.
          **conditions: the keyword arguments of the inverse pass.

        Returns:
          `(y, dy, d_sources)`: the rebuilt data, the gradient with respect to `y`, and a dict of the gradients with
          respect to the tensors of `_sources()`, with the same keys.
        """
        y = tf.stop_gradient(self._forward_and_log_det(x, **conditions)[0])
        sources = self._sources(**conditions)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([y, sources])
            outputs = self._inverse_and_log_det(y, **conditions)
        cotangents = [dx, like_log_det(outputs[1], dlog_det)]
        dy, d_sources = tape.gradient(outputs, [y, sources], cotangents, tf.UnconnectedGradients.ZERO)
        return y, dy, d_sources

    def _sources(self, context: Any = None, training: Any = None) -> dict[str, tf.Tensor]:
        """Returns the values of trainable parameters under their `source_key`, and the context under `"context"`."""
        sources = {source_key(v): self._read(v) for v in self.keras_variables if v.trainable}
        return sources if self.context_shape is None else {**sources, "context": context}

    @staticmethod
    def _read(variable: keras.Variable) -> tf.Tensor:
        """Returns the value of a parameter. Inside a `keras.StatelessScope` it is the value that the scope defines."""
        return tf.convert_to_tensor(variable.value)

    def _prepared(self) -> "FlowBijector":
        """Returns the form of this bijector that `Repeat` runs in its loop; see `tfp_glow.bijectors.repeat`."""
        return self

    # The methods that TFP calls.

    def _cached_forward(self, x: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        y, log_det = self.forward_and_log_det(x, **conditions)
        return y, {"ildj": -log_det}

    def _cached_inverse(self, y: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        x, log_det = self.inverse_and_log_det(y, **conditions)
        return x, {"ildj": log_det}

    def _forward_log_det_jacobian(self, x: tf.Tensor, **conditions: Any) -> tf.Tensor:
        cached = cache_of(self).forward_attributes(x, **conditions)
        return -cached["ildj"] if cached else self.forward_and_log_det(x, **conditions)[1]

    def _inverse_log_det_jacobian(self, y: tf.Tensor, **conditions: Any) -> tf.Tensor:
        cached = cache_of(self).inverse_attributes(y, **conditions)
        return cached["ildj"] if cached else self.inverse_and_log_det(y, **conditions)[1]

    def _forward_event_shape(self, shape: tf.TensorShape) -> tf.TensorShape:
        return self._replace_event_shape("input_shape", shape, self.latent_shape, self.event_shape)

    def _inverse_event_shape(self, shape: tf.TensorShape) -> tf.TensorShape:
        return self._replace_event_shape("output_shape", shape, self.event_shape, self.latent_shape)

    def _replace_event_shape(self, argument: str, shape: tf.TensorShape, old: Shape, new: Shape) -> tf.TensorShape:
        if shape.rank is None:
            return tf.TensorShape(None)
        if shape.rank < len(old) or not shape[-len(old):].is_compatible_with(old):
            raise ValueError(f"{self.name}: argument `{argument}` must end in {old}; received {shape}.")
        return shape[:-len(old)].concatenate(new)

    def _forward_event_shape_tensor(self, shape: tf.Tensor) -> tf.Tensor:
        return tf.concat([shape[:-len(self.latent_shape)], self.event_shape], axis=0)

    def _inverse_event_shape_tensor(self, shape: tf.Tensor) -> tf.Tensor:
        return tf.concat([shape[:-len(self.event_shape)], self.latent_shape], axis=0)

    @classmethod
    def _parameter_properties(cls, dtype: tf.DType) -> dict[str, Any]:
        return {}  # No parameter has a batch shape.


def _as_shape(argument: str, shape: Any) -> Shape:
    if isinstance(shape, (str, int)) or not hasattr(shape, "__iter__"):
        raise ValueError(f"Argument `{argument}` must be a sequence of ints, such as (2,); received {shape!r}.")
    return tuple(shape)


def checked_pass(bijector: FlowBijector, direction: str, event: tf.Tensor, event_ndims: int,
                 **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Calls `_forward_and_log_det` or `_inverse_and_log_det`, and checks what it returns.

    Args:
      bijector: the bijector.
      direction: `"forward"` or `"inverse"`.
      event: the argument, `[..., *shape]`, where `shape` has `event_ndims` sizes.
      event_ndims: number of axes of one event.
      **conditions: keyword arguments of the method.

    Raises:
      ValueError: if the method does not return a pair, or if the log-determinant has neither the batch shape nor the
        shape of a scalar.
    """
    method = f"_{direction}_and_log_det"
    returned = getattr(bijector, method)(event, **conditions)
    if not isinstance(returned, (tuple, list)) or len(returned) != 2:
        raise ValueError(f"{bijector.name}: method `{method}` must return a pair, the value and its log-determinant; "
                         f"received {type(returned).__name__}.")
    value, log_det = returned
    log_det = tf.convert_to_tensor(log_det, dtype_hint=bijector.dtype)
    shape = tf.TensorShape(event.shape)
    if log_det.shape.rank and shape.rank is not None:
        batch_shape = shape[:shape.rank - event_ndims]
        if not log_det.shape.is_compatible_with(batch_shape):
            raise ValueError(f"{bijector.name}: method `{method}` must return a log-determinant of the batch shape "
                             f"{batch_shape}, one number per event, or a scalar; received one of shape "
                             f"{log_det.shape}. Sum it over the axes of an event.")
    return value, log_det


def _compute_dtypes(layer: keras.layers.Layer) -> set[str]:
    """Returns the compute dtype of a layer. For a model, returns those of its layers, because it computes in them."""
    if isinstance(layer, keras.Model) and layer.layers:
        return {dtype for inner in layer.layers for dtype in _compute_dtypes(inner)}
    return {layer.compute_dtype}


def source_key(variable: keras.Variable) -> str:
    """Returns the key of a variable in a dict of gradients. It is a string, because `tf.nest` sorts keys."""
    return str(id(variable))


def like_log_det(log_det: tf.Tensor, dlog_det: tf.Tensor) -> tf.Tensor:
    """Returns the gradient `dlog_det` in the shape of `log_det`: summed over the batch if `log_det` is a scalar."""
    return tf.reduce_sum(dlog_det) if log_det.shape.rank == 0 else dlog_det


def _with_batch_shape(log_det: tf.Tensor, event: tf.Tensor, event_ndims: int) -> tf.Tensor:
    if log_det.shape.rank == 0 and event.shape.rank != event_ndims:
        return tf.broadcast_to(log_det, tf.shape(event)[:tf.rank(event) - event_ndims])
    return log_det
