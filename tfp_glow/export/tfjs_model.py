# SPDX-License-Identifier: Apache-2.0
"""`export_tfjs`: writes a `FlowModel` as a graph model of TensorFlow.js, for browsers and Node.

A graph model is a `GraphDef` in JSON, `model.json`, with the values of its constants in binary files. TensorFlow.js has
no types of integers besides int32. This module writes the files itself: the converter of the package tensorflowjs
requires a TensorFlow of its own version, and writes one signature per model.
"""

import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
from google.protobuf import json_format

from tfp_glow.export.frozen_graph import FrozenSignature, GraphDef, operations, replace_types
from tfp_glow.export.runtime_folder import RUNTIMES, check_new_folder, check_operations, frozen_signatures, write_folder
from tfp_glow.models.flow_model import FlowModel

_SHARD_BYTES = 4 * 2**20
_INT32 = tf.int32.as_datatype_enum
_BECOME_INT32 = dict.fromkeys((tf.uint8, tf.int8, tf.uint16, tf.int16, tf.int64), tf.int32)
_DTYPES = {tf.float32.as_datatype_enum, _INT32, tf.bool.as_datatype_enum}
# The operations of TensorFlow.js 4.22 that a frozen graph may hold.
_OPERATIONS = frozenset("""
    Abs Acos Acosh Add AddN AddV2 All Any ArgMax ArgMin Asin Asinh Atan Atan2 Atanh AvgPool BatchMatMul BatchMatMulV2
    BatchToSpaceND BiasAdd BroadcastArgs BroadcastTo Cast Ceil ClipByValue ConcatV2 Const Conv2D Conv2DBackpropInput
    Cos Cosh Cumprod Cumsum DepthToSpace DepthwiseConv2dNative Div DivNoNan Einsum Elu EmptyTensorList Equal Erf Exp
    ExpandDims Expm1 Fill Floor FloorDiv FloorMod FusedBatchNormV3 GatherNd GatherV2 Greater GreaterEqual Identity
    IdentityN If IsFinite IsInf IsNan LeakyRelu Less LessEqual LinSpace Log Log1p LogSoftmax LogicalAnd LogicalNot
    LogicalOr MatMul MatrixBandPart Max MaxPool Maximum Mean Min Minimum MirrorPad Mod Mul Neg NoOp NotEqual OneHot
    OnesLike Pack Pad PadV2 Placeholder Pow Prelu Prod Range Rank RealDiv Reciprocal Relu Relu6 Reshape ReverseV2 Round
    Rsqrt ScatterNd Select SelectV2 Selu Shape ShapeN Sigmoid Sign Sin Sinh Size Slice Softmax Softplus SpaceToBatchND
    Split SplitV Sqrt Square SquaredDifference Squeeze StatelessIf StatelessWhile StopGradient StridedSlice Sub Sum Tan
    Tanh TensorListFromTensor TensorListGetItem TensorListLength TensorListReserve TensorListSetItem TensorListStack
    Tile TopKV2 Transpose Unpack While ZerosLike
""".split())


