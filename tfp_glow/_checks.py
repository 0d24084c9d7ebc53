# SPDX-License-Identifier: Apache-2.0
"""Checks of arguments: each returns the checked value or raises a `ValueError` that names argument, rule and value.

Callers use the returned value: a NumPy integer, float or bool is returned as an int, a float or a bool of Python.
"""

import contextlib
import contextvars
import numbers
import os
import re
from collections.abc import Callable, Collection, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

MAX_NUM_BITS = 16
_FLOATS = ("float16", "bfloat16", "float32", "float64")
_ASSERTION = re.compile(r"assertion failed: \[tfp_glow: ([^\]]*)\]((?: \[[^\]]*\])*)")
_COLLECTED: contextvars.ContextVar[list | None] = contextvars.ContextVar("collected", default=None)


def check_int(argument: str, value: Any, minimum: int = 1) -> int:
    """Returns `value` as an int, or raises a `ValueError` that names `argument` unless it is an int >= `minimum`."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral) or value < minimum:
        raise ValueError(f"Argument `{argument}` must be an integer of at least {minimum}; received {value!r}.")
    return int(value)


def check_odd(argument: str, value: Any) -> int:
    """Returns `value` as an int, or raises a `ValueError` that names `argument` unless it is an odd int >= 3."""
    if check_int(argument, value) < 3 or value % 2 == 0:
        raise ValueError(f"Argument `{argument}` must be an odd integer of at least 3; received {value!r}.")
    return int(value)


def check_ints(argument: str, values: Any, minimum: int = 1) -> tuple[int, ...]:
    """Returns a sequence of integers as a tuple of ints.

    Args:
      argument: name of the argument, for the error message.
      values: a list, a tuple or a one-dimensional array of integers. It may be empty.
      minimum: the least integer that is allowed. The default is 1.

    Raises:
      ValueError: if `values` is no such sequence, or one of the integers is less than `minimum`.
    """
    if not isinstance(values, (list, tuple, np.ndarray)):
        raise ValueError(f"Argument `{argument}` must be a sequence of integers of at least {minimum}; "
                         f"received {values!r}.")
    return tuple(check_int(argument, value, minimum) for value in values)


def check_order(argument: str, value: Any, size: int) -> np.ndarray:
    """Returns a permutation of `range(size)` as an int64 array, or raises a `ValueError` that names `argument`."""
    if np.ndim(value) != 1 or not np.array_equal(np.sort(value), np.arange(size)):
        raise ValueError(f"Argument `{argument}` must be a permutation of range({size}); received {value!r}.")
    return np.asarray(value, "int64")


def check_bool(argument: str, value: Any) -> bool:
    """Returns `value` as a bool, or raises a `ValueError` that names `argument` if it is neither True nor False."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"Argument `{argument}` must be True or False; received {value!r}.")
    return bool(value)


def check_number(argument: str, value: Any, rule: str = "be a real number",
                 holds: Callable[[float], bool] = lambda value: True) -> float:
    """Returns a real number as a float.

    Args:
      argument: name of the argument, for the error message.
      value: the number, of a Python or NumPy type.
      rule: the condition in words. It completes the sentence "Argument must ...", for example `"be positive"`.
      holds: a function that returns True for the floats that satisfy the condition. The default accepts every float.

    Raises:
      ValueError: if `value` is no real number, or `holds(value)` is False.
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real) or not holds(float(value)):
        raise ValueError(f"Argument `{argument}` must {rule}; received {value!r}.")
    return float(value)


def check_shape(argument: str, shape: Any, ranks: Collection[int]) -> tuple[int, ...]:
    """Returns `shape` as a tuple of ints.

    Args:
      argument: name of the argument, for the error message.
      shape: a sequence of positive integers or a `tf.TensorShape`. An integer means a shape of rank 1.
      ranks: the allowed numbers of sizes, such as `(1, 3)` for vectors and images.

    Raises:
      ValueError: if a size is unknown or not positive, or the number of sizes is not in `ranks`.
    """
    try:
        shape = tuple(tf.TensorShape(shape).as_list())
    except (TypeError, ValueError):
        shape = (shape,)
    positive = all(isinstance(size, numbers.Integral) and int(size) > 0 for size in shape)
    if not positive or len(shape) not in ranks:
        names = {1: "(size,)", 3: "(height, width, channels)"}
        rule = " or ".join(names.get(rank, f"{rank} sizes") for rank in ranks)
        raise ValueError(f"Argument `{argument}` must be a shape {rule} of positive integers; received {shape!r}.")
    return tuple(int(size) for size in shape)


def check_choice(argument: str, value: Any, choices: Collection[str]) -> str:
    """Returns `value`, or raises a `ValueError` that names `argument` if it is not one of the strings `choices`."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"Argument `{argument}` must be one of {', '.join(map(repr, choices))}; received {value!r}.")
    return value


