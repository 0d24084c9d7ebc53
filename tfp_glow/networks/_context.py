# SPDX-License-Identifier: Apache-2.0
"""Concatenation of a network's input with a context."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import tensorflow as tf
from keras import ops

from tfp_glow._types import Shape

Inputs: TypeAlias = tf.Tensor | Sequence[tf.Tensor]  # A tensor, or a pair `[kept, context]`.
InputShape: TypeAlias = Sequence[Any]  # A shape, or the pair of the shapes of `kept` and `context`.


def concatenate_context(inputs: Inputs) -> tf.Tensor:
    """Concatenates the pair `[kept, context]` along the channels; returns a single tensor unchanged.

    Args:
      inputs: a tensor `[batch, ..., channels]`, or a pair `[kept, context]` of such a tensor `kept` and a tensor
        `context`. A context `[batch, size]` is repeated at every pixel. A context `[batch, ..., size]` has its own
        values at every pixel.

    Returns:
      `inputs`, if it is a single tensor. For a pair, a tensor `[batch, ..., channels + size]`, in which the channels of
      `kept` come first.

    Raises:
      ValueError: if the context has neither rank 2 nor the rank of `kept`.
    """
    if not isinstance(inputs, (list, tuple)):
        return inputs
    kept, context = inputs
    shape_with_context([tuple(kept.shape), tuple(context.shape)])
    if len(context.shape) < len(kept.shape):
        context = ops.reshape(context, (-1, *(1,) * (len(kept.shape) - 2), context.shape[-1]))
        context = ops.broadcast_to(context, (*ops.shape(kept)[:-1], context.shape[-1]))
    return ops.concatenate([kept, context], axis=-1)


def shape_with_context(input_shape: InputShape) -> Shape:
    """Returns the shape of the tensor that `concatenate_context` returns.

    Args:
      input_shape: shape of a single input tensor, or the pair of the shapes of `kept` and `context`. The batch size may
        be None.

    Returns:
      The shape, a tuple of ints. The batch size is None if it is None in `input_shape`.

    Raises:
      ValueError: if the context has neither rank 2 nor the rank of `kept`.
    """
    if not isinstance(input_shape[0], (list, tuple)):
        return tuple(input_shape)
    kept, context = map(tuple, input_shape)
    if len(context) not in (2, len(kept)):
        raise ValueError("Argument `inputs` must be `[kept, context]` with a context `[batch, size]` or of the rank of "
                         f"`kept`; received shapes {kept} and {context}.")
    return (*kept[:-1], kept[-1] + context[-1])
