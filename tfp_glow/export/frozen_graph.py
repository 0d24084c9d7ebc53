# SPDX-License-Identifier: Apache-2.0
"""`freeze`: signatures as graphs that converters to other runtimes take whole.

The graph has no variables, no calls of other graphs and no assertions. Everything that does not depend on the inputs is
a constant, such as the matrices of 1x1 convolutions. Loops over steps are unrolled. The only loops left are those that
run over the dimensions of a vector, such as the forward pass of MAF.
"""

import dataclasses
import hashlib
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_glow._checks import collected_conditions
from tfp_glow._compat_tensorflow import frozen
from tfp_glow.bijectors._unrolling import unrolled_loops
from tfp_glow.export.signatures import Signature
from tfp_glow.transforms._special_functions import elementary_functions

GraphDef = tf.compat.v1.GraphDef
# Operations that return their input.
_IDENTITIES = {"Identity", "IdentityN", "StopGradient", "EnsureShape", "PreventGradient", "Snapshot"}
_LOOPS = {"While", "StatelessWhile"}


@dataclasses.dataclass(frozen=True)
class FrozenSignature:
    """A signature with its graph.

    Attributes:
      signature: the `Signature`.
      graph_def: a `GraphDef`. Its placeholders have the names of the inputs, and the node of the result has the name of
        the output.
      inputs: the inputs, `tf.TensorSpec`s.
      output: a `tf.TensorSpec` of the output.
    """

    signature: Signature
    graph_def: Any
    inputs: tuple[tf.TensorSpec, ...]
    output: tf.TensorSpec

    @property
    def has_loops(self) -> bool:
        """True if the graph has loops."""
        return any(node.op in _LOOPS for node in operations(self.graph_def))


def freeze(signatures: Sequence[Signature], batch_size: int | None = None) -> list[FrozenSignature]:
    """Traces signatures and returns their graphs, whose variables are constants.

    A condition that the SavedModel asserts, such as the domain of integers, makes all floats of the output NaN.

    Args:
      signatures: the signatures. Their functions must not be nested, see `GraphFunctions`.
      batch_size: size of the batch axis, an int of at least 1. None (the default) means any size.

    Returns:
      The signatures with their graphs, in the same order.
    """
    specs = {_key(spec): tf.TensorSpec([batch_size, *spec.shape[1:]], spec.dtype, spec.name)
             for signature in signatures for spec in signature.inputs}
    results: dict[str, tuple[tf.Tensor, list[tf.Tensor]]] = {}

    def compute(*inputs: tf.Tensor) -> list[tf.Tensor]:
        tensors = dict(zip(specs, inputs, strict=True))
        for signature in sorted(signatures, key=lambda signature: signature.derived is not None):
            with collected_conditions() as conditions, unrolled_loops(), elementary_functions():
                if signature.derived is not None and signature.derived[0] in results:
                    name, function = signature.derived
                    results[signature.name] = function(results[name][0]), results[name][1]
                else:
                    result = signature.compute(*(tensors[_key(spec)] for spec in signature.inputs))
                    results[signature.name] = result, conditions
        return [_or_nan(*results[signature.name]) for signature in signatures]

    concrete = tf.function(compute, input_signature=list(specs.values()), autograph=False).get_concrete_function()
    graph_def = frozen(concrete)
    _remove_control_inputs(graph_def)
    folding = _Folding(graph_def, {tensor.op.name for tensor in concrete.outputs})
    placeholders = dict(zip(specs, (tensor.op.name for tensor in concrete.inputs), strict=False))
    found = []
    for signature, tensor in zip(signatures, concrete.outputs, strict=True):
        names = {placeholders[_key(spec)]: str(spec.name) for spec in signature.inputs}
        found.append(FrozenSignature(
            signature, folding.graph_of(tensor.op.name, {**names, tensor.op.name: signature.output}),
            tuple(specs[_key(spec)] for spec in signature.inputs),
            tf.TensorSpec(tensor.shape, tensor.dtype, signature.output)))
    return found


def _key(spec: tf.TensorSpec) -> tuple[str, str]:
    return str(spec.name), spec.dtype.name


