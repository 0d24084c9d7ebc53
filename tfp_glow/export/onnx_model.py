# SPDX-License-Identifier: Apache-2.0
"""`export_onnx`: writes a `FlowModel` as ONNX models, for ONNX Runtime."""

import hashlib
import importlib
import importlib.util
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_glow.export.frozen_graph import FrozenSignature
from tfp_glow.export.runtime_folder import (
    RUNTIMES,
    check_new_folder,
    check_operations,
    example_inputs,
    frozen_signatures,
    quiet,
    refuse,
    write_folder,
)
from tfp_glow.models.flow_model import FlowModel

WEIGHTS_FILE = "weights.bin"
_INT32, _BOOL, _DOUBLE = 6, 9, 11  # `onnx.TensorProto.INT32`, `BOOL` and `DOUBLE`; the package onnx is optional.
OPSET = 18
_SHARED_BYTES = 1024  # Smaller tensors stay in the file of their model.
_ALIGNMENT = 64
_DTYPES = {t.as_datatype_enum for t in (
    tf.float32, tf.float64, tf.bool, tf.uint8, tf.uint16, tf.int8, tf.int16, tf.int32, tf.int64)}


def export_onnx(model: FlowModel, path: str | os.PathLike[str], signatures: Sequence[str] | None = None,
                batch_size: int | None = None) -> str:
    """Writes a model for ONNX Runtime. Requires the packages of `pip install 'tfp_glow[onnx]'`.

    The folder holds

    * one model per signature, such as `log_prob.onnx`, of operator set 18;
    * `weights.bin`: the weights that the models share. A model finds the file beside its own;
    * `signatures.json`: names, shapes, dtypes and units of the inputs and outputs of each signature;
    * `client.py`: a program that runs each signature. It requires NumPy and the package onnxruntime.

    The signatures are those of `export_saved_model` that draw no random numbers: the client draws them. Samples are
    `decode` of latents that the client draws from a standard normal distribution (logistic, for `tfp_glow.nice`) and
    multiplies by the temperature. Bits per dimension of integers are `bits_per_dim_with_noise` of uniform noise in
    [0, 1).

    * There are no assertions. Where the SavedModel answers with an error, floats of the result are NaN: for integers
      outside `[0, 2**num_bits)`, floats in other units and labels out of range. `decode` returns integers, so use
      `decode_floats` to find events that are not finite.
    * A batch has at least one event.

    Args:
      model: a `tfp_glow.FlowModel`.
      path: directory to write. It must be empty or not exist.
      signatures: names of the signatures to write, a list or tuple. None (the default) means all that draw no random
        numbers.
      batch_size: size of the batch axis, an int of at least 1. None (the default) means any size.

    Returns:
      `path`, as a string.

    Raises:
      ImportError: if the package tf2onnx is not installed.
      ValueError: if `model` is not a `tfp_glow.FlowModel`, or `path` is not a path or exists and is not an empty
        directory.
      ValueError: if `signatures` holds a name that the model does not have, or that requires random numbers.
      ValueError: if `batch_size` is neither None nor an int of at least 1.
      ValueError: if ONNX lacks an operation or a dtype of the model. The message names them. Also if ONNX Runtime is
        installed and computes NaN for a test batch.

    Example:

    >>> model = tfp_glow.FlowModel(tfp_glow.glow((4, 4, 1), num_levels=1, num_steps=1, width=4))
    >>> path = tfp_glow.export_onnx(model, "for_onnx", signatures=["decode"])
    >>> sorted(os.listdir(path))
    ['client.py', 'decode.onnx', 'signatures.json', 'weights.bin']
    """
    check_new_folder(path)
    try:
        tf2onnx, onnx = (importlib.import_module(name) for name in ("tf2onnx", "onnx"))
    except ImportError as error:
        raise ImportError("export_onnx requires the packages tf2onnx and onnx; install them with "
                          "`pip install 'tfp_glow[onnx]'`.") from error
    models = {}
    for frozen in frozen_signatures(model, signatures, batch_size):
        check_operations(RUNTIMES["onnx"], frozen, None, _DTYPES)
        models[frozen.signature.name] = frozen, _convert(tf2onnx, onnx, frozen)
        _check_numbers(frozen, models[frozen.signature.name][1], 2**(model.num_bits or 0))

    def write(directory: pathlib.Path) -> dict[str, dict[str, Any]]:
        with open(directory / WEIGHTS_FILE, "wb") as weights:
            offsets: dict[bytes, int] = {}
            for name, (_, proto) in models.items():
                for tensor in proto.graph.initializer:
                    if len(tensor.raw_data) >= _SHARED_BYTES:
                        _move(onnx, tensor, weights, offsets)
                (directory / f"{name}.onnx").write_bytes(proto.SerializeToString())
        for name in models:
            onnx.checker.check_model(str(directory / f"{name}.onnx"))
        return {name: {"file": f"{name}.onnx"} for name in models}

    return write_folder("onnx", model, path, [frozen for frozen, _ in models.values()], write)


