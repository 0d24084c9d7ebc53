# SPDX-License-Identifier: Apache-2.0
"""`Condition`: checks labels and contexts and converts them to keyword arguments of a distribution."""

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow._checks import check_finite
from tfp_glow._types import Shape, TensorLike
from tfp_glow.bijectors._context import context_keywords, context_shape_of
from tfp_glow.flows import config_of

_OUT_OF_RANGE = "labels out of range"


class Condition:
    """What the density of a distribution is conditioned on: labels, contexts or nothing.

    Args:
      distribution: a `tfd.Distribution`.

    Attributes:
      spec: a `tf.TensorSpec` of a batch of conditions. It is int32 `[batch]` named `labels` for a flow whose config has
        `num_classes`, and `[batch, *context_shape]` named `context` for other distributions with conditioned bijectors.
        It is None for a distribution without conditioned bijectors.
      num_classes: number of classes, or None if the conditions are not labels.

    Raises:
      ValueError: if a conditioned bijector is at a place that contexts do not reach, or two conditioned bijectors
        require contexts of different shapes.
    """

    def __init__(self, distribution: tfp.distributions.Distribution) -> None:
        self._distribution = distribution
        shape, config = context_shape_of(distribution), config_of(distribution)
        num_classes = None if config is None else config.arguments.get("num_classes")
        self.num_classes: int | None = num_classes if shape is not None and shape == (num_classes,) else None
        self.spec: Any = None
        if self.num_classes is not None:
            self.spec = tf.TensorSpec((None,), tf.int32, "labels")
        elif shape is not None:
            self.spec = tf.TensorSpec((None, *shape), distribution.dtype, "context")

    def context(self, condition: tf.Tensor) -> tf.Tensor:
        """Converts a batch of conditions to the contexts of bijectors: labels become one-hot vectors.

        Args:
          condition: labels or contexts, as in `spec`.

        Returns:
          A tensor `[batch, num_classes]` for labels, `[batch, *context_shape]` for contexts.
        """
        if self.num_classes is None:
            return tf.cast(condition, self.spec.dtype)
        labels = tf.cast(condition, tf.int32)
        in_range = tf.reduce_all((labels >= 0) & (labels < self.num_classes))
        with tf.control_dependencies([tf.debugging.Assert(in_range, [_OUT_OF_RANGE, labels])]):
            return tf.one_hot(labels, self.num_classes, dtype=self._distribution.dtype)

    def keywords(self, *condition: tf.Tensor) -> dict[str, Any]:
        """Returns the keyword arguments that the methods of the distribution require.

        Args:
          *condition: one batch of conditions, or no argument for a distribution without conditions.
        """
        return context_keywords(self._distribution, self.context(*condition)) if condition else {}

    # Checks.

    def of_batch(self, condition: TensorLike | None, batch: Shape) -> tuple[tf.Tensor, ...]:
        """Checks the conditions of a batch of events and broadcasts them to the batch.

        Args:
          condition: labels or contexts, whose batch shape broadcasts to `batch`. None if `spec` is None.
          batch: static batch shape of the events.

        Returns:
          `(conditions,)`, a tensor with one condition per event on one batch axis; `()` if `spec` is None.

        Raises:
          ValueError: if `spec` is None and `condition` is not; if `condition` has not the type, shape or range that
            `spec` and `num_classes` require; if its batch shape does not broadcast to `batch`.
        """
        if self.spec is None:
            if condition is not None:
                raise ValueError("Argument `condition` must be left out, as the distribution of this model has no "
                                 f"conditioned bijector; received {_describe(condition)}.")
            return ()
        tensor = self._check("condition", condition)
        rank, event = tensor.shape.rank - (self.spec.shape.rank - 1), self.spec.shape[1:]
        try:
            fits = tf.broadcast_static_shape(tensor.shape[:rank], tf.TensorShape(batch)) == batch
        except ValueError:
            fits = False
        if not fits:
            raise ValueError("Argument `condition` must have a batch shape that broadcasts to that of the events, "
                             f"{batch}; received {_describe(tensor)}.")
        whole = tf.broadcast_to(tensor, tf.constant((*batch, *event), tf.int32))
        return (tf.reshape(whole, (-1, *event)),)

    def check_data(self, x: Any, y: Any = None, *, argument: str = "y") -> None:
        """Raises `ValueError` unless data for `fit` has the conditions that `spec` requires.

        The values of arrays are checked. Of a dataset only the element types are checked.

        Args:
          x: events, or a `tf.data.Dataset` of tuples that start with events and conditions. Other types pass.
          y: conditions, if `x` is an array or a tensor.
          argument: name of the argument that held the conditions, for the message.
        """
        if self.spec is None:
            return
        if isinstance(x, (np.ndarray, tf.Tensor)):
            self.check_step(self._check(argument, y), argument)
        elif isinstance(x, tf.data.Dataset):
            elements = x.element_spec if isinstance(x.element_spec, tuple) else (x.element_spec,)
            self.check_step(elements[1] if len(elements) > 1 else None, argument)

    def check_step(self, y: tf.Tensor | tf.TensorSpec | None, argument: str = "y") -> None:
        """Raises `ValueError` unless the conditions of one training step have the type and shape of `spec`.

        Args:
          y: a tensor of conditions, or its `tf.TensorSpec`.
          argument: name of the argument that held the conditions, for the message.
        """
        if y is None or not hasattr(y, "shape") or not self._has_valid_dtype(y) or not (
                y.shape.is_compatible_with(self.spec.shape)):
            raise ValueError(f"Argument `{argument}` must hold {self._requirement}, one per event of the data; "
                             f"received {_describe(y)}.")

    @contextlib.contextmanager
    def named_errors(self) -> Iterator[None]:
        """Returns a context manager that turns a graph's error about labels out of range into a `ValueError`."""
        try:
            yield
        except tf.errors.InvalidArgumentError as error:
            if _OUT_OF_RANGE not in str(error.message):
                raise
            raise ValueError(f"Argument `y` must hold {self._requirement}; received a batch with other labels."
                             ) from None

    @property
    def _requirement(self) -> str:
        if self.num_classes is not None:
            return f"integer labels in [0, {self.num_classes})"
        return f"contexts of shape {tuple(self.spec.shape[1:])}"

    def _has_valid_dtype(self, value: tf.Tensor | tf.TensorSpec) -> bool:
        is_integer = value.dtype.is_integer
        return is_integer if self.num_classes is not None else is_integer or value.dtype.is_floating

    def _check(self, argument: str, value: TensorLike | None) -> tf.Tensor:
        """Returns conditions of any batch shape as a tensor of the dtype of `spec`, or raises `ValueError`."""
        try:
            tensor = None if value is None else tf.convert_to_tensor(value)
        except (TypeError, ValueError):
            tensor = None
        event = self.spec.shape[1:]
        if tensor is None or not self._has_valid_dtype(tensor) or tensor.shape.rank < event.rank or (
                event.rank and not tensor.shape[-event.rank:].is_compatible_with(event)):
            raise ValueError(f"Argument `{argument}` must be {self._requirement}; received {_describe(value)}.")
        if tf.executing_eagerly():
            check_finite(argument, tensor)
            values = tensor.numpy()
            wrong = [] if self.num_classes is None else values[(values < 0) | (values >= self.num_classes)]
            if len(wrong):
                raise ValueError(f"Argument `{argument}` must be {self._requirement}; received {wrong[0]}.")
        return tf.cast(tensor, self.spec.dtype)


def _describe(value: Any) -> str:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"shape {tuple(value.shape)} and dtype {getattr(value.dtype, 'name', value.dtype)}"
    return repr(value)