def export_tfjs(model: FlowModel, path: str | os.PathLike[str], signatures: Sequence[str] | None = None,
                batch_size: int | None = None) -> str:
    """Writes a model for TensorFlow.js, which runs in browsers and in Node.

    The folder holds

    * `model.json` and `weights_*.bin`: one graph model with all signatures, which share their weights;
    * `signatures.json`: names, nodes, shapes, dtypes and units of the inputs and outputs of each signature;
    * `client.mjs`: a program for Node that draws images and computes their densities. It runs as it is after
      `npm install @tensorflow/tfjs`.

    The signatures are those of `export_saved_model` that draw no random numbers: the client draws them. Samples are
    `decode` of latents that the client draws from a standard normal distribution (logistic, for `tfp_glow.nice`) and
    multiplies by the temperature. Bits per dimension of integers are `bits_per_dim_with_noise` of uniform noise in
    [0, 1).

    * TensorFlow.js has no integers besides int32, so images of integers are int32 there.
    * There are no assertions. Where the SavedModel answers with an error, floats of the result are NaN: for integers
      outside `[0, 2**num_bits)`, floats in other units and labels out of range. `decode` returns integers, so use
      `decode_floats` to find events that are not finite.
    * A batch has at least one event.
    * A signature with a loop, such as `decode` of MAF, requires `executeAsync`, and the others `execute`, which
      `signatures.json` states.

    Args:
      model: a `tfp_glow.FlowModel` in float32.
      path: directory to write. It must be empty or not exist.
      signatures: names of the signatures to write, a list or tuple. None (the default) means all that draw no random
        numbers.
      batch_size: size of the batch axis, an int of at least 1. None (the default) means any size.

    Returns:
      `path`, as a string.

    Raises:
      ValueError: if `model` is not a `tfp_glow.FlowModel`, or `path` is not a path or exists and is not an empty
        directory.
      ValueError: if `signatures` holds a name that the model does not have, or that requires random numbers.
      ValueError: if `batch_size` is neither None nor an int of at least 1.
      ValueError: if TensorFlow.js lacks an operation or a dtype of the model. The message names them.

    Example:

    >>> model = tfp_glow.FlowModel(tfp_glow.glow((4, 4, 1), num_levels=1, num_steps=1, width=4))
    >>> path = tfp_glow.export_tfjs(model, "for_browsers", signatures=["decode", "bits_per_dim_with_noise"])
    >>> sorted(os.listdir(path))
    ['client.mjs', 'model.json', 'signatures.json', 'weights_1.bin']
    """
    check_new_folder(path)
    frozen = frozen_signatures(model, signatures, batch_size, single_precision=True)
    merged = _Merging()
    entries = {}
    for each in frozen:
        replace_types(each.graph_def, _BECOME_INT32)
        _cast_one_hot(each.graph_def)
        check_operations(RUNTIMES["tfjs"], each, _OPERATIONS, _DTYPES)
        entries[each.signature.name] = merged.add(each)

    def write(directory: pathlib.Path) -> dict[str, dict[str, Any]]:
        _write_graph_model(directory, merged.graph_def, frozen[0], entries[frozen[0].signature.name]["nodes"])
        return entries

    return write_folder("tfjs", model, path, frozen, write)


def _cast_one_hot(graph_def: Any) -> None:
    """Computes one-hot vectors as integers and casts them to floats.

    The WASM backend of TensorFlow.js 4.22 writes the bits of integers into one-hot vectors of floats.
    """
    nodes = list(graph_def.node)
    del graph_def.node[:]
    for node in nodes:
        if node.op == "OneHot" and node.attr["T"].type == tf.float32.as_datatype_enum:
            name = node.name
            for value, suffix in ((1, "on"), (0, "off")):
                constant = graph_def.node.add(name=f"{name}_{suffix}", op="Const")
                constant.attr["dtype"].type = _INT32
                constant.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value, tf.int32))
            node.attr["T"].type = _INT32
            node.input[2:] = [f"{name}_on", f"{name}_off"]
            node.name = f"{name}_integers"
            graph_def.node.append(node)
            node = graph_def.node.add(name=name, op="Cast", input=[node.name])
            node.attr["SrcT"].type, node.attr["DstT"].type = _INT32, tf.float32.as_datatype_enum
        else:
            graph_def.node.append(node)