def _convert(tf2onnx: Any, onnx: Any, frozen: FrozenSignature) -> Any:
    """Returns the `ModelProto` of a signature, or raises `ValueError` if ONNX lacks an operation of it."""
    _replace_log1p(frozen.graph_def)
    names = {f"{spec.name}:0": str(spec.name) for spec in (*frozen.inputs, frozen.output)}
    *inputs, output = names
    with quiet("tf2onnx", "tensorflow"):
        proto, _ = tf2onnx.convert.from_graph_def(
            frozen.graph_def, name=frozen.signature.name, input_names=inputs, output_names=[output], opset=OPSET,
            tensors_to_rename=names, custom_op_handlers={"SelectV2": (_select, []), "Sigmoid": (_sigmoid, [])})
    missing = sorted({node.op_type for node in _nodes(proto.graph)
                      if node.domain not in ("", "ai.onnx") or not onnx.defs.has(node.op_type)})
    if missing:
        refuse(RUNTIMES["onnx"], frozen.signature.name, f"the operations {', '.join(missing)}")
    for tensor in proto.graph.initializer:
        if not tensor.raw_data:
            tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor), tensor.name))
    return proto


def _select(context: Any, node: Any, _name: str, _arguments: Sequence[Any]) -> None:
    """Converts `tf.where` to `Where`. By default, tf2onnx multiplies by 0, which makes NaN of infinite values."""
    dtype, shape = context.get_dtype(node.output[0]), context.get_shape(node.output[0])
    context.remove_node(node.name)
    condition, *values = node.input
    if dtype != _BOOL:
        context.make_node("Where", node.input, outputs=node.output, name=node.name, dtypes=[dtype], shapes=[shape])
        return
    # ONNX Runtime lacks `Where` of bools.
    numbers = [context.make_node("Cast", [value], attr={"to": _INT32}).output[0] for value in values]
    chosen = context.make_node("Where", [condition, *numbers], dtypes=[_INT32], shapes=[shape]).output[0]
    context.make_node("Cast", [chosen], outputs=node.output, name=node.name, attr={"to": _BOOL}, dtypes=[dtype],
                      shapes=[shape])


def _sigmoid(context: Any, node: Any, name: str, _arguments: Sequence[Any]) -> None:
    """Converts `tf.sigmoid` to `1 / (1 + exp(-x))`. ONNX Runtime's `Sigmoid` has an absolute error of 1e-7.

    The density of an improbable gray level under a mixture of logistics is a difference of two small numbers, and
    requires a small relative error.
    """
    dtype, shape = context.get_dtype(node.output[0]), context.get_shape(node.output[0])
    context.remove_node(node.name)

    def compute(operation: str, *values: str, **more: Any) -> str:
        return str(context.make_node(operation, values, dtypes=[dtype], shapes=[shape], **more).output[0])

    one = context.make_const(f"{name}_one", np.ones([], np.float64 if dtype == _DOUBLE else np.float32)).output[0]
    compute("Reciprocal", compute("Add", compute("Exp", compute("Neg", node.input[0])), one), outputs=node.output,
            name=node.name)