def _or_nan(result: tf.Tensor, conditions: Sequence[tf.Tensor]) -> tf.Tensor:
    """Returns floats that are NaN unless all conditions hold, in an operation of their own."""
    conditions = [condition for condition in conditions if condition.graph is result.graph]  # Not those in loops.
    if result.dtype.is_floating and conditions:
        result = tf.where(tf.reduce_all(tf.stack(conditions)), result, tf.constant(math.nan, result.dtype))
    return tf.identity(result)


def _remove_control_inputs(graph_def: Any) -> None:
    """Removes the order of operations and with it the assertions, which no result depends on."""
    for nodes in (graph_def.node, *(function.node_def for function in graph_def.library.function)):
        for node in nodes:
            kept = [name for name in node.input if not name.startswith("^")]
            del node.input[:]
            node.input.extend(kept)
    for function in graph_def.library.function:
        function.control_ret.clear()
        del function.signature.control_output[:]


class _Folding:
    """Rebuilds graphs from the nodes that a result depends on, with constants for what no input changes.

    Args:
      graph_def: a `GraphDef` without variables.
      outputs: names of the operations of the results, which stay operations.
    """

    def __init__(self, graph_def: Any, outputs: Collection[str]) -> None:
        self._graph_def = graph_def
        self._nodes = {node.name: node for node in graph_def.node}
        with tf.Graph().as_default() as self._graph:
            tf.graph_util.import_graph_def(graph_def, name="")
        self._values = self._evaluate(self._graph, {"Placeholder", *_LOOPS}, outputs)

    def graph_of(self, output: str, fixed: Mapping[str, str]) -> Any:
        """Returns a graph of one result, a `GraphDef` whose nodes are in topological order.

        Args:
          output: name of the operation of the result.
          fixed: the new names of the placeholders, all of which the graph keeps, and of the result.
        """
        self._names = dict(fixed)
        self._constants: dict[Any, str] = {}
        self._result = GraphDef(versions=self._graph_def.versions)
        kept = self._kept(output)
        for operation in self._graph.get_operations():  # In topological order.
            if operation.name in kept or operation.name in fixed:
                inputs = [self._source(tensor) for tensor in operation.inputs]
                if operation.type == "Reshape":
                    inputs[1:] = [self._shape(operation) or inputs[1]]
                node = tf.compat.v1.NodeDef()
                node.CopyFrom(self._nodes[operation.name])
                node.name = self._name(operation)
                node.input[:] = inputs
                self._result.node.append(node)
        if any(node.op in _LOOPS for node in self._result.node):
            self._result.library.CopyFrom(_called(self._result, self._graph_def.library))
        return self._result

    @staticmethod
    def _evaluate(graph: tf.Graph, types: Collection[str], outputs: Collection[str]) -> dict[str, np.ndarray]:
        """Computes the tensors that no input changes and that other operations read.

        Operations of certain types, and the outputs, are never computed.
        """
        constant: set[str] = set()
        values: dict[str, Any] = {}
        for operation in graph.get_operations():
            can_be_constant = operation.type not in types and operation.name not in outputs
            if can_be_constant and all(tensor.op.name in constant for tensor in operation.inputs):
                constant.add(operation.name)
            elif operation.type != "Placeholder":
                known = {tensor.name: tf.get_static_value(tensor) for tensor in operation.outputs
                         if tensor.dtype in (tf.int32, tf.int64)}
                values |= {name: value for name, value in known.items() if value is not None}
        read = {tensor.name: tensor for operation in graph.get_operations() if operation.name not in constant
                for tensor in operation.inputs if tensor.op.name in constant}
        config = tf.compat.v1.ConfigProto()
        config.graph_options.rewrite_options.disable_meta_optimizer = True
        with tf.compat.v1.Session(graph=graph, config=config) as session:
            return values | session.run(read)

    def _kept(self, output: str) -> set[str]:
        """Returns the names of the operations that the operation `output` depends on, with itself."""
        kept: set[str] = set()
        pending = [self._graph.get_operation_by_name(output)]
        while pending:
            operation = pending.pop()
            if operation.name in kept:
                continue
            kept.add(operation.name)
            tensors = list(operation.inputs)
            if operation.type == "Reshape" and _with_free_size(operation.outputs[0].shape) is not None:
                tensors.pop()
            pending += [self._behind_identities(t).op for t in tensors
                        if self._behind_identities(t).name not in self._values]
        return kept

    def _behind_identities(self, tensor: tf.Tensor) -> tf.Tensor:
        while tensor.name not in self._values and tensor.op.type in _IDENTITIES:
            tensor = tensor.op.inputs[tensor.value_index]
        return tensor

    def _source(self, tensor: tf.Tensor) -> str:
        """Returns the input of a node that stands for a tensor."""
        tensor = self._behind_identities(tensor)
        if tensor.name in self._values:
            return self._constant(self._values[tensor.name], tensor.dtype)
        return self._name(tensor.op) + (f":{tensor.value_index}" if tensor.value_index else "")

    def _shape(self, reshape: tf.Operation) -> str | None:
        """Returns the constant new shape of an operation `Reshape` of which one size at most is unknown."""
        shape = _with_free_size(reshape.outputs[0].shape)
        return None if shape is None else self._constant(shape, tf.int32)

    def _name(self, operation: tf.Operation) -> str:
        return self._names.setdefault(operation.name, f"n{len(self._names)}")

    def _constant(self, value: Any, dtype: tf.DType) -> str:
        """Returns the name of the node of a constant, which equal constants share."""
        value = np.asarray(value, dtype.as_numpy_dtype)
        key = (value.dtype.str, value.shape, value.tobytes())
        if key not in self._constants:
            self._constants[key] = name = f"c{len(self._constants)}"
            node = self._result.node.add(name=name, op="Const")
            node.attr["dtype"].type = dtype.as_datatype_enum
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value, dtype))
        return self._constants[key]