class _Merging:
    """Merges the graphs of signatures into one, in which equal operations of equal inputs are one operation."""

    def __init__(self) -> None:
        self.graph_def = GraphDef()
        self._names: dict[Any, str] = {}

    def add(self, frozen: FrozenSignature) -> dict[str, Any]:
        """Adds a graph. Returns the entries of its signature in `signatures.json`."""
        self.graph_def.versions.CopyFrom(frozen.graph_def.versions)
        bodies = self._add_bodies(frozen)
        names: dict[str, str] = {}
        for node in frozen.graph_def.node:
            copy = tf.compat.v1.NodeDef()
            copy.CopyFrom(node)
            _rename_bodies(copy, bodies)
            copy.input[:] = [_renamed(source, names) for source in node.input]
            copy.name = ""
            key = copy.SerializeToString(deterministic=True)
            if node.op == "Placeholder":
                key = copy.name = f"{node.name}_int32" if _is_integer_event(node) else node.name
            elif node.name == frozen.output.name:
                key = copy.name = frozen.signature.name
            if key not in self._names:
                copy.name = copy.name or f"n{len(self._names)}"
                self._names[key] = copy.name
                self.graph_def.node.append(copy)
            names[node.name] = self._names[key]
        return {"run": "executeAsync" if frozen.has_loops else "execute",
                "nodes": {name: names[name] for name in [*(spec.name for spec in frozen.inputs), frozen.output.name]}}

    def _add_bodies(self, frozen: FrozenSignature) -> dict[str, str]:
        """Adds the bodies of loops. Returns their new names by their old names."""
        functions = frozen.graph_def.library.function
        bodies = {function.signature.name: f"{frozen.signature.name}_body_{index}"
                  for index, function in enumerate(functions)}
        for function in functions:
            copy = self.graph_def.library.function.add()
            copy.CopyFrom(function)
            copy.signature.name = bodies[function.signature.name]
            # The constants of all bodies and of the graph have one list of names.
            names = {node.name: f"{copy.signature.name}_{node.name}" for node in copy.node_def if node.op == "Const"}
            for node in copy.node_def:
                node.name = names.get(node.name, node.name)
                node.input[:] = [_renamed(source, names) for source in node.input]
                _rename_bodies(node, bodies)
            for key, source in copy.ret.items():
                copy.ret[key] = _renamed(source, names)
        return bodies


def _renamed(source: str, names: Mapping[str, str]) -> str:
    """Returns the input of a node after nodes were renamed."""
    name, colon, rest = source.partition(":")
    return names.get(name, name) + colon + rest


def _rename_bodies(node: Any, bodies: Mapping[str, str]) -> None:
    for attribute in node.attr.values():
        if attribute.WhichOneof("value") == "func":
            attribute.func.name = bodies[attribute.func.name]


def _is_integer_event(placeholder: Any) -> bool:
    return placeholder.name == "images" and placeholder.attr["dtype"].type == _INT32


def _write_graph_model(directory: pathlib.Path, graph_def: Any, default: FrozenSignature,
                       nodes: Mapping[str, str]) -> None:
    """Writes `model.json` and the files with the weights.

    Args:
      directory: the directory of the files.
      graph_def: the graph of all signatures. The values of its constants are removed.
      default: the signature that `model.json` names. TensorFlow.js has one signature per model.
      nodes: the nodes of its inputs and of its output.
    """
    weights, content = [], bytearray()
    for node in operations(graph_def):
        if node.op == "Const":
            tensor = node.attr["value"].tensor
            array = tf.make_ndarray(tensor)
            weights.append({"name": node.name, "shape": list(array.shape), "dtype": array.dtype.name})
            content += array.astype(array.dtype.newbyteorder("<")).tobytes()
            tensor.Clear()
            tensor.dtype = node.attr["dtype"].type
            tensor.tensor_shape.CopyFrom(tf.TensorShape(array.shape).as_proto())
    paths: list[str] = []
    for start in range(0, max(len(content), 1), _SHARD_BYTES):
        paths.append(f"weights_{len(paths) + 1}.bin")
        (directory / paths[-1]).write_bytes(content[start:start + _SHARD_BYTES])
    placeholders = {node.name: json_format.MessageToDict(node)["attr"] for node in graph_def.node
                    if node.op == "Placeholder"}
    inputs = {str(spec.name): placeholders[nodes[str(spec.name)]] for spec in default.inputs}
    signature = {
        "inputs": {name: {"name": f"{nodes[name]}:0", "dtype": attributes["dtype"]["type"],
                          "tensorShape": attributes["shape"]["shape"]} for name, attributes in inputs.items()},
        "outputs": {default.signature.output: {"name": f"{nodes[default.signature.output]}:0"}}}
    (directory / "model.json").write_text(json.dumps({
        "format": "graph-model", "generatedBy": tf.__version__, "convertedBy": "tfp_glow", "signature": signature,
        "modelTopology": json_format.MessageToDict(graph_def),
        "weightsManifest": [{"paths": paths, "weights": weights}]}, separators=(",", ":")), encoding="utf-8")
