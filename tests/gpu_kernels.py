# SPDX-License-Identifier: Apache-2.0
"""Finds the operations of a graph for which the installed TensorFlow has no GPU kernel.

The registry of kernels has no public reader, so this file uses a private one. Wheels with GPU support register the
kernels of GPUs on machines without one, too.
"""

import collections
import functools
from pathlib import Path

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry
from tensorflow.python.framework.kernels import get_registered_kernels_for_op

# A kernel of the device type DEFAULT serves all devices.
GPU_DEVICES = {"GPU", "DEFAULT"}
# Variables are created outside functions. The operations in functions that use one name its dtype in `dtype`.
VARIABLE_OPERATIONS = {"ReadVariableOp", "AssignVariableOp", "AssignAddVariableOp", "AssignSubVariableOp"}
# Placed by every runtime: arguments, results and constants without values.
STRUCTURE = {"Placeholder", "NoOp", "_Arg", "_Retval"}


@functools.cache
def kernels(operation):
    return [kernel for kernel in get_registered_kernels_for_op(operation).kernel if kernel.device_type in GPU_DEVICES]


def has_gpu_support():
    """True if the installed TensorFlow was built with the kernels of GPUs."""
    return any(kernel.device_type == "GPU" for kernel in kernels("MatMul"))


def dtypes(node, name):
    """Returns the dtypes in the attribute `name` of a node. Attributes may be left out if they have a default."""
    value = node.attr[name] if name in node.attr else next(
        attribute.default_value for attribute in op_def_registry.get(node.op).attr if attribute.name == name)
    return list(value.list.type) if value.HasField("list") else [value.type]


def fits(kernel, node):
    """True if the dtypes of the node are those that the kernel was registered for."""
    return all(set(dtypes(node, constraint.name)) <= set(constraint.allowed_values.list.type)
               for constraint in kernel.constraint)


def described(node):
    types = sorted({tf.as_dtype(t).name for name, value in node.attr.items()
                    if value.WhichOneof("value") in ("type", "list") for t in dtypes(node, name)
                    if not name.startswith("_") and t})
    return f"{node.op}({', '.join(types)})"


def runs_on_gpus(node):
    if node.op in STRUCTURE or "device:CPU" in node.device:
        return True
    if node.op in VARIABLE_OPERATIONS and not any(
            set(dtypes(node, "dtype")) <= set(constraint.allowed_values.list.type)
            for kernel in kernels("VarHandleOp") for constraint in kernel.constraint):
        return False
    return any(fits(kernel, node) for kernel in kernels(node.op))


def is_text(node):
    """True if a value of the node is a string: file names and messages stay on the host."""
    return any(tf.string.as_datatype_enum in dtypes(node, name) for name, value in node.attr.items()
               if value.WhichOneof("value") in ("type", "list"))


def without_gpu_kernel(graph):
    """Returns the operations of a `GraphDef` and its functions that only run on the host, with their numbers.

    Args:
      graph: a `GraphDef`, such as `concrete_function.graph.as_graph_def()`.

    Returns:
      A `Counter` of texts such as `"LogMatrixDeterminant(float32)"`.
    """
    functions = {function.signature.name for function in graph.library.function}
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    return collections.Counter(described(node) for node in nodes
                               if node.op not in functions and not is_text(node) and not runs_on_gpus(node))


def saved_graph(path):
    """Returns the `GraphDef` of the SavedModel in the directory `path`."""
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((Path(path) / "saved_model.pb").read_bytes())
    return saved.meta_graphs[0].graph_def
