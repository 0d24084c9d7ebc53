# SPDX-License-Identifier: Apache-2.0
"""Stacks of tensors, one row per step of a `Repeat`: how they are made and how a loop reads them."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfp_glow.bijectors.flow_bijector import FlowBijector

Row = list[tf.Tensor]


def stack_values(bijectors: Callable[[], FlowBijector], num_steps: int, first: FlowBijector) -> list[np.ndarray]:
    """Stacks the initial values of the parameters of `first` and of `num_steps - 1` more bijectors.

    The bijectors are built one at a time, as only their values are needed.
    """
    stacks = [np.empty((num_steps, *v.shape), v.dtype) for v in first.keras_variables]
    shapes = [stack.shape[1:] for stack in stacks]
    for k in range(num_steps):
        step = first if k == 0 else bijectors()
        received = [tuple(v.shape) for v in getattr(step, "keras_variables", ())]
        if received != shapes:
            raise ValueError("Argument `make_step` must return the same structure every time; received a bijector with "
                             f"parameters of shapes {received} after one with {shapes}.")
        for stack, variable in zip(stacks, step.keras_variables, strict=True):
            stack[k] = keras.ops.convert_to_numpy(variable)
    return stacks


def constant_initializer(value: Any) -> Callable[..., tf.Tensor]:
    """Returns a Keras initializer that gives `value`, whatever the shape."""
    return lambda shape, dtype=None: tf.convert_to_tensor(value, dtype=dtype)


def row_reader(stacks: Sequence[tf.Tensor], differentiable: bool) -> Callable[[tf.Tensor], Row]:
    """Returns a function that maps `k` to row `k` of each stack.

    The gradient of a slice in a loop is as large as the whole stack, in each turn of the loop. A `TensorArray` avoids
    that, but copies the stack, so it is used only where a gradient passes through.
    """
    if not differentiable:
        return lambda k: [stack[k] for stack in stacks]
    arrays = [_to_array(stack) for stack in stacks]
    return lambda k: [array.read(k) for array in arrays]


def empty_array(stack: tf.Tensor) -> tf.TensorArray:
    """Returns an empty `TensorArray` for the rows of a tensor with the shape of `stack`."""
    return tf.TensorArray(stack.dtype, stack.shape[0], element_shape=stack.shape[1:])


def _to_array(stack: tf.Tensor) -> tf.TensorArray:
    array = tf.TensorArray(stack.dtype, stack.shape[0], element_shape=stack.shape[1:], clear_after_read=False)
    return array.unstack(stack)
