# SPDX-License-Identifier: Apache-2.0
"""Labels and contexts: how what a user gives becomes what a distribution's bijectors are conditioned on."""

import contextlib

import numpy as np
import tensorflow as tf

from tfp_glow.bijectors._context import context_keywords, context_shape_of
from tfp_glow.models.quantization import check_finite
from tfp_glow.flows import config_of

_OUT_OF_RANGE = "labels out of range"


class Condition:
    """What a distribution's densities are conditioned on, if anything.

    Args:
      distribution: a `tfd.Distribution`.

    Attributes:
      spec: a `tf.TensorSpec` of a batch of conditions: int32 `[batch]` called `labels` for a flow whose config has
        `num_classes`, `[batch, *context_shape]` called `context` for any other with conditioned bijectors; None for a
        distribution without.
      num_classes: how many classes the labels tell apart; None where there are no labels.

    Raises:
      ValueError: if a conditioned bijector is where no context comes, or two want contexts of different shapes.
    """

    def __init__(self, distribution):
        self._distribution = distribution
        shape = context_shape_of(distribution)
        num_classes = getattr(config_of(distribution), "num_classes", None)
        self.num_classes = num_classes if shape is not None and shape == (num_classes,) else None
        if self.num_classes is not None:
            self.spec = tf.TensorSpec((None,), tf.int32, "labels")
        else:
            self.spec = None if shape is None else tf.TensorSpec((None, *shape), distribution.dtype, "context")

    def context(self, condition):
        """What bijectors get of a batch of conditions: one-hot labels, or contexts as they are."""
        if self.num_classes is None:
            return tf.cast(condition, self.spec.dtype)
        labels = tf.cast(condition, tf.int32)
        in_range = tf.reduce_all((labels >= 0) & (labels < self.num_classes))
        with tf.control_dependencies([tf.debugging.Assert(in_range, [_OUT_OF_RANGE, labels])]):
            return tf.one_hot(labels, self.num_classes, dtype=self._distribution.dtype)

    def keywords(self, *condition):
        """Keyword arguments of the distribution's methods: those for a batch of conditions, or none."""
        return context_keywords(self._distribution, self.context(*condition)) if condition else {}

    # Checks.

    def of_batch(self, condition, batch):
        """The condition given to a query: `()`, or `(tensor,)` with one for each event, on one batch axis.

        Args:
          condition: labels or contexts whose batch broadcasts to that of the events; None if there is no `spec`.
          batch: the events' batch shape, static.

        Raises:
          ValueError: if `condition` is not what `spec` says, or given where there is none.
        """
        if self.spec is None:
            if condition is not None:
                raise ValueError("Argument `condition` must be left out, as nothing in this model's distribution "
                                 f"depends on one; received {_shown(condition)}.")
            return ()
        condition = self._checked("condition", condition)
        rank, event = condition.shape.rank - (self.spec.shape.rank - 1), self.spec.shape[1:]
        try:
            fits = tf.broadcast_static_shape(condition.shape[:rank], tf.TensorShape(batch)) == batch
        except ValueError:
            fits = False
        if not fits:
            raise ValueError(f"Argument `condition` must have a batch that broadcasts to that of the events, {batch}; "
                             f"received {_shown(condition)}.")
        whole = tf.broadcast_to(condition, tf.constant((*batch, *event), tf.int32))
        return (tf.reshape(whole, (-1, *event)),)

    def check_data(self, x, y=None, argument="y"):
        """Raises `ValueError` if data for `fit` lacks what `spec` says: arrays are read, of datasets only the types."""
        if self.spec is None:
            return
        if isinstance(x, (np.ndarray, tf.Tensor)):
            self.check_step(self._checked(argument, y), argument)
        elif isinstance(x, tf.data.Dataset):
            parts = x.element_spec if isinstance(x.element_spec, tuple) else (x.element_spec,)
            self.check_step(parts[1] if len(parts) > 1 else None, argument)

    def check_step(self, y, argument="y"):
        """Raises `ValueError` if a batch's second part, a tensor or its type, is not of the type of `spec`."""
        if y is None or not hasattr(y, "shape") or not self._is_of_type(y) or not (
                y.shape.is_compatible_with(self.spec.shape)):
            raise ValueError(f"Argument `{argument}` must hold {self._description}, one for each event of the data; "
                             f"received {_shown(y)}.")

    @contextlib.contextmanager
    def named_errors(self):
        """A context in which labels found out of range by a graph raise `ValueError`."""
        try:
            yield
        except tf.errors.InvalidArgumentError as error:
            if _OUT_OF_RANGE not in str(error.message):
                raise
            raise ValueError(f"Argument `y` must hold {self._description}; received a batch with others.") from None

    @property
    def _description(self):
        if self.num_classes is not None:
            return f"labels, whole numbers in [0, {self.num_classes})"
        return f"contexts of shape {tuple(self.spec.shape[1:])}"

    def _is_of_type(self, value):
        whole = value.dtype.is_integer
        return whole if self.num_classes is not None else whole or value.dtype.is_floating

    def _checked(self, argument, value):
        """A tensor of conditions of any batch shape."""
        try:
            tensor = None if value is None else tf.convert_to_tensor(value)
        except (TypeError, ValueError):
            tensor = None
        event = self.spec.shape[1:]
        if tensor is None or not self._is_of_type(tensor) or tensor.shape.rank < event.rank or (
                event.rank and not tensor.shape[-event.rank:].is_compatible_with(event)):
            raise ValueError(f"Argument `{argument}` must be {self._description}; received {_shown(value)}.")
        if tf.executing_eagerly():
            check_finite(argument, tensor)
            numbers = tensor.numpy()
            wrong = [] if self.num_classes is None else numbers[(numbers < 0) | (numbers >= self.num_classes)]
            if len(wrong):
                raise ValueError(f"Argument `{argument}` must be {self._description}; received {wrong[0]}.")
        return tf.cast(tensor, self.spec.dtype)


def _shown(value):
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"one of shape {tuple(value.shape)} and dtype {getattr(value.dtype, 'name', value.dtype)}"
    return repr(value)
