# SPDX-License-Identifier: Apache-2.0
"""What a coupling asks its network: for parameters, given the kept part of events and perhaps a context."""

import inspect

import keras
import tensorflow as tf


class Conditioner:
    """Calls the network of a coupling on events of any batch shape; the network sees one batch axis.

    Args:
      name: name of the coupling, for messages.
      network: a Keras 3 layer or model, or any other callable, such as a legacy `tf_keras` layer or a function.
      kept_shape: shape of the kept part of one event.
      context_shape: shape of the context of one event, or None; with one the network is called on the list
        `[kept, context]`.
      output_shape: what shape the network's output for one event must have.
      dtype: dtype of contexts and results.
      takes: what stands for `kept`, for messages.

    Raises:
      ValueError: if `network` is not callable, fails on such inputs, or its output is of another shape.
    """

    def __init__(self, name, network, kept_shape, context_shape, output_shape, dtype, takes="kept parts"):
        if not callable(network) or isinstance(network, type):
            raise ValueError("Argument `network` must be a Keras layer or model, or another callable; "
                             f"received {network!r}.")
        self.network = network
        self._name, self._kept_shape, self._context_shape = name, tuple(kept_shape), context_shape
        self._output_shape, self._dtype, self._takes = tuple(output_shape), dtype, takes
        if isinstance(network, keras.Layer):
            self._takes_training = True  # Keras drops what a layer does not take.
        else:
            call = inspect.signature(getattr(network, "call", network))
            self._takes_training = "training" in call.parameters
        self.variables = self._build()

    def inputs(self, kept, context=None):
        """What the network gets, with one batch axis: `kept`, or `[kept, context]`."""
        flat = kept if self._is_flat(kept) else tf.reshape(kept, (-1, *self._kept_shape))
        if self._context_shape is None:
            return flat
        context = context_of_batch(self._name, context, self._context_shape, kept, len(self._kept_shape))
        return [flat, tf.reshape(context, (-1, *self._context_shape))]

    def __call__(self, kept, context=None, training=None):
        """The network's output, `[..., *output_shape]`, for `kept`, `[..., *kept_shape]`."""
        arguments = {} if training is None or not self._takes_training else {"training": training}
        raw = tf.cast(self.network(self.inputs(kept, context), **arguments), self._dtype)
        if self._is_flat(kept):
            return raw
        return tf.reshape(raw, tf.concat([self._batch_of(kept), self._output_shape], axis=0))

    def _is_flat(self, kept):
        return kept.shape.rank == len(self._kept_shape) + 1

    def _batch_of(self, kept):
        return tf.shape(kept)[:-len(self._kept_shape)]

    def _build(self):
        """Builds the network, checks its output and returns the `tf.Variable`s it reads, if it is not Keras's own."""
        shapes = [self._kept_shape] + [self._context_shape] * (self._context_shape is not None)
        is_keras = isinstance(self.network, keras.Layer)
        batch = None if is_keras else 2
        if is_keras:
            examples = [keras.KerasTensor((batch, *shape), dtype=self._dtype.name) for shape in shapes]
        else:
            examples = [tf.zeros((batch, *shape), self._dtype) for shape in shapes]
        takes = f"{self._takes} of shape {self._kept_shape}"
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
                             f"one with outputs of shape {received[1:]}.")
        return () if is_keras else tape.watched_variables()


def context_of_batch(name, context, context_shape, value, event_ndims):
    """The context of every event of a batch, `[..., *context_shape]`, in the dtype of the events.

    Args:
      name: name of the bijector, for messages.
      context: what the caller gave: a tensor whose batch broadcasts to that of the events, or None.
      context_shape: shape of the context of one event.
      value: the events, or parts of them.
      event_ndims: the rank of one of them.

    Raises:
      ValueError: if `context` is None or of another shape.
    """
    events = value.shape[:-event_ndims]
    if context is not None:
        context = tf.cast(tf.convert_to_tensor(context), value.dtype)
    if context is None or not _fits(context.shape, context_shape, events):
        received = "None" if context is None else f"shape {tuple(context.shape)}"
        raise ValueError(f"{name}: argument `context` must have a shape that ends in {context_shape}, "
                         f"after a batch that broadcasts to that of the events, {events}; received {received}.")
    batch = context.shape[:-len(context_shape)]
    if batch.is_fully_defined() and batch == events:
        return context
    return tf.broadcast_to(context, tf.concat([tf.shape(value)[:-event_ndims], context_shape], axis=0))


def _fits(shape, context_shape, events):
    rank = len(context_shape)
    if shape.rank is None:
        return True
    if shape.rank < rank or not shape[-rank:].is_compatible_with(context_shape):
        return False
    try:
        return tf.broadcast_static_shape(shape[:-rank], events).is_compatible_with(events)
    except ValueError:
        return False
