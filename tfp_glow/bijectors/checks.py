# SPDX-License-Identifier: Apache-2.0
"""Checks of arguments, shared by every constructor: which argument, the rule, what was received."""

import numbers

import tensorflow as tf

CONDITIONS = ("context", "training")


def check_int(argument, value, minimum=1):
    """Returns `value` as an int, or raises `ValueError` if it is not a whole number of at least `minimum`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < minimum:
        raise ValueError(f"Argument `{argument}` must be a whole number of at least {minimum}; received {value!r}.")
    return int(value)


def check_bool(argument, value):
    """Returns `value`, or raises `ValueError` if it is neither True nor False."""
    if not isinstance(value, bool):
        raise ValueError(f"Argument `{argument}` must be True or False; received {value!r}.")
    return value


def check_number(argument, value, rule, holds):
    """Returns `value`, or raises `ValueError` if it is not a real number that `holds`; `rule` says it in words."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not holds(value):
        raise ValueError(f"Argument `{argument}` must {rule}; received {value!r}.")
    return value


def check_shape(argument, shape, ranks):
    """Returns `shape` as a tuple of ints, or raises `ValueError` if its rank is not among `ranks`."""
    try:
        shape = tuple(tf.TensorShape(shape).as_list())
    except (TypeError, ValueError):
        shape = (shape,)
    positive = all(isinstance(n, numbers.Integral) and n > 0 for n in shape)
    if not positive or len(shape) not in ranks:
        names = {1: "(size,)", 3: "(height, width, channels)"}
        rule = " or ".join(names.get(r, f"{r} sizes") for r in ranks)
        raise ValueError(f"Argument `{argument}` must be {rule} of positive whole numbers; received {shape!r}.")
    return shape


def check_choice(argument, value, choices):
    """Returns `value`, or raises `ValueError` if it is not among `choices`."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"Argument `{argument}` must be one of {', '.join(map(repr, choices))}; received {value!r}.")
    return value


def check_float_dtype(dtype):
    """Returns `dtype` as a `tf.DType`, or raises `ValueError` if densities cannot be kept in it."""
    try:
        dtype = tf.as_dtype(dtype)
    except TypeError:
        pass
    if dtype not in (tf.float32, tf.float64):
        received = getattr(dtype, "name", dtype)
        raise ValueError(f"Argument `dtype` must be float32 or float64; received {received!r}.")
    return dtype


def check_conditions(bijector, conditions):
    """Raises `ValueError` for a keyword that no bijector of this package knows, or a context that no part asks for."""
    for key in conditions:
        if key not in CONDITIONS:
            raise ValueError(f"{bijector.name}: keyword must be one of {', '.join(map(repr, CONDITIONS))}; "
                             f"received {key!r}.")
    context = conditions.get("context")
    if context is not None and bijector.context_shape is None:
        raise ValueError(f"{bijector.name}: argument `context` must be left out, as no coupling here has a "
                         f"`context_shape`; received one of shape {tuple(tf.convert_to_tensor(context).shape)}.")
