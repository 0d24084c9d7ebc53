# SPDX-License-Identifier: Apache-2.0
"""Checks of arguments: each returns the checked value or raises a `ValueError` that names argument, rule and value.

Callers use the returned value: it has a plain Python type, whatever NumPy type the caller passed.
"""

import numbers
import os
from collections.abc import Callable, Collection
from typing import Any

import keras
import numpy as np
import tensorflow as tf

MAX_NUM_BITS = 16


def check_int(argument: str, value: Any, minimum: int = 1) -> int:
    """Returns `value` as an int, or raises `ValueError` if it is not an integer of at least `minimum`."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral) or value < minimum:
        raise ValueError(f"Argument `{argument}` must be an integer of at least {minimum}; received {value!r}.")
    return int(value)


def check_ints(argument: str, values: Any, minimum: int = 1) -> tuple[int, ...]:
    """Returns `values` as a tuple of ints, or raises `ValueError` unless each is at least `minimum`."""
    if not isinstance(values, (list, tuple, np.ndarray)):
        raise ValueError(f"Argument `{argument}` must be a sequence of integers of at least {minimum}; "
                         f"received {values!r}.")
    return tuple(check_int(argument, value, minimum) for value in values)


def check_bool(argument: str, value: Any) -> bool:
    """Returns `value` as a bool, or raises `ValueError` if it is neither True nor False."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"Argument `{argument}` must be True or False; received {value!r}.")
    return bool(value)


def check_number(argument: str, value: Any, rule: str = "be a real number",
                 holds: Callable[[float], bool] = lambda value: True) -> float:
    """Returns `value` as a float, or raises `ValueError` if it is no real number or `holds(value)` is false.

    Args:
      argument: name of the argument, for the message.
      value: the value to check.
      rule: the condition in words, as in "must {rule}".
      holds: the condition.
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real) or not holds(float(value)):
        raise ValueError(f"Argument `{argument}` must {rule}; received {value!r}.")
    return float(value)


def check_shape(argument: str, shape: Any, ranks: Collection[int]) -> tuple[int, ...]:
    """Returns `shape` as a tuple of ints, or raises `ValueError` if its rank is not among `ranks`.

    An int stands for a shape of rank 1.
    """
    try:
        shape = tuple(tf.TensorShape(shape).as_list())
    except (TypeError, ValueError):
        shape = (shape,)
    positive = all(isinstance(size, numbers.Integral) and int(size) > 0 for size in shape)
    if not positive or len(shape) not in ranks:
        names = {1: "(size,)", 3: "(height, width, channels)"}
        rule = " or ".join(names.get(rank, f"{rank} sizes") for rank in ranks)
        raise ValueError(f"Argument `{argument}` must be {rule} of positive integers; received {shape!r}.")
    return tuple(int(size) for size in shape)


def check_choice(argument: str, value: Any, choices: Collection[str]) -> str:
    """Returns `value`, or raises `ValueError` if it is not among `choices`."""
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
    """Returns `dtype`, or raises `ValueError` if it is neither None nor a dtype or dtype policy that Keras knows."""
    if dtype is not None:
        try:
            keras.dtype_policies.get(dtype)
        except (TypeError, ValueError) as error:
            raise ValueError("Argument `network_dtype` must be a dtype or a Keras dtype policy, or None; "
                             f"received {dtype!r}.") from error
    return dtype


def check_num_bits(num_bits: Any) -> int:
    """Returns `num_bits` as an int, or raises `ValueError` if it is not from 1 to 16."""
    if check_int("num_bits", num_bits) > MAX_NUM_BITS:
        raise ValueError(f"Argument `num_bits` must be at most {MAX_NUM_BITS}; received {num_bits}.")
    return int(num_bits)


def check_seed(seed: Any) -> int | None:
    """Returns `seed` as an int or None, or raises `ValueError` if it is neither None nor an integer from 0."""
    return None if seed is None else check_int("seed", seed, minimum=0)


def check_num_classes(num_classes: Any) -> int | None:
    """Returns `num_classes` as an int or None, or raises `ValueError` if it is neither None nor at least 2."""
    return None if num_classes is None else check_int("num_classes", num_classes, minimum=2)


def check_activation(argument: str, value: Any) -> Callable:
    """Returns the Keras activation that `value` names, or raises `ValueError` if there is none."""
    try:
        return keras.activations.get(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"Argument `{argument}` must be the name of a Keras activation or a callable; "
                         f"received {value!r}.") from error


def check_path(argument: str, value: Any) -> str:
    """Returns `value` as a string, or raises `ValueError` if it is no path."""
    if not isinstance(value, (str, os.PathLike)):
        raise ValueError(f"Argument `{argument}` must be a path; received {value!r}.")
    return os.fspath(value)


def check_finite(argument: str, value: Any) -> None:
    """Raises `ValueError` if an array or eager tensor of floats holds NaN or infinity."""
    if isinstance(value, tf.Tensor) and value.dtype.is_floating:
        finite = bool(tf.reduce_all(tf.math.is_finite(value)))
    elif isinstance(value, np.ndarray) and np.issubdtype(value.dtype, np.floating):
        finite = bool(np.isfinite(value).all())
    else:
        return
    if not finite:
        raise ValueError(f"Argument `{argument}` must be finite; received NaN or infinity.")
