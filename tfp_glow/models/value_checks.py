# SPDX-License-Identifier: Apache-2.0
"""`EventChecks`: checks the shape, the dtype and the values of events against the domain of a model."""

import math
import warnings
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_glow._checks import require
from tfp_glow._types import DTypeLike, Shape, TensorLike

_EVENTS_PER_CHUNK = 1024


class EventChecks:
    """Checks the shape, the dtype and the values of events.

    The domain of an image model is pixel units `[0, 2**num_bits)`. Data in other units gives densities without any
    meaning, so these methods reject it or warn of it:

    | events | eager | inside a graph |
    |---|---|---|
    | another shape or dtype | `ValueError` | `ValueError`, or an assertion for sizes that the graph does not know |
    | integers outside the domain | `ValueError` | assertion |
    | NaN or infinite floats | `ValueError` | no check |
    | floats that do not look like pixel units | one warning per kind | no check |

    Floats do not look like pixel units in three cases. All of them are whole numbers; such data should be integers,
    which get noise. Or their range is narrow: it lies in [0, 1] or [-1, 1], or it holds negative numbers and is at most
    1/16 of the domain, as after standardization. Or some are outside of the domain by more than 1/16 of it. A batch of
    one constant in the domain, such as black images, is accepted.

    Args:
      event_shape: shape of one event, a tuple of ints.
      dtype: float dtype in which the density is computed.
      num_bits: bits per channel value, an int from 1 to 16, or None for a model that has no pixel units. There are then
        no checks of the domain.
      warn: False turns the warnings off. Default: True.

    Attributes:
      warn: as passed.
    """

    def __init__(self, event_shape: Shape, dtype: DTypeLike, num_bits: int | None, warn: bool = True) -> None:
        self._event_shape, self._dtype, self.warn = event_shape, tf.as_dtype(dtype), warn
        self._levels = 0 if num_bits is None else 2**num_bits  # 0 means no pixel units.
        self._warned: set[str] = set()

    # Before a computation.

    def spec(self, argument: str, spec: Any, remedy: str = "") -> None:
        """Raises `ValueError` unless a batch of events has the shape `[batch, *event_shape]` and holds numbers.

        Args:
          argument: name of the argument, for the error message.
          spec: a tensor, an array or the `tf.TensorSpec` of one. Sizes may be unknown.
          remedy: a sentence for the error message, if the batch axis is missing.
        """
        self.dtype(argument, spec)
        shape, event = tf.TensorShape(spec.shape), tf.TensorShape(self._event_shape)
        if not shape.is_compatible_with([None, *event]):
            remedy = f" {remedy}" if remedy and shape.is_compatible_with(event) else ""
            raise ValueError(f"Argument `{argument}` {self._shape_rule}; received shape {_text(shape)}.{remedy}")

    def dtype(self, argument: str, value: Any) -> None:
        """Raises `ValueError` unless a tensor, an array or a `tf.TensorSpec` holds floats, integers or bools."""
        try:
            dtype = tf.as_dtype(value.dtype)
        except (AttributeError, TypeError):
            dtype = None
        if dtype is None or not (dtype.is_floating or dtype.is_integer or dtype.is_bool):
            received = type(value).__name__ if dtype is None else dtype.name
            raise ValueError(f"Argument `{argument}` must hold floats or integers; received {received}.")

    def values(self, argument: str, events: TensorLike) -> None:
        """Raises `ValueError` for events whose values the model cannot have, and warns of floats in other units.

        Args:
          argument: name of the argument, for messages.
          events: an array or an eager tensor of numbers, `[..., *event_shape]`.
        """
        dtype = tf.as_dtype(events.dtype)
        if 0 in events.shape or not (dtype.is_floating or self._excludes_some(dtype)):
            return
        batch = events if len(events.shape) > len(self._event_shape) else events[np.newaxis]
        low, high, are_whole = _range(batch)
        if not dtype.is_floating:
            if low < 0 or high >= self._levels:
                raise ValueError(f"Argument `{argument}` must hold integers in {self._domain}; received values from "
                                 f"{int(low)} to {int(high)}. Rescale the values, or build the flow with another "
                                 "`num_bits`.")
        elif not max(-float(low), float(high)) <= float(self._dtype.max):  # NaN is not less.
            raise ValueError(f"Argument `{argument}` must be finite; received NaN or infinity.")
        elif self.can_warn and (low < high or self._is_outside(low, high)):
            self._warn_of_units(argument, float(low), float(high), are_whole)

    @property
    def can_warn(self) -> bool:
        """True if the model has pixel units and floats in other units cause a warning."""
        return self.warn and self._levels > 0

    def _warn_of_units(self, argument: str, low: float, high: float, are_whole: bool) -> None:
        if are_whole:
            dtype = "uint8" if self._levels <= 256 else "uint16"
            what = ("are all whole numbers. Floats get no noise, so bits/dim has no meaning for whole numbers. Pass "
                    f"integers, as in `x.astype(\"{dtype}\")`")
        elif self._is_narrow(low, high):
            what = (f"lie in [{low:.4g}, {high:.4g}], but the model has pixel units {self._domain}. Pass integers, or "
                    "floats in pixel units with noise")
        elif self._is_outside(low, high):
            what = (f"reach from {low:.4g} to {high:.4g}, outside of the model's pixel units {self._domain}, where a "
                    "density may be NaN or without meaning. Rescale them, or build the flow with another `num_bits`")
        else:
            return
        if what[:3] not in self._warned:
            self._warned.add(what[:3])
            warnings.warn(f"Argument `{argument}` holds floats that {what}. If the values are meant, build the model "
                          "with `check_values=False`.", stacklevel=5)

    def _is_narrow(self, low: Any, high: Any) -> Any:
        """Returns True if the range of floats, numbers or tensors, is narrow as described above."""
        centered = (low < 0.0) & ((high - low <= self._levels / 16) | (low >= -1.0) & (high <= 1.0))
        return centered | (low >= 0.0) & (high <= 1.0) if self._levels > 2 else centered

    def _is_outside(self, low: Any, high: Any) -> Any:
        """Returns True if numbers are outside of the domain. Samples of some flows are, by a little."""
        return (low < -self._levels / 16) | (high > self._levels * 17 / 16)

    # Inside a graph.

    def batch(self, x: tf.Tensor) -> tf.Tensor:
        """Returns a batch of events, after checks of its shape, its dtype and the domain of integers.

        Args:
          x: batch of events, numbers `[batch, *event_shape]`. Sizes may be unknown until the graph runs.

        Returns:
          The same values, with the static shape `[batch, *event_shape]`.

        Raises:
          ValueError: if the static shape or the dtype is wrong, or in eager mode an integer is outside the domain.
          tf.errors.InvalidArgumentError: when the graph runs, if a shape or an integer is wrong.
        """
        self.spec("x", x)
        x = batch_of_events("events", x, self._event_shape)
        if x.dtype.is_floating or not self._excludes_some(x.dtype):
            return x
        values = tf.cast(x, self._dtype)
        low, high = tf.reduce_min(values), tf.reduce_max(values)
        return require((low >= 0.0) & (high < self._levels), x,
                       f"events must be integers in {self._domain}; received values from", low, "to", high)

    def zero_or_nan(self, x: tf.Tensor) -> tf.Tensor:
        """Returns the scalar 0 if all integers of a batch are in the domain, or x holds floats, and otherwise NaN."""
        if x.dtype.is_floating or not self._excludes_some(x.dtype):
            return tf.zeros([], self._dtype)
        values = tf.cast(x, self._dtype)
        is_inside = tf.reduce_all((values >= 0.0) & (values < self._levels))
        return tf.where(is_inside, tf.zeros([], self._dtype), tf.constant(math.nan, self._dtype))

    def pixel_units(self, x: tf.Tensor) -> tf.Tensor:
        """Returns a batch of floats, after an assertion that it looks like pixel units. For exported graphs.

        Args:
          x: batch of events, floats `[batch, *event_shape]`.

        Returns:
          The same values. If `warn` is False or the model has no pixel units, there is no assertion.
        """
        if not self.can_warn:
            return x
        low, high = tf.reduce_min(x), tf.reduce_max(x)
        advice = ("If the values are meant, export a model that was built with `check_values=False`. Received values "
                  "from")
        are_whole = tf.reduce_all(tf.equal(x, tf.floor(x)))
        x = require((low >= high) | ~are_whole, x, "float events must not all be whole numbers, because floats get no "
                    f"noise. Call the signature for integers instead. {advice}", low, "to", high)
        return require((low >= high) | ~self._is_narrow(low, high), x,
                       f"float events must be in pixel units {self._domain}. {advice}", low, "to", high)

    @property
    def _domain(self) -> str:
        return f"[0, {self._levels})"

    @property
    def _shape_rule(self) -> str:
        return _shape_rule(self._event_shape)

    def _excludes_some(self, dtype: tf.DType) -> bool:
        """Returns True if the domain does not hold every value of a dtype of integers."""
        return self._levels > 0 and not dtype.is_bool and (dtype.min < 0 or dtype.max >= self._levels)


