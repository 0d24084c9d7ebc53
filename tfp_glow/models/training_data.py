# SPDX-License-Identifier: Apache-2.0
"""`TrainingData`: checks the data of `fit`, `evaluate` and `predict`, and brings it into a form that Keras accepts."""

import dataclasses
import inspect
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import GeneratorType
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfp_glow._checks import check_finite
from tfp_glow._compat_keras import batches_of_arrays
from tfp_glow.models.conditions import Condition
from tfp_glow.models.value_checks import EventChecks

_DATASETS = (tf.data.Dataset, tf.distribute.DistributedDataset)
_NOT_DENSE = (tf.RaggedTensor, tf.RaggedTensorSpec, tf.SparseTensor, tf.SparseTensorSpec)
_SOURCES = "an array of events, a tf.data.Dataset, a keras.utils.PyDataset or a generator of batches"


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """Events, conditions and weights, as a method of a Keras model receives them.

    Attributes:
      x: an array or tensor of events, or an iterable of batches, such as a `tf.data.Dataset`.
      y: an array or tensor of conditions, or None.
      sample_weight: an array or tensor of weights of the events, or None.
    """

    x: Any
    y: Any = None
    sample_weight: Any = None

    @classmethod
    def of(cls, x: Any, y: Any, sample_weight: Any, argument: str = "x") -> "TrainingData":
        """Brings data into a form that Keras accepts.

        Lists and other array-likes become arrays. Weights of shape `[n, 1]` become `[n]`. Keras drops the weights of
        arrays without conditions, so `y` is then an array of zeros.

        Args:
          x: events or batches. A list of events, or a list that holds one array of events, becomes an array.
          y: conditions or None.
          sample_weight: weights or None.
          argument: name of `x` in error messages.

        Raises:
          ValueError: if `x` is None, a dict or a string, or a list that is no array of numbers.
        """
        x = _batches_or_array(argument, x)
        data = cls(x, _array("y", y), _array("sample_weight", sample_weight))
        if not data.is_array or data.sample_weight is None:
            return data
        weights = data.sample_weight
        check_finite("sample_weight", weights)
        if len(weights.shape) == 2 and weights.shape[1] == 1:
            weights = weights[:, 0]
        if len(x.shape) and tuple(weights.shape) != (len(x),):
            raise ValueError(f"Argument `sample_weight` must have shape ({len(x)},), one weight per event; received "
                             f"shape {tuple(weights.shape)}.")
        return cls(x, np.zeros(len(x), np.int32) if data.y is None else data.y, weights)

    @property
    def is_array(self) -> bool:
        """True if `x` holds all events, False if it is an iterable of batches."""
        return isinstance(self.x, (np.ndarray, tf.Tensor))

    @property
    def is_empty(self) -> bool:
        """True if it is known that there are no events."""
        if self.is_array:
            return 0 in self.x.shape
        return isinstance(self.x, tf.data.Dataset) and self.x.cardinality() == 0

    @property
    def may_hold_float_batches(self) -> bool:
        """True if `x` is an iterable of batches, and it is not known that the batches hold integers."""
        if isinstance(self.x, _DATASETS):
            events, _, _ = batch_of("x", self.x.element_spec)
            return any(spec.dtype.is_floating for spec in tf.nest.flatten(events, expand_composites=True))
        return not self.is_array

    def in_batches(self, given: dict[str, Any], steps: str, shuffle: bool = False) -> Any:
        """Returns batches: those that Keras makes of arrays, or `x` if it holds batches.

        Args:
          given: arguments of a method of Keras. Those that say how to make batches of arrays are removed.
          steps: name of the argument with the number of steps.
          shuffle: the default of the argument `shuffle`.
        """
        if not self.is_array:
            return self.x
        making = {name: given.pop(name) for name in ("batch_size", "class_weight") if name in given}
        return batches_of_arrays(self.x, self.y, self.sample_weight, steps=given.get(steps),
                                 shuffle=given.pop("shuffle", shuffle), **making)

    def split(self, share: float) -> tuple["TrainingData", "TrainingData"]:
        """Splits arrays as Keras's `validation_split` does: the last `share` of the events are for validation."""
        number = len(self.x)
        start = math.floor(number * (1.0 - share))
        if not 0 < start < number:
            raise ValueError("Argument `validation_split` must leave events for training and for validation; received "
                             f"{share} for {number} events.")

        def part(chosen: slice) -> TrainingData:
            return TrainingData(*(None if a is None else a[chosen] for a in (self.x, self.y, self.sample_weight)))

        return part(slice(start)), part(slice(start, None))

    def check(self, events: EventChecks, condition: Condition, argument: str = "x") -> None:
        """Raises `ValueError` unless events and conditions have the right shapes, dtypes and values.

        The values of arrays are checked. For batches, the checks are limited to what is known before the first batch.

        Args:
          events: the checks of events.
          condition: the conditions of the distribution.
          argument: name of `x` in error messages.
        """
        if self.is_array:
            events.spec(argument, self.x, "Add a batch axis, as in `x[np.newaxis]`.")
            events.values(argument, self.x)
        elif isinstance(self.x, tf.data.Dataset):
            events.spec(argument, batch_of(argument, self.x.element_spec)[0], "Call `batch` on the dataset.")
        condition.check_data(self.x, self.y, argument="y" if argument == "x" else argument)

    def first_batch(self, events: EventChecks, size: int = 256) -> tuple[Any, Any, "TrainingData"]:
        """Returns the first events and their conditions.

        Args:
          events: the checks of events.
          size: number of events to return from an array. From batches, the whole first batch is returned. Default: 256.

        Returns:
          A triple `(events, conditions, data)`. `conditions` is None if the data has no conditions, and `events` is
          None if there is no batch. `data` holds all data and replaces this object, because a generator has lost its
          first batch.

        Raises:
          ValueError: if the first batch is no batch of events.
        """
        if self.is_array:
            return self.x[:size], None if self.y is None else self.y[:size], self
        data, batch = self, None
        if isinstance(self.x, keras.utils.PyDataset):
            batch = None if self.x.num_batches == 0 else self.x[0]
        else:
            batches = iter(self.x)
            batch = next(batches, None)
            if isinstance(self.x, GeneratorType):
                data = dataclasses.replace(self, x=_tuples(itertools.chain([] if batch is None else [batch], batches)))
        if batch is None:
            return None, None, data
        x, y, _ = batch_of("x", batch)
        x = _local(x)
        x = x if isinstance(x, tf.Tensor) else np.asarray(x)
        events.spec("x", x, "The batches must have a batch axis.")
        return x, _local(y), data


