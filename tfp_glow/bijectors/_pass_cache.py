# SPDX-License-Identifier: Apache-2.0
"""The cache that lets TFP's separate `inverse` and `inverse_log_det_jacobian` calls share one pass.

TFP asks a bijector for its value and for its log-det in two calls, and remembers results by the identity of the
input tensor. Its `BijectorCacheWithGreedyAttrs` can keep the log-det found on the way; that class is private to TFP
(and pinned by this package's requirements), as is TensorFlow's question "is a gradient tape following this tensor?".
Both are touched in this file only.

What TFP leaves open is *when an entry is out of date*. `PassCache` answers: as soon as

* a variable of the bijector has changed, or a variable or array given as a condition (eager: values are compared;
  graphs: an operation that can write to it was added since),
* it would cross a graph's border (an eager result frozen into a graph as a constant), or
* a gradient tape is active that did not see the entry made, so that its gradients would silently be `None`.
"""

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.eager import record
from tensorflow_probability.python.internal import cache_util

_READS = frozenset({"ReadVariableOp", "VariableShape", "ResourceGather", "ResourceGatherNd", "VarIsInitializedOp"})


class PassCache(cache_util.BijectorCacheWithGreedyAttrs):
    """A bijector cache whose entries expire when weights, graph or gradient tape change."""

    def _invoke(self, input, fn_name, kwargs, attributes):
        attributes.clear()
        output = super()._invoke(input, fn_name, kwargs, attributes)
        attributes["stamp"] = _Stamp(self.bijector, kwargs)
        return output

    def _get_or_create_edge(self, input, forward_name, kwargs):
        edge = super()._get_or_create_edge(input, forward_name, kwargs)
        if not edge.attributes or self._is_current(edge, (input, kwargs)):
            return edge
        for reference in (edge.input_ref, edge.output_ref):
            if reference is not None:
                reference.cancel()
                self.storage.pop(reference, None)
        return super()._get_or_create_edge(input, forward_name, kwargs)

    def _is_current(self, edge, source):
        stamp = edge.attributes.get("stamp")
        if stamp is None or not stamp.still_holds():
            return False
        if not record.could_possibly_record():
            return True
        results = [edge.attributes["ildj"]]
        if edge.output_ref:
            results += tf.nest.flatten(edge.output_ref())
        sources = [s for s in tf.nest.flatten(source) if isinstance(s, tf.Tensor)]
        would_be_followed = record.should_record_backprop(sources) or stamp.has_trainables
        return record.should_record_backprop(results) or not would_be_followed


class _Stamp:
    """The state of a bijector's variables, and of what else a pass is conditioned on, at the moment of a pass."""

    def __init__(self, bijector, conditions):
        given = [v.value if isinstance(v, keras.Variable) else v for v in tf.nest.flatten(conditions)]
        self._variables = [*bijector.variables, *(v for v in given if isinstance(v, tf.Variable))]
        self._arrays = [(v, v.copy()) for v in given if isinstance(v, np.ndarray)]
        self._graph = _current_graph()
        self._state = self._read()
        self.has_trainables = any(v.trainable for v in self._variables)

    def still_holds(self):
        if self._graph is not _current_graph() or any(np.any(now != then) for now, then in self._arrays):
            return False
        if self._graph is not None:
            return self._state == self._read()
        return all(bool(tf.reduce_all(old == new)) for old, new in zip(self._state, self._read(), strict=True))

    def _read(self):
        if self._graph is None:  # The tensors read share the variables' buffers: nothing is copied.
            with record.stop_recording():
                return [v.read_value() for v in self._variables]
        return _num_possible_writes(self._graph, self._variables)


def _current_graph():
    return None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()


def _num_possible_writes(graph, variables):
    """How many operations of `graph` so far could change one of `variables`."""
    components = [c for v in variables for c in getattr(v, "values", (v,))]
    handles = {id(c.handle) for c in components}
    inside = [placeholder for outer, placeholder in getattr(graph, "captures", ()) if id(outer) in handles]
    return sum(op.type not in _READS for handle in inside for op in handle.consumers())