def check_float_dtype(dtype: Any) -> tf.DType:
    """Returns `dtype` as a `tf.DType`, or raises `ValueError` unless it is float32 or float64."""
    try:
        dtype = tf.as_dtype(dtype)
    except TypeError:
        pass
    if dtype not in (tf.float32, tf.float64):
        received = getattr(dtype, "name", dtype)
        raise ValueError(f"Argument `dtype` must be float32 or float64; received {received!r}.")
    return dtype


def check_network_dtype(dtype: Any) -> Any:
    """Returns `dtype`, or raises `ValueError` unless it is None, a float dtype or a Keras dtype policy of floats."""
    if dtype is None:
        return None
    try:
        policy = keras.dtype_policies.get(dtype)
        are_floats = policy.quantization_mode is None and policy.compute_dtype in _FLOATS
    except (TypeError, ValueError):
        are_floats = False
    if not are_floats:
        raise ValueError("Argument `network_dtype` must be a float dtype or a Keras dtype policy of floats, or None; "
                         f"received {dtype!r}.")
    return dtype


def check_num_bits(num_bits: Any) -> int:
    """Returns `num_bits`, bits per channel value, as an int, or raises `ValueError` unless it is from 1 to 16."""
    if check_int("num_bits", num_bits) > MAX_NUM_BITS:
        raise ValueError(f"Argument `num_bits` must be at most {MAX_NUM_BITS}; received {num_bits}.")
    return int(num_bits)


def check_seed(seed: Any) -> int | None:
    """Returns `seed` as an int or None, or raises `ValueError` unless it is None or an integer of at least 0."""
    return None if seed is None else check_int("seed", seed, minimum=0)


def check_num_classes(num_classes: Any) -> int | None:
    """Returns `num_classes` as an int or None, or raises `ValueError` unless it is None or an integer of at least 2."""
    return None if num_classes is None else check_int("num_classes", num_classes, minimum=2)


def check_activation(argument: str, value: Any) -> Callable:
    """Returns an activation function.

    Args:
      argument: name of the argument, for the error message.
      value: name of a Keras activation, such as `"relu"`, or a callable, which is returned as it is.

    Raises:
      ValueError: if Keras has no activation of this name, or `value` is neither a string nor a callable.
    """
    try:
        return keras.activations.get(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"Argument `{argument}` must be the name of a Keras activation or a callable; "
                         f"received {value!r}.") from error


def check_path(argument: str, value: Any) -> str:
    """Returns a path as a string. Does not check whether a file exists there.

    Args:
      argument: name of the argument, for the error message.
      value: a string or an `os.PathLike`, such as a `pathlib.Path`.

    Raises:
      ValueError: if `value` is neither a string nor an `os.PathLike`.
    """
    if not isinstance(value, (str, os.PathLike)):
        raise ValueError(f"Argument `{argument}` must be a path; received {value!r}.")
    return os.fspath(value)


