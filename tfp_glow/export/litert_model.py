# SPDX-License-Identifier: Apache-2.0
"""`export_litert`: writes a `FlowModel` as a model of LiteRT, which was called TensorFlow Lite."""

import importlib
import importlib.util
import os
import pathlib
import re
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from tfp_glow.export.frozen_graph import FrozenSignature, operations
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

MODEL_FILE = "model.tflite"
_DTYPES = {t.as_datatype_enum for t in (tf.float32, tf.bool, tf.uint8, tf.uint16, tf.int32, tf.int64)}


def export_litert(model: FlowModel, path: str | os.PathLike[str], signatures: Sequence[str] | None = None,
                  batch_size: int | None = None) -> str:
    """Writes a model for LiteRT, the runtime of phones and small devices that was called TensorFlow Lite.

    The folder holds

    * `model.tflite`: one model with all signatures. It needs the built-in operators of LiteRT only;
    * `signatures.json`: names, shapes, dtypes and units of the inputs and outputs of each signature;
    * `client.py`: a program that runs each signature. It requires NumPy and the package ai-edge-litert, which
      `pip install 'tfp_glow[litert]'` installs.

    The signatures are those of `export_saved_model` that draw no random numbers: the client draws them. Samples are
    `decode` of latents that the client draws from a standard normal distribution (logistic, for `tfp_glow.nice`) and
    multiplies by the temperature. Bits per dimension of integers are `bits_per_dim_with_noise` of uniform noise in
    [0, 1).

    * There are no assertions. Where the SavedModel answers with an error, floats of the result are NaN: for integers
      outside `[0, 2**num_bits)`, floats in other units and labels out of range. `decode` returns integers, so use
      `decode_floats` to find events that are not finite.
    * A batch has at least one event. Delegates to accelerators require a fixed `batch_size`.

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
      ValueError: if LiteRT lacks an operation or a dtype of the model. The message names them. Also if `batch_size` is
        None, the package ai-edge-litert is installed, and LiteRT ends with an error for a test batch.

    Example:

    >>> model = tfp_glow.FlowModel(tfp_glow.nice(3, hidden_sizes=(4,)))
    >>> path = tfp_glow.export_litert(model, "for_phones", signatures=["decode"])
    >>> sorted(os.listdir(path))
    ['client.py', 'model.tflite', 'signatures.json']
    """
    check_new_folder(path)
    all_frozen = frozen_signatures(model, signatures, batch_size, single_precision=True)
    for frozen in all_frozen:
        check_operations(RUNTIMES["litert"], frozen, None, _DTYPES)
    content = _convert(all_frozen)
    if batch_size is None:
        _check_batches(all_frozen, content, 2**(model.num_bits or 0))

    def write(directory: pathlib.Path) -> dict[str, dict[str, Any]]:
        (directory / MODEL_FILE).write_bytes(content)
        return {frozen.signature.name: {"file": MODEL_FILE} for frozen in all_frozen}

    return write_folder("litert", model, path, all_frozen, write)


def _convert(all_frozen: Sequence[FrozenSignature]) -> bytes:
    """Returns the content of `model.tflite`, or raises `ValueError` if LiteRT lacks an operation."""
    module = tf.Module()
    functions = {frozen.signature.name: _function(frozen) for frozen in all_frozen}
    module.functions = list(functions.values())
    with tempfile.TemporaryDirectory() as directory, quiet("tensorflow", "absl"):
        # Graphs without functions, as these are, cannot keep the gradients of `tf.nn.silu`.
        options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        tf.saved_model.save(module, directory, signatures=functions, options=options)
        converter = tf.lite.TFLiteConverter.from_saved_model(directory, signature_keys=list(functions))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        try:
            return converter.convert()
        except Exception as error:  # The converter's own class of errors is private.
            missing = set(re.findall(r"\btf\.(\w+)", str(error)))
            for frozen in all_frozen:
                of_signature = sorted(missing & {node.op for node in operations(frozen.graph_def)})
                if of_signature:
                    refuse(RUNTIMES["litert"], frozen.signature.name, f"the operations {', '.join(of_signature)}")
            raise


def _check_batches(all_frozen: Sequence[FrozenSignature], content: bytes, levels: int) -> None:
    """Raises `ValueError` if LiteRT is installed and cannot run a signature that takes batches of any size."""
    if importlib.util.find_spec("ai_edge_litert") is None:
        return
    interpreter = importlib.import_module("ai_edge_litert.interpreter").Interpreter(model_content=content)
    for frozen in all_frozen:
        try:
            interpreter.get_signature_runner(frozen.signature.name)(**example_inputs(frozen, levels))
        except RuntimeError:  # LiteRT has no other class of errors.
            refuse(RUNTIMES["litert"], frozen.signature.name, "a fixed size of batches, such as `batch_size=1`")


def _function(frozen: FrozenSignature) -> Callable[..., Any]:
    """Returns a `tf.function` that runs the graph of a signature."""
    output = str(frozen.output.name)

    def run(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        tensors = {f"{spec.name}:0": tensor for spec, tensor in zip(frozen.inputs, inputs, strict=True)}
        (result,) = tf.graph_util.import_graph_def(
            frozen.graph_def, input_map=tensors, return_elements=[f"{output}:0"], name="")
        return {output: result}

    return tf.function(run, input_signature=frozen.inputs, autograph=False)
