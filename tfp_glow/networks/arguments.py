# SPDX-License-Identifier: Apache-2.0
"""Checks of the networks' arguments: which argument, the rule, what was received."""

import numbers

import keras


def check_size(argument, value):
    """Returns `value`, or raises `ValueError` if it is not a positive whole number."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"Argument `{argument}` must be a positive whole number; received {value!r}.")
    return value


def check_sizes(argument, values):
    """Returns `values` as a tuple, or raises `ValueError` if it is not a sequence of positive whole numbers."""
    if not isinstance(values, (list, tuple)):
        raise ValueError(f"Argument `{argument}` must be a sequence of positive whole numbers; received {values!r}.")
    return tuple(check_size(argument, value) for value in values)


def check_number(argument, value):
    """Returns `value` as a float, or raises `ValueError` if it is not a real number."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ValueError(f"Argument `{argument}` must be a real number; received {value!r}.")
    return float(value)


def check_activation(argument, value):
    """Returns the Keras activation called `value`, or raises `ValueError` if there is none."""
    try:
        return keras.activations.get(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"Argument `{argument}` must be the name of a Keras activation or a callable; "
                         f"received {value!r}.") from error