def fit_arguments(data: TrainingData, validation: TrainingData | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the arguments of Keras's `fit`, with batches in the place of arrays.

    Args:
      data: the data.
      validation: the data of the argument `validation_data`, or None.
      given: the other arguments.
    """
    given = dict(given)
    if given.get("validation_split") and data.is_array and validation is None:
        data, validation = data.split(given.pop("validation_split"))
    if validation is not None:
        size = given.pop("validation_batch_size", None) or given.get("batch_size")
        given["validation_data"] = validation.in_batches(
            {"batch_size": size, "steps": given.get("validation_steps")}, "steps")
    given["x"] = data.in_batches(given, "steps_per_epoch", shuffle=True)
    if data.is_array:
        given["shuffle"] = False  # Keras warns of its default for a dataset.
    return given


def batch_of(argument: str, batch: Any) -> tuple[Any, Any, Any]:
    """Returns the events, the conditions and the weights of a batch, or their specs.

    Args:
      argument: name of the argument, for the error message.
      batch: a batch as Keras passes it to `train_step`, or the `element_spec` of a dataset.

    Returns:
      A triple `(events, conditions, sample_weight)`. Missing parts are None.

    Raises:
      ValueError: if the events are not one dense tensor, for example a dict.
    """
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
    if isinstance(x, (list, tuple)) and len(x) == 1:
        x = x[0]
    if isinstance(x, Mapping):
        raise ValueError(_dict_error(argument, x))
    if x is None or isinstance(x, (list, tuple, *_NOT_DENSE)):
        raise ValueError(f"Argument `{argument}` must hold batches of events, or tuples (events, conditions); received "
                         f"batches with {type(x).__name__} in place of events.")
    return x, y, sample_weight


def arguments_of(method: Callable[..., Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
    """Returns the arguments of a call of a method by name, without arguments that have their default values.

    Args:
      method: a bound method.
      *args: positional arguments.
      **kwargs: keyword arguments.

    Raises:
      TypeError: if the method does not have these arguments.
    """
    try:
        given = dict(inspect.signature(method).bind(*args, **kwargs).arguments)
    except TypeError as error:
        raise TypeError(f"{method.__name__}() {error}") from None
    others = given.pop("kwargs", {})
    return {**given, **others}


def set_directions(callbacks: Any, directions: Mapping[str, str]) -> None:
    """Sets the attribute `mode` of callbacks that monitor a metric and have the mode `"auto"`.

    Keras finds the direction of metrics only if they are arguments of `compile`.

    Args:
      callbacks: a callback, a list of callbacks, or None.
      directions: the mode per name of a metric, `"min"` or `"max"`.
    """
    callbacks = getattr(callbacks, "callbacks", callbacks)
    for callback in tf.nest.flatten(callbacks):
        name = str(getattr(callback, "monitor", "")).removeprefix("val_")
        if getattr(callback, "mode", None) == "auto" and name in directions:
            callback.mode = directions[name]


def _batches_or_array(argument: str, x: Any) -> Any:
    """Returns an iterable of batches unchanged, and everything else as an array."""
    if isinstance(x, GeneratorType):
        return _tuples(x)
    if isinstance(x, (*_DATASETS, keras.utils.PyDataset)):
        return x
    if x is None or isinstance(x, (str, bytes, *_NOT_DENSE)):
        received = x if x is None or isinstance(x, str) else type(x).__name__
        raise ValueError(f"Argument `{argument}` must be {_SOURCES}; received {received!r}.")
    if isinstance(x, Mapping):
        raise ValueError(_dict_error(argument, x))
    if isinstance(x, (list, tuple)) and len(x) == 1 and hasattr(x[0], "shape"):
        x = x[0]
    if isinstance(x, (list, tuple)) or hasattr(x, "__array__"):
        return _array(argument, x)
    if not isinstance(x, Iterable):
        raise ValueError(f"Argument `{argument}` must be {_SOURCES}; received {type(x).__name__}.")
    return x


def _array(argument: str, value: Any) -> Any:
    """Returns a list or another array-like as an array. Arrays, tensors, None and other objects stay unchanged."""
    if isinstance(value, (np.ndarray, tf.Tensor)) or not (
            isinstance(value, (list, tuple)) or hasattr(value, "__array__")):
        return value
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.asarray(None)
    if array.dtype == object:
        raise ValueError(f"Argument `{argument}` must be an array of numbers; received a {type(value).__name__} whose "
                         "parts are no numbers or have different shapes.")
    return array


def _dict_error(argument: str, x: Mapping[str, Any]) -> str:
    return (f"Argument `{argument}` must hold events, not dicts; received a dict with the keys {list(x)}. Pass the "
            "values of one key, such as `x[key]` or `dataset.map(lambda batch: batch[key])`.")


def _tuples(batches: Iterable[Any]) -> Iterator[Any]:
    # Keras accepts generators of tuples, but no other iterators.
    for batch in batches:
        yield tuple(batch) if isinstance(batch, (tuple, list)) else (batch,)


def _local(value: Any) -> Any:
    """Returns the part of a batch that the first replica of this worker processes."""
    return value.values[0] if isinstance(value, tf.distribute.DistributedValues) else value
