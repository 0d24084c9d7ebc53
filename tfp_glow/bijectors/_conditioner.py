# SPDX-License-Identifier: Apache-2.0
"""`Conditioner`: calls the network of a bijector on inputs of any batch shape, with an optional context."""

import inspect
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from tfp_glow._types import Shape


class Conditioner:
    """Wraps the network that maps the kept part of events, and possibly a context, to the parameters of a transform.

    The network receives inputs with exactly one batch axis. For other batch shapes, the wrapper flattens the batch axes
    of the input and restores them in the output.

    Args:
      name: name of the bijector, for error messages.
      network: a Keras 3 layer or model, or any other callable, such as a legacy `tf_keras` layer or a function.
      kept_shape: shape of the kept part of one event, a tuple of ints.
      context_shape: shape of the context of one event, a tuple of ints, or None for no context. With a context the
        network is called with the list `[kept, context]`, otherwise with `kept`.
      output_shape: the required shape of the network's output for one event, a tuple of ints.
      dtype: dtype of contexts and outputs.
      input_name: a plural noun for the inputs, for error messages. The default is `"kept parts"`.

    Raises:
      ValueError: if `network` is not callable, a call with inputs of these shapes raises an exception, or its output
        for one event does not have the shape `output_shape`.

    Attributes:
      network: the argument `network`.
      variables: a tuple of the trainable `tf.Variable`s that the constructor's trial call of the network reads. It is
        empty for a Keras 3 layer.
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
        self._has_training = isinstance(network, keras.Layer) or (
            "training" in inspect.signature(getattr(network, "call", network)).parameters)
        self.variables = self._build()

    def inputs(self, kept: tf.Tensor, context: Any = None) -> tf.Tensor | list[tf.Tensor]:
        """Flattens all batch axes into one and returns the network inputs: `kept`, or the list `[kept, context]`.

        Args:
          kept: kept parts of events, `[..., *kept_shape]`.
          context: a tensor `[..., *context_shape]` whose batch shape broadcasts to the batch shape of `kept`. Ignored
            if `context_shape` is None.

        Raises:
          ValueError: if a context is required, and `context` is None or has another shape.
        """
        flat = kept if self._has_one_batch_axis(kept) else tf.reshape(kept, (-1, *self._kept_shape))
        if self._context_shape is None:
            return flat
        context = broadcast_context(self._name, context, self._context_shape, kept, len(self._kept_shape))
        return [flat, tf.reshape(context, (-1, *self._context_shape))]

    def __call__(self, kept: tf.Tensor, context: Any = None, training: Any = None) -> tf.Tensor:
        """Evaluates the network.

        Args:
          kept: kept parts of events, `[..., *kept_shape]`.
          context: a tensor `[..., *context_shape]` whose batch shape broadcasts to the batch shape of `kept`. Ignored
            if `context_shape` is None.
          training: the training mode for the network, a bool. None (the default) leaves the argument out, so that Keras
            uses the mode of the surrounding call. Ignored by a network without an argument `training`.

        Returns:
          The output of the network, `[..., *output_shape]`.

        Raises:
          ValueError: if a context is required, and `context` is None or has another shape.
        """
        batch_shape = kept.shape[:-len(self._kept_shape)]
        # Some kernels of convolutions fail for an empty batch.
        if batch_shape.rank is not None and 0 in batch_shape.as_list():
            self.inputs(kept, context)
            empty = tf.zeros(tf.concat([tf.shape(kept)[:batch_shape.rank], self._output_shape], axis=0), self._dtype)
            return tf.ensure_shape(empty, batch_shape.concatenate(self._output_shape))
        # With an explicit `training=None`, Keras would not use the mode of the surrounding call.
        arguments = {} if training is None or not self._has_training else {"training": training}
        raw = tf.cast(self.network(self.inputs(kept, context), **arguments), self._dtype)
        if self._has_one_batch_axis(kept):
            return raw
        return tf.reshape(raw, tf.concat([tf.shape(kept)[:-len(self._kept_shape)], self._output_shape], axis=0))

    def _has_one_batch_axis(self, kept: tf.Tensor) -> bool:
        return kept.shape.rank == len(self._kept_shape) + 1

    def _build(self) -> tuple[tf.Variable, ...]:
        """Builds the network, checks its output shape and returns the value of `variables`."""
        shapes = [self._kept_shape] if self._context_shape is None else [self._kept_shape, self._context_shape]
        is_keras = isinstance(self.network, keras.Layer)
        batch = None if is_keras else 2
        if is_keras:
            examples = [keras.KerasTensor((batch, *shape), dtype=self._dtype.name) for shape in shapes]
        else:
            examples = [tf.zeros((batch, *shape), self._dtype) for shape in shapes]
        inputs = f"{self._input_name} of shape {self._kept_shape}"
        if self._context_shape is not None:
            inputs = f"lists of {inputs} and contexts of shape {self._context_shape}"
        try:
            with tf.GradientTape() as tape:
                output = self.network(examples if len(examples) > 1 else examples[0])
            received = tuple((output if is_keras else tf.convert_to_tensor(output)).shape)
            if not all(layer.built for layer in getattr(self.network, "layers", ())):
                # A `keras.Sequential` that gets a list builds its layers in a call with values only.
                values = [tf.zeros((1, *shape), self._dtype) for shape in shapes]
                self.network(values if len(values) > 1 else values[0])
        except Exception as error:
            raise ValueError(f"Argument `network` must accept {inputs}; received {self.network!r}, which raises "
                             f"{type(error).__name__}: {error}") from error
        if received != (batch, *self._output_shape):
            raise ValueError(f"Argument `network` must map {inputs} to outputs of shape {self._output_shape}; received "
                             f"a network with outputs of shape {received[1:]}.")
        return () if is_keras else tape.watched_variables()


def broadcast_context(name: str, context: Any, context_shape: Shape, value: tf.Tensor, event_ndims: int) -> tf.Tensor:
    """Broadcasts a context to the batch shape of events.

    Args:
      name: name of the bijector, for error messages.
      context: a tensor `[..., *context_shape]` whose batch shape broadcasts to the batch shape of `value`.
      context_shape: shape of the context of one event, a tuple of ints.
      value: events or parts of events. Only the batch shape and the dtype of `value` are used.
      event_ndims: number of axes of one event in `value`.

    Returns:
      One context per event, `[*batch_shape, *context_shape]`, in the dtype of `value`.

    Raises:
      ValueError: if `context` is None, holds no real numbers or has another shape.
    """
    batch_shape = value.shape[:-event_ndims]
    context = tf.cast(check_context(name, context, context_shape, batch_shape), value.dtype)
    context_batch = context.shape[:-len(context_shape)]
    if context_batch.is_fully_defined() and context_batch == batch_shape:
        return context
    return tf.broadcast_to(context, tf.concat([tf.shape(value)[:-event_ndims], context_shape], axis=0))


def check_context(name: str, context: Any, context_shape: Shape, batch_shape: tf.TensorShape) -> tf.Tensor:
    """Returns a context as a tensor of its own dtype.

    Args:
      name: name of the bijector, for error messages.
      context: a tensor or array `[..., *context_shape]` of real numbers or bools.
      context_shape: shape of the context of one event, a tuple of ints.
      batch_shape: batch shape of the events, to which the batch shape of `context` must broadcast.

    Raises:
      ValueError: if `context` is None, holds no real numbers or has another shape.
    """
    try:
        tensor = None if context is None else tf.convert_to_tensor(context)
    except (TypeError, ValueError):
        tensor = None
    if tensor is not None and (tensor.dtype.is_floating or tensor.dtype.is_integer or tensor.dtype.is_bool) and (
            _broadcasts(tensor.shape, context_shape, batch_shape)):
        return tensor
    received = repr(context) if tensor is None else f"shape {tuple(tensor.shape)} and dtype {tensor.dtype.name}"
    labels = f"; for class labels, tf.one_hot(labels, {context_shape[0]})" if len(context_shape) == 1 else ""
    raise ValueError(
        f"{name}: argument `context` must hold numbers in a shape that ends in {context_shape}, after a batch shape "
        f"that broadcasts to the batch shape of the events, {batch_shape}; received {received}. A distribution "
        f'requires it as bijector_kwargs={{"context": ...}}{labels}.')


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
