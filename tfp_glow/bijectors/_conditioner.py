# SPDX-License-Identifier: Apache-2.0
"""`Conditioner`: the network of a coupling, called on events of any batch shape and with an optional context."""

import inspect
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from tfp_glow._types import Shape


class Conditioner:
    """The network that maps the kept part of events, and possibly a context, to the parameters of a transform.

    The network always receives one batch axis.

    Args:
      name: name of the coupling, for error messages.
      network: a Keras 3 layer or model, or any other callable, such as a legacy `tf_keras` layer or a function.
      kept_shape: shape of the kept part of one event.
      context_shape: shape of the context of one event, or None. With a context the network is called on the list
        `[kept, context]`.
      output_shape: the required shape of the network's output for one event.
      dtype: dtype of contexts and outputs.
      input_name: what the network receives, for error messages.

    Raises:
      ValueError: if `network` is not callable, raises on such inputs, or has another output shape.

    Attributes:
      network: the network.
      variables: for a network that is no Keras 3 layer, the `tf.Variable`s that it reads while they are trainable.
    """

    def __init__(self, name: str, network: Callable, kept_shape: Shape, context_shape: Shape | None,
                 output_shape: Shape, dtype: tf.DType, input_name: str = "kept parts"):
        if not callable(network) or isinstance(network, type):
            raise ValueError("Argument `network` must be a Keras layer or model, or another callable; "
                             f"received {network!r}.")
        self.network = network
        self._name, self._kept_shape, self._context_shape = name, tuple(kept_shape), context_shape
        self._output_shape, self._dtype, self._input_name = tuple(output_shape), dtype, input_name
        # A Keras layer accepts `training` even if its `call` has no such argument.
        self._takes_training = isinstance(network, keras.Layer) or (
            "training" in inspect.signature(getattr(network, "call", network)).parameters)
        self.variables = self._build()

    def inputs(self, kept: tf.Tensor, context: Any = None) -> tf.Tensor | list[tf.Tensor]:
        """Returns the inputs of the network with one batch axis: `kept`, or the list `[kept, context]`."""
        flat = kept if self._has_one_batch_axis(kept) else tf.reshape(kept, (-1, *self._kept_shape))
        if self._context_shape is None:
            return flat
        context = broadcast_context(self._name, context, self._context_shape, kept, len(self._kept_shape))
        return [flat, tf.reshape(context, (-1, *self._context_shape))]

    def __call__(self, kept: tf.Tensor, context: Any = None, training: Any = None) -> tf.Tensor:
        """Returns the network's output, `[..., *output_shape]`, for `kept`, `[..., *kept_shape]`."""
        # Keras takes an explicit None for an answer and then does not look for the mode of the surrounding call.
        arguments = {} if training is None or not self._takes_training else {"training": training}
        raw = tf.cast(self.network(self.inputs(kept, context), **arguments), self._dtype)
        if self._has_one_batch_axis(kept):
            return raw
        return tf.reshape(raw, tf.concat([tf.shape(kept)[:-len(self._kept_shape)], self._output_shape], axis=0))

    def _has_one_batch_axis(self, kept: tf.Tensor) -> bool:
        return kept.shape.rank == len(self._kept_shape) + 1

    def _build(self) -> tuple[tf.Variable, ...]:
        """Builds the network, checks its output shape and returns the variables that a foreign network reads."""
        shapes = [self._kept_shape] if self._context_shape is None else [self._kept_shape, self._context_shape]
        is_keras = isinstance(self.network, keras.Layer)
        batch = None if is_keras else 2
        if is_keras:
            examples = [keras.KerasTensor((batch, *shape), dtype=self._dtype.name) for shape in shapes]
        else:
            examples = [tf.zeros((batch, *shape), self._dtype) for shape in shapes]
        takes = f"{self._input_name} of shape {self._kept_shape}"
        if self._context_shape is not None:
            takes = f"lists of {takes} and contexts of shape {self._context_shape}"
        try:
            with tf.GradientTape() as tape:
                output = self.network(examples if len(examples) > 1 else examples[0])
            received = tuple((output if is_keras else tf.convert_to_tensor(output)).shape)
        except Exception as error:
            raise ValueError(f"Argument `network` must take {takes}; received {self.network!r}, which raises "
                             f"{type(error).__name__}: {error}") from error
        if received != (batch, *self._output_shape):
            raise ValueError(f"Argument `network` must map {takes} to outputs of shape {self._output_shape}; received "
                             f"a network with outputs of shape {received[1:]}.")
        return () if is_keras else tape.watched_variables()


def broadcast_context(name: str, context: Any, context_shape: Shape, value: tf.Tensor, event_ndims: int) -> tf.Tensor:
    """Returns one context per event, `[..., *context_shape]`, in the dtype of the events.

    Args:
      name: name of the bijector, for error messages.
      context: the context that the caller passed, whose batch broadcasts to that of the events, or None.
      context_shape: shape of the context of one event.
      value: the events, or parts of them.
      event_ndims: rank of one event in `value`.

    Raises:
      ValueError: if `context` is None or has another shape.
    """
    batch_shape = value.shape[:-event_ndims]
    if context is not None:
        context = tf.cast(tf.convert_to_tensor(context), value.dtype)
    if context is None or not _broadcasts(context.shape, context_shape, batch_shape):
        received = "None" if context is None else f"shape {tuple(context.shape)}"
        raise ValueError(f"{name}: argument `context` must have a shape that ends in {context_shape}, after a batch "
                         f"shape that broadcasts to that of the events, {batch_shape}; received {received}.")
    context_batch = context.shape[:-len(context_shape)]
    if context_batch.is_fully_defined() and context_batch == batch_shape:
        return context
    return tf.broadcast_to(context, tf.concat([tf.shape(value)[:-event_ndims], context_shape], axis=0))


def _broadcasts(shape: tf.TensorShape, context_shape: Shape, batch_shape: tf.TensorShape) -> bool:
    rank = len(context_shape)
    if shape.rank is None:
        return True
    if shape.rank < rank or not shape[-rank:].is_compatible_with(context_shape):
        return False
    try:
        return tf.broadcast_static_shape(shape[:-rank], batch_shape).is_compatible_with(batch_shape)
    except ValueError:
        return False