def tensor_of(argument: str, value: Any) -> tf.Tensor:
    """Returns a value as a tensor, or raises a `ValueError` that names `argument` if it is no array of numbers."""
    try:
        return tf.convert_to_tensor(value)
    except (TypeError, ValueError):
        received = "None" if value is None else type(value).__name__
        raise ValueError(f"Argument `{argument}` must be an array of numbers; received {received}.") from None


def batch_of_events(name: str, x: tf.Tensor, event_shape: Shape) -> tf.Tensor:
    """Returns a batch of a graph, after an assertion that it has the shape `[batch, *event_shape]`.

    There is an assertion even if the static shape is known, because TensorFlow does not compare the inputs of a loaded
    SavedModel with it. It costs nothing elsewhere.

    Args:
      name: name of the batch, for the error message.
      x: a tensor whose static shape is compatible. Its rank and its sizes may be unknown until the graph runs.
      event_shape: shape of one event, a tuple of ints.

    Returns:
      The same values, with the static shape `[batch, *event_shape]`.
    """
    if tf.executing_eagerly():
        return x
    rank, shape = 1 + len(event_shape), tf.shape(x)
    sizes = tf.concat([tf.fill([rank], -1), shape], axis=0)[-rank:]  # The same number of sizes for any rank of `x`.
    expected = tf.concat([shape[:1], tf.constant(event_shape, tf.int32)], axis=0)
    message = f"{name} {_shape_rule(event_shape)}; received shape"
    x = require(tf.reduce_all(tf.equal(sizes, expected)), x, message, shape)
    return x if x.shape.rank and x.shape[1:].is_fully_defined() else tf.ensure_shape(x, (None, *event_shape))