def _check_numbers(frozen: FrozenSignature, proto: Any, levels: int) -> None:
    """Raises `ValueError` if ONNX Runtime is installed and computes NaN where TensorFlow computes numbers."""
    if importlib.util.find_spec("onnxruntime") is None or proto.ByteSize() >= 2**31:
        return
    inputs = example_inputs(frozen, levels)
    (result,) = importlib.import_module("onnxruntime").InferenceSession(proto.SerializeToString()).run(None, inputs)
    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(frozen.graph_def, name="")
    with tf.compat.v1.Session(graph=graph) as session:
        wanted = session.run(f"{frozen.output.name}:0", {f"{name}:0": value for name, value in inputs.items()})
    if np.isnan(result.astype(float)).any() and not np.isnan(wanted.astype(float)).any():
        refuse(RUNTIMES["onnx"], frozen.signature.name, "numbers that ONNX Runtime computes as NaN")


def _replace_log1p(graph_def: Any) -> None:
    """Replaces `log(1 + x)`, which ONNX lacks, by operations that are as precise near 0.

    With `u = 1 + x` after rounding, it is `x log(u) / (u - 1)`, or `x` if `u = 1`, or `log(u)` if `u = x`, as for
    infinite `x`.

    References:
      Goldberg, *What every computer scientist should know about floating-point arithmetic*, 1991, theorem 4.
    """
    nodes = list(graph_def.node)
    del graph_def.node[:]
    for node in nodes:
        if node.op != "Log1p":
            graph_def.node.append(node)
            continue
        (x,), kind, name = node.input, node.attr["T"].type, node.name
        one = graph_def.node.add(name=f"{name}_one", op="Const")
        one.attr["dtype"].type = kind
        one.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(1, tf.as_dtype(kind)))
        for suffix, operation, inputs in (
                ("_u", "AddV2", (x, f"{name}_one")), ("_log", "Log", (f"{name}_u",)),
                ("_rounded", "Sub", (f"{name}_u", f"{name}_one")), ("_product", "Mul", (x, f"{name}_log")),
                ("_ratio", "RealDiv", (f"{name}_product", f"{name}_rounded")),
                ("_is_one", "Equal", (f"{name}_u", f"{name}_one")), ("_is_large", "Equal", (f"{name}_u", x)),
                ("_of_large", "SelectV2", (f"{name}_is_large", f"{name}_log", f"{name}_ratio")),
                ("", "SelectV2", (f"{name}_is_one", x, f"{name}_of_large"))):
            graph_def.node.add(name=f"{name}{suffix}", op=operation, input=inputs).attr["T"].type = kind


def _nodes(graph: Any) -> list[Any]:
    """Returns the nodes of an ONNX graph, including those in its loops."""
    nodes = list(graph.node)
    for node in graph.node:
        for attribute in node.attribute:
            for body in (attribute.g, *attribute.graphs):
                nodes += _nodes(body)
    return nodes


def _move(onnx: Any, tensor: Any, weights: Any, offsets: dict[bytes, int]) -> None:
    """Moves the values of a tensor to the file of the weights, where equal values are stored once."""
    data = tensor.raw_data
    key = hashlib.sha256(data).digest()
    if key not in offsets:
        weights.write(bytes(-weights.tell() % _ALIGNMENT))
        offsets[key] = weights.tell()
        weights.write(data)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for name, value in (("location", WEIGHTS_FILE), ("offset", offsets[key]), ("length", len(data))):
        tensor.external_data.add(key=name, value=str(value))