def _called(graph_def: Any, library: Any) -> Any:
    """Returns the part of a library that the nodes of a graph call, directly or in a body. Renames the functions."""
    functions = {function.signature.name: function for function in library.function}
    # TensorFlow has one list of functions per process, so different functions must have different names.
    digest = hashlib.sha256(library.SerializeToString(deterministic=True)).hexdigest()[:12]
    names: dict[str, str] = {}
    bodies = []

    def rename(nodes: Any) -> None:
        for node in nodes:
            for attribute in node.attr.values():
                name = attribute.func.name
                if name not in functions:
                    continue
                if name not in names:
                    names[name] = f"loop_{digest}_{len(names)}"
                    body = type(functions[name])()
                    body.CopyFrom(functions[name])
                    body.signature.name = names[name]
                    bodies.append(body)
                    rename(body.node_def)
                attribute.func.name = names[name]

    rename(graph_def.node)
    return type(library)(function=bodies)


def _with_free_size(shape: tf.TensorShape) -> np.ndarray | None:
    """Returns a shape whose only unknown size is -1, or None if several sizes are unknown."""
    if shape.rank is None or shape.as_list().count(None) > 1:
        return None
    return np.asarray([-1 if size is None else size for size in shape.as_list()], np.int32)


def operations(graph_def: Any) -> list[Any]:
    """Returns all nodes of a graph, including those in the bodies of its loops."""
    return [*graph_def.node, *(node for function in graph_def.library.function for node in function.node_def)]


def replace_types(graph_def: Any, new: Mapping[tf.DType, tf.DType]) -> None:
    """Replaces dtypes in a graph, also those of constants.

    Args:
      graph_def: the graph, which is changed.
      new: the new dtypes by the old ones.
    """
    numbers = {old.as_datatype_enum: dtype.as_datatype_enum for old, dtype in new.items()}
    for node in operations(graph_def):
        for attribute in node.attr.values():
            if attribute.HasField("tensor"):
                if attribute.tensor.dtype in numbers:
                    dtype = tf.as_dtype(numbers[attribute.tensor.dtype])
                    array = tf.make_ndarray(attribute.tensor).astype(dtype.as_numpy_dtype)
                    attribute.tensor.CopyFrom(tf.make_tensor_proto(array, dtype))
            elif attribute.HasField("list"):
                attribute.list.type[:] = [numbers.get(number, number) for number in attribute.list.type]
            elif attribute.HasField("type"):
                attribute.type = numbers.get(attribute.type, attribute.type)
    for function in graph_def.library.function:
        for argument in (*function.signature.input_arg, *function.signature.output_arg):
            argument.type = numbers.get(argument.type, argument.type)
