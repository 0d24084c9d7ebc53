# SPDX-License-Identifier: Apache-2.0
"""`Condition`: checks labels and contexts, and converts them to keyword arguments of a distribution."""

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow._checks import check_finite, require
from tfp_glow._types import Shape, TensorLike
from tfp_glow.bijectors._context import context_keywords, context_shape_of
from tfp_glow.flows import config_of
from tfp_glow.models.value_checks import per_event

_OUT_OF_RANGE = "labels out of range"


class Condition:
    """Checks the conditions of a distribution and converts them to keyword arguments of its methods.

    A condition belongs to one event. There are three cases:

    * labels: integers in `[0, num_classes)`, for a flow such as `tfp_glow.glow` with `num_classes`;
    * contexts: tensors of shape `context_shape`, for other distributions with conditioned bijectors;
    * no conditions, for a distribution without conditioned bijectors.

    A conditioned bijector is a flow bijector whose `context_shape` is not None.

    Args:
      distribution: a `tfd.Distribution`.

    Attributes:
      spec: a `tf.TensorSpec` of a batch of conditions: int32 `[batch]` named `labels`, or `[batch, *context_shape]` in
        the dtype of the distribution, named `context`. It is None if there are no conditions.
      num_classes: number of classes, an int, or None if the conditions are not labels.

    Raises:
      ValueError: if a conditioned bijector is inside a composition other than flow bijectors, `tfb.Chain`,
        `tfb.Invert` and `tfd.TransformedDistribution`, because other compositions pass no contexts.
      ValueError: if two conditioned bijectors require contexts of different shapes.
    """

    def __init__(self, distribution: tfp.distributions.Distribution) -> None:
        self._distribution = distribution
        shape, config = context_shape_of(distribution), config_of(distribution)
        # A copy with another base distribution has no config.
        known = getattr(distribution, "num_classes", None)
        num_classes = known if config is None else config.arguments.get("num_classes")
        self.num_classes: int | None = num_classes if shape is not None and shape == (num_classes,) else None
        self.spec: Any = None
        if self.num_classes is not None:
            self.spec = tf.TensorSpec((None,), tf.int32, "labels")
        elif shape is not None:
            self.spec = tf.TensorSpec((None, *shape), distribution.dtype, "context")

    def context(self, condition: tf.Tensor) -> tf.Tensor:
        """Converts a batch of conditions to the contexts of bijectors: labels become one-hot vectors.

        Args:
          condition: labels `[batch]` or contexts `[batch, *context_shape]`.

        Returns:
          A tensor in the dtype of the distribution: `[batch, num_classes]` for labels, `[batch, *context_shape]` for
          contexts.

        Raises:
          tf.errors.InvalidArgumentError: if a label is not in `[0, num_classes)`.
        """
        if self.num_classes is None:
            return tf.cast(condition, self.spec.dtype)
        labels = tf.cast(condition, tf.int32)
        in_range = tf.reduce_all((labels >= 0) & (labels < self.num_classes))
        with tf.control_dependencies([tf.debugging.Assert(in_range, [_OUT_OF_RANGE, labels])]):
            one_hot = tf.one_hot(labels, self.num_classes, dtype=self._distribution.dtype)
        # XLA ignores assertions. Without NaN, a label out of range would be a class that no training has seen.
        return one_hot + tf.where(in_range, tf.zeros([], one_hot.dtype), tf.constant(math.nan, one_hot.dtype))

    def keywords(self, *condition: tf.Tensor) -> dict[str, Any]:
        """Returns the keyword arguments that pass conditions to methods of the distribution, such as `log_prob`.

        Args:
          *condition: one batch of labels or contexts, or no argument for a distribution without conditions.

        Returns:
          A dict, such as `{"bijector_kwargs": {"context": ...}}`. It is empty without conditions.
        """
        return context_keywords(self._distribution, self.context(*condition)) if condition else {}

    # Checks.

    def of_batch(self, condition: TensorLike | None, batch: Shape | tf.Tensor,
                 is_sample: bool = False) -> tuple[tf.Tensor, ...]:
        """Checks the conditions of a batch of events and broadcasts them to the batch.

        Args:
          condition: labels or contexts, whose batch shape broadcasts to `batch`. It must be None if `spec` is None.
          batch: batch shape of the events, a tuple of ints, or a tensor if it is unknown until the graph runs.
          is_sample: True if the events will be drawn. The error message then names the call that draws several events
            for each of several conditions. Default: False.

        Returns:
          The tuple `(conditions,)`. The tensor `conditions` holds one condition per event, on one batch axis. If `spec`
          is None, the empty tuple.

        Raises:
          ValueError: if `spec` is None and `condition` is not None.
          ValueError: if labels are required and `condition` does not hold integers in `[0, num_classes)`; or if
            contexts are required and `condition` does not hold finite numbers of shape `[..., *context_shape]`.
          ValueError: if the batch shape of `condition` does not broadcast to `batch`.
        """
        if self.spec is None:
            if condition is not None:
                raise ValueError("Argument `condition` must be left out, because the distribution of this model has "
                                 f"no conditioned bijector; received {_describe(condition)}.")
            return ()
        tensor = self._check("condition", condition)
        rank, event = tensor.shape.rank - (self.spec.shape.rank - 1), self.spec.shape[1:]
        if isinstance(batch, tf.Tensor):
            whole = tf.broadcast_to(tensor, tf.concat([batch, tf.constant(tuple(event), tf.int32)], axis=0))
            return (tf.reshape(whole, (-1, *event)),)
        if self.num_classes is not None and tensor.shape == (*batch, 1) and not _broadcasts(tensor.shape, batch):
            tensor, rank = tensor[..., 0], rank - 1  # Labels of shape `[n, 1]`, as Keras accepts them.
        if not _broadcasts(tensor.shape[:rank], batch):
            raise ValueError("Argument `condition` must have a batch shape that broadcasts to that of the events, "
                             f"{batch}; received {_describe(tensor)}."
                             f"{self._several_each(tensor, batch) if is_sample and rank == 1 else ''}")
        whole = tf.broadcast_to(tensor, tf.constant((*batch, *event), tf.int32))
        return (tf.reshape(whole, (-1, *event)),)

    def check_data(self, x: Any, y: Any = None, *, argument: str = "y") -> None:
        """Raises `ValueError` unless data for `fit` has the conditions that `spec` requires.

        It checks shapes and dtypes, and for arrays and tensors also the values.

        Args:
          x: an array or tensor of events, or a `tf.data.Dataset` of batches `(events, conditions, ...)`. Data of other
            types is not checked.
          y: array or tensor of conditions, if `x` is an array or a tensor. Otherwise None.
          argument: name of the argument that holds the conditions, for the error message.
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
          y: a tensor of conditions, or the `tf.TensorSpec` of one.
          argument: name of the argument that holds the conditions, for the error message.
        """
        shapes = [self.spec.shape, *([tf.TensorShape([None, 1])] if self.num_classes is not None else [])]
        if y is None or not hasattr(y, "shape") or not self._has_valid_dtype(y) or not (
                any(shape.is_compatible_with(y.shape) for shape in shapes)):
            raise ValueError(f"Argument `{argument}` must hold {self._requirement}, one per event of the data; "
                             f"received {_describe(y)}.")

    def of_step(self, y: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        """Returns the conditions of one training step: labels `[batch]` or contexts `[batch, *context_shape]`.

        Args:
          y: conditions that `check_step` accepts. Labels may have the shape `[batch, 1]`.
          number: number of events in the batch, a scalar.
        """
        if self.num_classes is not None:
            return per_event("labels", y, number)
        return require(tf.equal(tf.shape(y)[0], number), y, "there must be one context per event; received contexts:",
                       tf.shape(y)[0], "for events:", number)

    @contextlib.contextmanager
    def named_errors(self) -> Iterator[None]:
        """Returns a context manager that raises `ValueError` if a graph inside it meets labels out of range."""
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

    def _remedy(self, value: Any) -> str:
        """Returns a sentence for the error message about labels that are one-hot vectors or whole floats."""
        shape = getattr(value, "shape", None)
        if self.num_classes is None or shape is None:
            return ""
        if len(shape) and shape[-1] == self.num_classes:
            return " Convert one-hot vectors to labels, as in `np.argmax(labels, axis=-1)`."
        return " Convert the labels to integers." if tf.as_dtype(value.dtype).is_floating else ""

    def _several_each(self, conditions: tf.Tensor, batch: Shape) -> str:
        """Returns a sentence for the error message: how to draw events for each of several conditions."""
        if self.num_classes is not None:
            total = batch[0] * conditions.shape[0]
            return (f" For {batch[0]} samples of each label, call `sample({total}, "
                    f"condition=np.repeat(condition, {batch[0]}))`.")
        return (f" For {batch[0]} samples per context, call `model.distribution.sample(({batch[0]}, "
                f"{conditions.shape[0]}), bijector_kwargs={{\"context\": condition}})`.")

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
            raise ValueError(f"Argument `{argument}` must be {self._requirement}; received {_describe(value)}."
                             f"{self._remedy(value)}")
        if tf.executing_eagerly():
            check_finite(argument, tensor)
            values = tensor.numpy()
            wrong = [] if self.num_classes is None else values[(values < 0) | (values >= self.num_classes)]
            if len(wrong):
                raise ValueError(f"Argument `{argument}` must be {self._requirement}; received {wrong[0]}.")
        return tf.cast(tensor, self.spec.dtype)


def _broadcasts(shape: tf.TensorShape, batch: Shape) -> bool:
    try:
        return tf.broadcast_static_shape(shape, tf.TensorShape(batch)) == batch
    except ValueError:
        return False


def _describe(value: Any) -> str:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"shape {tuple(value.shape)} and dtype {getattr(value.dtype, 'name', value.dtype)}"
    return repr(value)
