# SPDX-License-Identifier: Apache-2.0
"""`PassCache`: lets TFP's separate calls `inverse` and `inverse_log_det_jacobian` share one pass of a bijector.

TFP requests the value and the log-determinant of a bijector in two calls. TFP's cache
`BijectorCacheWithGreedyAttrs` stores the value and the log-determinant of one pass under the identity of the input
tensor. But TFP's cache never drops an entry that is out of date.

`PassCache` drops an entry if one of these conditions holds:

* A variable of the bijector has changed, or a variable or array among the keyword arguments of the pass has changed.
  Eager mode compares values. A graph checks for new operations that can write to one of the variables.
* The pass was computed in another graph, or eagerly and is now needed in a graph, where it would become a constant.
* A gradient tape or forward accumulator is active that did not record the pass. Derivatives would then silently be
  `None` or 0.
* Several tapes or accumulators, or a persistent tape, recorded the pass. TensorFlow does not show whether all active
  ones did.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfp_glow._compat_tensorflow import could_possibly_record, derivative_order, stop_recording
from tfp_glow._compat_tfp import StampedCache
from tfp_glow.bijectors._training_checks import components, trainable_tensors

_READ_OPS = frozenset({"ReadVariableOp", "VariableShape", "ResourceGather", "ResourceGatherNd", "VarIsInitializedOp"})


class PassCache(StampedCache):
    """A bijector cache that drops the result of a pass after weights, graph or gradient tape have changed."""

    def stamp(self, conditions: Any) -> "_Stamp":
        return _Stamp(self.bijector, conditions)

    def is_current(self, attributes: dict[str, Any], output: Any, source: Any) -> bool:
        stamp = attributes.get("stamp")
        if stamp is None or not stamp.still_holds():
            return False
        if not could_possibly_record():
            return True
        order = derivative_order([attributes["ildj"], *(() if output is None else tf.nest.flatten(output))])
        sources = [s for s in tf.nest.flatten(source) if isinstance(s, tf.Tensor)]
        return order < 2 and derivative_order([*sources, *trainable_tensors(stamp.variables)]) <= order


class _Stamp:
    """The graph, the values of a bijector's variables and the values of keyword arguments at the time of a pass."""

    def __init__(self, bijector: tf.Module, conditions: Any):
        given = [v.value if isinstance(v, keras.Variable) else v for v in tf.nest.flatten(conditions)]
        self.variables = [*bijector.variables, *(v for v in given if isinstance(v, tf.Variable))]
        self._arrays = [(v, v.copy()) for v in given if isinstance(v, np.ndarray)]
        self._graph = _current_graph()
        self._state = self._read()

    def still_holds(self) -> bool:
        if self._graph is not _current_graph() or any(np.any(now != then) for now, then in self._arrays):
            return False
        if self._graph is not None:
            return self._state == self._read()
        return all(bool(tf.reduce_all(old == new)) for old, new in zip(self._state, self._read(), strict=True))

    def _read(self) -> Any:
        if self._graph is None:  # Reading copies nothing: the tensors share the buffers.
            with stop_recording():
                return [v.read_value() for v in self.variables]
        return _num_possible_writes(self._graph, self.variables)


def _current_graph() -> tf.Graph | None:
    return None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()


def _num_possible_writes(graph: tf.Graph, variables: list[Any]) -> int:
    """Counts the operations of `graph` that can change one of `variables`."""
    handles = {id(c.handle) for c in components(variables)}
    inside = [placeholder for outer, placeholder in getattr(graph, "captures", ()) if id(outer) in handles]
    return sum(op.type not in _READ_OPS for handle in inside for op in handle.consumers())
