# SPDX-License-Identifier: Apache-2.0
"""Inputs with a context: how the networks read `[kept, context]`."""

from keras import ops


def joined(inputs):
    """One tensor of a network's inputs: of a pair `[kept, context]`, the context stands after the channels of `kept`.

    Args:
      inputs: a tensor `[batch, ..., channels]`, or the pair of it and a context: `[batch, size]`, the same for every
        pixel, or of the rank of `kept` with values of its own for each.

    Returns:
      A tensor `[batch, ..., channels]`, or `[batch, ..., channels + size]`.

    Raises:
      ValueError: if the context is of another rank.
    """
    if not isinstance(inputs, (list, tuple)):
        return inputs
    kept, context = inputs
    joined_shape([tuple(kept.shape), tuple(context.shape)])
    if len(context.shape) < len(kept.shape):
        context = ops.reshape(context, (-1, *(1,) * (len(kept.shape) - 2), context.shape[-1]))
        context = ops.broadcast_to(context, (*ops.shape(kept)[:-1], context.shape[-1]))
    return ops.concatenate([kept, context], axis=-1)


def joined_shape(input_shape):
    """The shape of `joined(inputs)`, given the shape or the pair of shapes of `inputs`."""
    if not isinstance(input_shape[0], (list, tuple)):
        return tuple(input_shape)
    kept, context = map(tuple, input_shape)
    if len(context) not in (2, len(kept)):
        raise ValueError("Argument `inputs` must be `[kept, context]` with a context `[batch, size]` or of the rank of "
                         f"`kept`; received shapes {kept} and {context}.")
    return (*kept[:-1], kept[-1] + context[-1])
