# SPDX-License-Identifier: Apache-2.0
"""The folder of a model for another runtime: checks before the export, `signatures.json` and the client."""

import contextlib
import json
import logging
import os
import pathlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_glow._checks import check_int, check_path
from tfp_glow._versions import __version__
from tfp_glow.export import clients
from tfp_glow.export.frozen_graph import FrozenSignature, freeze, operations, replace_types
from tfp_glow.export.signatures import base_of, signatures_of
from tfp_glow.models.flow_model import FlowModel
from tfp_glow.models.graph_functions import GraphFunctions

SIGNATURES_FILE = "signatures.json"
RUNTIMES = {"onnx": "ONNX Runtime", "tfjs": "TensorFlow.js", "litert": "LiteRT"}
NOTES = (
    "There are no assertions. Floats of a result are NaN for integers outside the domain, for floats in other units "
    "and for labels out of range.",
    "A batch has at least one event.",
)


def check_new_folder(path: Any) -> str:
    """Returns the path of a directory to write, or raises `ValueError` if it is a file or not empty."""
    path = check_path("path", path)
    if os.path.exists(path) and (not os.path.isdir(path) or os.listdir(path)):
        raise ValueError(f"Argument `path` must be an empty directory or not exist; received {path!r}, which exists. "
                         "Delete it, or write another path.")
    return path


def frozen_signatures(model: FlowModel, names: Sequence[str] | None, batch_size: int | None,
                      single_precision: bool = False) -> list[FrozenSignature]:
    """Checks the arguments of an export and freezes the signatures.

    Args:
      model: a `tfp_glow.FlowModel`.
      names: names of the signatures, or None for all that draw no random numbers.
      batch_size: size of the batch axis, or None for any size.
      single_precision: True computes in float32 what a model in float32 computes in float64, such as sums of the widths
        of bins. Default: False.

    Returns:
      The signatures with their graphs.

    Raises:
      ValueError: if an argument is wrong, or a signature draws random numbers.
    """
    if not isinstance(model, FlowModel):
        raise ValueError(f"Argument `model` must be a tfp_glow.FlowModel; received {type(model).__name__}.")
    batch_size = None if batch_size is None else check_int("batch_size", batch_size)
    nested = model.functions
    functions = GraphFunctions(
        nested.distribution, nested.num_bits, nested.dequantization, nested.checks, nested=False)
    signatures = signatures_of(model, functions)
    plain = [name for name, signature in signatures.items() if not signature.is_random]
    if names is None:
        names = plain
    if not isinstance(names, (list, tuple)) or not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"Argument `signatures` must be a list of names, or None for all; received {names!r}.")
    for name in names:
        if name not in signatures:
            raise ValueError(f"Argument `signatures` must hold signatures of the model, {', '.join(plain)}; "
                             f"received {name!r}.")
        if name not in plain:
            raise ValueError(
                f"Argument `signatures` must hold signatures without random numbers; received {name!r}, which requires "
                "the random operations of TensorFlow. Draw the numbers in the client: latents for `decode`, or noise "
                "for `log_prob_with_noise` and `bits_per_dim_with_noise`.")
    frozen = freeze([signatures[name] for name in dict.fromkeys(names)], batch_size)
    if single_precision and model.distribution.dtype == tf.float32:
        for each in frozen:
            replace_types(each.graph_def, {tf.float64: tf.float32})
    return frozen


def check_operations(runtime: str, frozen: FrozenSignature, known: Collection[str] | None,
                     dtypes: Collection[int]) -> None:
    """Raises `ValueError` if a runtime lacks operations or dtypes of a graph.

    Args:
      runtime: name of the runtime, for the error message.
      frozen: the signature with its graph.
      known: names of the operations of the runtime, or None if the converter checks them.
      dtypes: numbers of the dtypes of the runtime.
    """
    nodes = operations(frozen.graph_def)
    missing = sorted({node.op for node in nodes} - set(known or {node.op for node in nodes}))
    if missing:
        refuse(runtime, frozen.signature.name, f"the operations {', '.join(missing)}")
    used = {attribute.type for node in nodes for attribute in node.attr.values()
            if attribute.WhichOneof("value") == "type"}
    lacking = sorted(tf.as_dtype(kind).name for kind in used - set(dtypes) - {tf.variant.as_datatype_enum})
    if lacking:
        refuse(runtime, frozen.signature.name, f"the dtypes {', '.join(lacking)}")


