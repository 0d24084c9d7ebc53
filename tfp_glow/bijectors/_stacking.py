# SPDX-License-Identifier: Apache-2.0
"""Stacks of the parameters of the steps of a `Repeat`: tensors `[num_steps, ...]` with one row per step."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfp_glow.bijectors.flow_bijector import FlowBijector

Row = list[tf.Tensor]


def stack_values(make_step: Callable[[], FlowBijector], num_steps: int, first: FlowBijector) -> list[np.ndarray]:
    """Stacks the initial values of the parameters of `num_steps` bijectors.

    The bijectors are built one after the other and not kept, to save memory.

    Args:
      make_step: a callable without arguments that returns a new bijector. It is called `num_steps - 1` times.
      num_steps: number of rows of each stack.
      first: the bijector of row 0.

    Returns:
      One array `[num_steps, *variable.shape]` per variable of `first.keras_variables`, in the same order.

    Raises:
      ValueError: if the bijectors have parameters of different shapes.
    """
    stacks = [np.empty((num_steps, *v.shape), v.dtype) for v in first.keras_variables]
    shapes = [stack.shape[1:] for stack in stacks]
    for k in range(num_steps):
        step = first if k == 0 else make_step()
        received = [tuple(v.shape) for v in getattr(step, "keras_variables", ())]
        if received != shapes:
            raise ValueError("Argument `make_step` must return the same structure every time; received a bijector with "
                             f"parameters of shapes {received} after one with {shapes}.")
        for stack, variable in zip(stacks, step.keras_variables, strict=True):
            stack[k] = keras.ops.convert_to_numpy(variable)
    return stacks


def constant_initializer(value: Any) -> Callable[..., tf.Tensor]:
    """Returns a Keras initializer that returns `value` in the requested dtype. It ignores the requested shape."""
    return lambda shape, dtype=None: tf.convert_to_tensor(value, dtype=dtype)


def row_reader(stacks: Sequence[tf.Tensor], differentiable: bool) -> Callable[[tf.Tensor], Row]:
    """Returns a function that maps the index `k` of a step to a list with row `k` of each stack.

    A loop calls the returned function once per iteration. The gradient of a slice `stack[k]` has the size of the whole
    stack in every iteration. A `TensorArray` has no such cost, but it copies the stack.

    Args:
      stacks: tensors `[num_steps, ...]`.
      differentiable: True reads rows from a `TensorArray`; use it if TensorFlow differentiates the loop. False slices
        the stacks.

    Returns:
      A function of a scalar integer tensor `k`.
    """
    if not differentiable:
        return lambda k: [stack[k] for stack in stacks]
    arrays = [_to_array(stack) for stack in stacks]
    return lambda k: [array.read(k) for array in arrays]


def empty_array(stack: tf.Tensor) -> tf.TensorArray:
    """Returns an empty `TensorArray` that can hold the rows of a tensor with the shape and dtype of `stack`."""
    return tf.TensorArray(stack.dtype, stack.shape[0], element_shape=stack.shape[1:])


def _to_array(stack: tf.Tensor) -> tf.TensorArray:
    array = tf.TensorArray(stack.dtype, stack.shape[0], element_shape=stack.shape[1:], clear_after_read=False)
    return array.unstack(stack)