def check_finite(argument: str, value: Any) -> None:
    """Raises a `ValueError` that names `argument` if `value` holds NaN or infinity.

    Checks NumPy arrays and eager tensors of floats. Does nothing for other values.
    """
    if isinstance(value, tf.Tensor) and value.dtype.is_floating:
        finite = bool(tf.reduce_all(tf.math.is_finite(value)))
    elif isinstance(value, np.ndarray) and np.issubdtype(value.dtype, np.floating):
        finite = bool(np.isfinite(value).all())
    else:
        return
    if not finite:
        raise ValueError(f"Argument `{argument}` must be finite; received NaN or infinity.")


def ending_in(subject: str, value: tf.Tensor, shape: tuple[int, ...]) -> tf.Tensor:
    """Returns a tensor whose shape ends in given sizes.

    Args:
      subject: the first words of the error message, such as "Argument `x`".
      value: a tensor. Its rank and its sizes may be unknown until the graph runs.
      shape: the sizes of its last axes, a tuple of ints.

    Returns:
      The same values. The last axes have static sizes if the rank is known.

    Raises:
      ValueError: if the static shape of `value` does not end in `shape`.
      tf.errors.InvalidArgumentError: when the graph runs, if the shape does not end in `shape`.
    """
    rank, static = len(shape), value.shape
    message = f"{subject} must have a shape that ends in {shape}; received shape"
    if static.rank is not None and (static.rank < rank or not static[static.rank - rank:].is_compatible_with(shape)):
        raise ValueError(f"{message} {tuple(static)}.")
    if static.rank is not None and static[static.rank - rank:].is_fully_defined():
        return value
    sizes = tf.concat([tf.fill([rank], -1), tf.shape(value)], axis=0)[-rank:]
    value = require(tf.reduce_all(tf.equal(sizes, shape)), value, message, tf.shape(value))
    return value if static.rank is None else tf.ensure_shape(value, static[:static.rank - rank].concatenate(shape))


def require(condition: tf.Tensor, value: tf.Tensor, message: str, *details: Any) -> tf.Tensor:
    """Returns a value if a condition holds.

    Args:
      condition: a boolean scalar.
      value: a tensor.
      message: the rule, without the character `]`. It completes with `details`.
      *details: strings, scalars and vectors that complete the message.

    Returns:
      `value`. Inside a graph, it depends on an assertion.

    Raises:
      ValueError: in eager mode, if the condition does not hold.
    """
    if tf.executing_eagerly():
        if not bool(condition):
            raise ValueError(_sentence([message, *(tf.convert_to_tensor(detail).numpy() for detail in details)]))
        return value
    collected = _COLLECTED.get()
    if collected is not None:
        collected.append(condition)
        return value
    with tf.control_dependencies([tf.debugging.Assert(condition, [f"tfp_glow: {message}", *details], summarize=8)]):
        return tf.identity(value)


@contextlib.contextmanager
def collected_conditions() -> Iterator[list[tf.Tensor]]:
    """Returns a context manager in which `require` adds no assertions to graphs.

    It yields the list of the conditions that `require` received, boolean scalars, for runtimes without assertions.
    """
    conditions: list[tf.Tensor] = []
    token = _COLLECTED.set(conditions)
    try:
        yield conditions
    finally:
        _COLLECTED.reset(token)


@contextlib.contextmanager
def clear_errors() -> Iterator[None]:
    """Returns a context manager that raises a `ValueError` of one line if an assertion of `require` fails inside it."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        failed = _ASSERTION.search(str(error.message))
        if failed is None:
            raise
        raise ValueError(_sentence([failed[1], *re.findall(r"\[([^\]]*)\]", failed[2])])) from None


def _sentence(parts: list[Any]) -> str:
    text = " ".join(part.decode() if isinstance(part, bytes) else str(part) for part in parts)
    return f"{text[0].upper()}{text[1:]}."