def refuse(runtime: str, name: str, lacking: str) -> None:
    """Raises the `ValueError` of a signature that a runtime cannot run."""
    raise ValueError(f"Argument `signatures` must hold signatures that {runtime} can run; received {name!r}, "
                     f"which requires {lacking}. Leave it out, as in `signatures=[\"...\"]`, or export another model.")


def example_inputs(frozen: FrozenSignature, levels: int) -> dict[str, np.ndarray]:
    """Returns random inputs of a signature, for a batch of 2 if it takes batches of any size.

    Args:
      frozen: the signature.
      levels: bound of the images.
    """
    random, inputs = np.random.default_rng(0), {}
    for spec in frozen.inputs:
        values = random.uniform(0.0, levels if spec.name == "images" else 1.0,
                                [size or 2 for size in spec.shape.as_list()])
        inputs[str(spec.name)] = values.astype(spec.dtype.as_numpy_dtype)
    return inputs


@contextlib.contextmanager
def quiet(*loggers: str) -> Iterator[None]:
    """Returns a context manager in which loggers report errors only.

    Args:
      *loggers: names of the loggers, such as `"tensorflow"`.
    """
    levels = {name: logging.getLogger(name).level for name in loggers}
    try:
        for name in loggers:
            logging.getLogger(name).setLevel(logging.ERROR)
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def write_folder(kind: str, model: FlowModel, path: Any, signatures: Sequence[FrozenSignature],
                 write: Callable[[pathlib.Path], dict[str, dict[str, Any]]]) -> str:
    """Writes the model, `signatures.json` and the client.

    Args:
      kind: `"onnx"`, `"tfjs"` or `"litert"`.
      model: the model.
      path: the directory to write.
      signatures: the signatures with their graphs.
      write: a function that writes the model to a directory. It returns a dict per signature, which `signatures.json`
        contains. Its entry `"nodes"`, if there is one, maps inputs and outputs to their names in the model.

    Returns:
      The path, as a string.
    """
    path = check_new_folder(path)
    directory = pathlib.Path(path)
    directory.mkdir(parents=True, exist_ok=True)
    entries = write(directory)
    has_latents = model.functions.has_latents
    description = {
        "runtime": RUNTIMES[kind], "written_by": f"tfp_glow {__version__}", "event_shape": list(model.event_shape),
        "latent_shape": list(model.latent_shape) if has_latents else None, "num_bits": model.num_bits,
        "num_classes": model.functions.condition.num_classes, "base": base_of(model), "notes": list(NOTES),
        "signatures": {each.signature.name: _described(each, **entries[each.signature.name]) for each in signatures}}
    (directory / SIGNATURES_FILE).write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
    name, text = clients.client(kind, description)
    (directory / name).write_text(text, encoding="utf-8")
    return path


def _described(frozen: FrozenSignature, nodes: Mapping[str, str] | None = None, **entries: Any) -> dict[str, Any]:
    """Returns the entry of `signatures.json` for a signature."""
    types = {node.name: (node.attr["dtype"] if node.op == "Placeholder" else node.attr["T"]).type
             for node in frozen.graph_def.node if node.op in ("Placeholder", "Identity")}

    def described(spec: tf.TensorSpec) -> dict[str, Any]:
        name = str(spec.name)
        return {**({} if nodes is None else {"node": nodes[name]}), "dtype": tf.as_dtype(types[name]).name,
                "shape": list(spec.shape.as_list()), "unit": frozen.signature.units[name]}

    return {"meaning": frozen.signature.meaning, **entries,
            "inputs": {str(spec.name): described(spec) for spec in frozen.inputs},
            "outputs": {frozen.signature.output: described(frozen.output)}}
