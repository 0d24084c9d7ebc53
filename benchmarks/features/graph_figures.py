# SPDX-License-Identifier: Apache-2.0
"""Sizes of a TensorFlow graph of a loss and its gradients. Needs TensorFlow only."""

from collections.abc import Callable, Iterable
from typing import Any

import tensorflow as tf

LossAndGradients = Callable[[tf.Tensor], tuple[tf.Tensor, Any]]


def num_nodes(loss_and_gradients: LossAndGradients, y: tf.Tensor) -> int:
    """Returns the number of nodes in the graph of a loss and its gradients, and in the functions of the graph."""
    graph = tf.function(loss_and_gradients, autograph=False).get_concrete_function(y).graph.as_graph_def()
    return len(graph.node) + sum(len(f.node_def) for f in graph.library.function)


def kept_bytes(loss_and_gradients: LossAndGradients, y: tf.Tensor) -> int:
    """Returns the bytes of the tensors of the loss that depend on the batch and that its gradients read."""

    @tf.function(autograph=False)
    def total(y: tf.Tensor) -> tf.Tensor:
        loss, _ = loss_and_gradients(y)
        before = _closure([loss.op], lambda op: [t.op for t in op.inputs])
        of_batch = _closure(y.consumers(), lambda op: [c for t in op.outputs for c in t.consumers()])
        kept = [t for op in before & of_batch for t in op.outputs if any(c not in before for c in t.consumers())]
        return tf.reduce_sum([_num_bytes(t) for t in kept])

    return int(total(y))


def _closure(start: Iterable[tf.Operation], neighbors: Callable[[tf.Operation], list]) -> set[tf.Operation]:
    found, left = set(), list(start)
    while left:
        op = left.pop()
        if op not in found:
            found.add(op)
            left += neighbors(op)
    return found


def _num_bytes(value: tf.Tensor) -> tf.Tensor:
    if value.dtype != tf.variant:
        return tf.cast(tf.size(value), tf.int64) * value.dtype.size
    # A loop keeps a list of tensors, here of 4-byte numbers.
    length = tf.cast(tf.raw_ops.TensorListLength(input_handle=value), tf.int64)
    shape = tf.raw_ops.TensorListElementShape(input_handle=value, shape_type=tf.int64)
    return length * tf.reduce_prod(tf.maximum(shape, 1)) * 4