def per_event(argument: str, value: Any, number: Any) -> Any:
    """Returns the values of a batch, one per event, as `[batch]`.

    Args:
      argument: name of the argument, for the error message.
      value: a tensor `[batch]` or `[batch, 1]`, such as labels or weights.
      number: number of events, a scalar tensor.

    Returns:
      A tensor `[batch]`.

    Raises:
      ValueError: if the static shape is another one.
      tf.errors.InvalidArgumentError: when the graph runs, if there is not one value per event.
    """
    value = tf.convert_to_tensor(value)
    if not any(value.shape.is_compatible_with(shape) for shape in ([None], [None, 1])):
        raise ValueError(f"Argument `{argument}` must have shape (batch,), one value per event; received shape "
                         f"{_text(value.shape)}.")
    value = tf.reshape(value, [-1])
    return require(tf.equal(tf.size(value), number), value,
                   f"{argument} must have one value per event; received values:", tf.size(value), "for events:", number)


def finite_events(events: tf.Tensor) -> tf.Tensor:
    """Returns events that the flow computed from latents, after an assertion that all of them are finite.

    Args:
      events: floats, `[batch, *event_shape]`.

    Returns:
      The same values.
    """
    finite = tf.math.is_finite(events)
    return require(tf.reduce_all(finite), events,
                   "the forward pass of the flow gave events that are not finite, because it overflowed; lower the "
                   "temperature or the size of the latents, or train with a smaller learning rate; values that are not "
                   "finite:", tf.reduce_sum(tf.cast(~finite, tf.float32)), "of", tf.size(events))


def _shape_rule(event_shape: Shape) -> str:
    sizes = ", ".join(["batch", *map(str, event_shape)])
    return f"must have shape ({sizes})" if event_shape else "must have shape (batch,)"


def _text(value: tf.TensorShape) -> str:
    return "unknown" if value.rank is None else str(tuple(value.as_list()))


def _range(events: Any) -> tuple[Any, Any, bool]:
    """Returns the least and the greatest value of events, and whether they are floats that are all whole numbers.

    If a value is NaN, the least and the greatest value are NaN.
    """
    ranges, are_whole = [], True
    for start in range(0, len(events), _EVENTS_PER_CHUNK):
        chunk = np.asarray(events[start:start + _EVENTS_PER_CHUNK])
        if chunk.dtype.kind not in "iub" and chunk.dtype.itemsize < 4:  # NumPy is slow with bfloat16 and float16.
            chunk = chunk.astype(np.float32)
        ranges.append((chunk.min(), chunk.max()))
        are_whole = are_whole and chunk.dtype.kind == "f" and bool((chunk == np.floor(chunk)).all())
    lows, highs = np.asarray(ranges).T
    return lows.min(), highs.max(), are_whole
