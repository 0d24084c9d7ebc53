# SPDX-License-Identifier: Apache-2.0
"""The model configuration and the warm-up requests that TensorFlow Serving reads beside a SavedModel."""

import json
import os
import pathlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from tfp_glow._checks import check_bool, check_int, check_path

MODEL_CONFIG_FILE = "model.config"
WARMUP_FILE = pathlib.PurePath("assets.extra", "tf_serving_warmup_requests")
MAX_WARMUP_REQUESTS = 1000  # TensorFlow Serving rejects a file with more requests.


def write_model_config(directory: str | os.PathLike[str], name: str,
                       base_path: str | os.PathLike[str] | None = None, overwrite: bool = False) -> str:
    """Writes the configuration file with which TensorFlow Serving finds and names a model.

    The file is `model.config` in `directory`, a `ModelServerConfig` in the text format of protocol buffers. Start the
    server with

        tensorflow_model_server --rest_api_port=8501 --model_config_file=DIRECTORY/model.config

    where `DIRECTORY` is the argument `directory`. The server serves the newest version of the model at
    `/v1/models/NAME:predict`, where `NAME` is the argument `name`.

    Args:
      directory: directory of the model, a string or path. Each version of the model is a SavedModel in a subdirectory
        whose name is the version number, such as `export_saved_model(model, "serving/1")` writes for
        `directory="serving"`.
      name: name of the model in requests, a string of letters, digits, `_`, `.` and `-`.
      base_path: path of `directory` on the server, an absolute path or a URL, such as `/models/digits` in a container.
        None (the default) means the absolute path of `directory` on this machine.
      overwrite: True replaces an existing file. Default: False.

    Returns:
      The path of the written file, as a string.

    Raises:
      ValueError: if `directory` is not a string or path, or has no subdirectory with a version of the model.
      ValueError: if `name` is not a string of one or more letters, digits, `_`, `.` and `-`.
      ValueError: if `base_path` is neither None, an absolute path nor a URL.
      ValueError: if the file exists and `overwrite` is False, or if `overwrite` is not a bool.

    Example:

    >>> model = tfp_glow.FlowModel(tfp_glow.glow((4, 4, 1), num_levels=1, num_steps=1, width=4))
    >>> path = tfp_glow.export_saved_model(model, "configured/1")
    >>> tfp_glow.write_model_config("configured", "digits", base_path="/models/digits")
    'configured/model.config'
    """
    directory = pathlib.Path(check_path("directory", directory))
    overwrite = check_bool("overwrite", overwrite)
    if not isinstance(name, str) or not re.fullmatch(r"[\w.-]+", name, re.ASCII):
        raise ValueError(f"Argument `name` must consist of letters, digits, '_', '.' and '-'; received {name!r}.")
    base_path = os.path.abspath(directory) if base_path is None else check_path("base_path", base_path)
    if not re.match(r"/|\w+://", base_path):
        raise ValueError(f"Argument `base_path` must be an absolute path or a URL; received {base_path!r}.")
    if not any(file.parent.name.isdecimal() for file in directory.glob("*/saved_model.pb")):
        raise ValueError("Argument `directory` must hold a SavedModel whose directory is named by its version, such as "
                         f"{directory / '1'}; received {str(directory)!r}.")
    path = directory / MODEL_CONFIG_FILE
    if path.exists() and not overwrite:
        raise ValueError(f"Argument `directory` must have no {MODEL_CONFIG_FILE} yet; {path} exists. Pass "
                         "`overwrite=True` to replace it.")
    base_path = json.dumps(base_path, ensure_ascii=False)  # The text format of protocol buffers has the same escapes.
    text = (f'model_config_list {{\n  config {{\n    name: "{name}"\n    base_path: {base_path}\n'
            '    model_platform: "tensorflow"\n  }\n}\n')
    _write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    return str(path)


def write_warmup_requests(path: str | os.PathLike[str], batch_sizes: Sequence[int] = (1,)) -> str:
    """Writes warm-up requests, which TensorFlow Serving runs before it serves a SavedModel to clients.

    The first request with a signature and batch size is slow. TensorFlow Serving runs the warm-up requests when it
    loads the SavedModel, so that the requests of clients are fast. The file holds one request per signature and batch
    size. All inputs are constant: 1/2 for floats, 0 for integers, 1 for `temperature` and the batch size for `number`.
    The file is `assets.extra/tf_serving_warmup_requests` in `path`, a TFRecord of `PredictionLog` messages.

    Args:
      path: directory of a SavedModel, a string or path.
      batch_sizes: batch sizes of the requests, a list or tuple of one or more ints of at least 1. Default: `(1,)`.

    Returns:
      The path of the written file, as a string.

    Raises:
      ValueError: if `path` is not the directory of a SavedModel, or already has warm-up requests.
      ValueError: if `batch_sizes` is not a list or tuple of one or more ints of at least 1.
      ValueError: if the file would hold more than 1,000 requests, the limit of TensorFlow Serving.

    Example:

    >>> model = tfp_glow.FlowModel(tfp_glow.glow((4, 4, 1), num_levels=1, num_steps=1, width=4))
    >>> path = tfp_glow.export_saved_model(model, "warmed/1")
    >>> tfp_glow.write_warmup_requests(path, batch_sizes=(1, 32))
    'warmed/1/assets.extra/tf_serving_warmup_requests'
    """
    path = pathlib.Path(check_path("path", path))
    if not isinstance(batch_sizes, (list, tuple)) or not batch_sizes:
        raise ValueError("Argument `batch_sizes` must be a list of one or more positive integers; "
                         f"received {batch_sizes!r}.")
    batch_sizes = [check_int("batch_sizes", size) for size in batch_sizes]
    if not (path / "saved_model.pb").is_file():
        raise ValueError(f"Argument `path` must be the directory of a SavedModel; received {str(path)!r}.")
    if (path / WARMUP_FILE).exists():
        raise ValueError(f"Argument `path` must have no warm-up requests yet; {path / WARMUP_FILE} exists.")
    graph = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes()).meta_graphs[0]
    signatures = {name: signature for name, signature in graph.signature_def.items() if signature.inputs}
    if len(signatures) * len(batch_sizes) > MAX_WARMUP_REQUESTS:
        raise ValueError(f"Argument `batch_sizes` must make at most {MAX_WARMUP_REQUESTS} requests, one per batch size "
                         f"and signature; received {len(batch_sizes)} sizes for {len(signatures)} signatures.")
    logs = []
    for size in batch_sizes:
        for name, signature in sorted(signatures.items()):
            inputs = {key: tf.make_tensor_proto(_warmup_input(key, info, size)).SerializeToString(deterministic=True)
                      for key, info in signature.inputs.items()}
            logs.append(_prediction_log(name, inputs))
    (path / WARMUP_FILE).parent.mkdir(exist_ok=True)

    def write(temporary):
        with tf.io.TFRecordWriter(str(temporary)) as writer:
            for log in logs:
                writer.write(log)

    _write_atomically(path / WARMUP_FILE, write)
    return str(path / WARMUP_FILE)


def _prediction_log(signature_name: str, inputs: Mapping[str, bytes]) -> bytes:
    """Returns the bytes of a `PredictionLog` message that holds one `PredictRequest`.

    TensorFlow Serving defines the messages in `prediction_log.proto`, `predict.proto` and `model.proto`. The package
    tensorflow-serving-api has classes for them, but it requires TensorFlow of at least its own version. This function
    works with any version.

    Args:
      signature_name: name of the signature.
      inputs: dict from the names of the inputs to the bytes of `TensorProto` messages.
    """
    request = _field(1, _field(3, signature_name.encode()))  # model_spec, and in it signature_name
    for key, tensor in sorted(inputs.items()):
        request += _field(2, _field(1, key.encode()) + _field(2, tensor))  # an entry of the map `inputs`
    return _field(6, _field(1, request))  # predict_log, and in it request


def _field(number: int, content: bytes) -> bytes:
    """Returns the bytes of a field that is a string or a message: its tag, its length as a varint, and its content."""
    length, varint = len(content), bytearray()
    while length > 127:
        varint.append(length % 128 + 128)
        length //= 128
    return bytes([number * 8 + 2, *varint, length]) + content


def _warmup_input(name: str, info: Any, batch_size: int) -> np.ndarray:
    """Returns a constant input for a signature.

    Args:
      name: name of the input.
      info: `TensorInfo` message with dtype and shape of the input. Each dimension of unknown size is a batch dimension.
      batch_size: size of each batch dimension.

    Returns:
      An array of the dtype and shape in `info`.
    """
    dtype = tf.as_dtype(info.dtype)
    value = {"number": batch_size, "temperature": 1}.get(name, 0.5 if dtype.is_floating else 0)
    shape = [batch_size if dim.size == -1 else dim.size for dim in info.tensor_shape.dim]
    return np.full(shape, value, dtype.as_numpy_dtype)


def _write_atomically(path: pathlib.Path, write: Callable[[pathlib.Path], Any]) -> None:
    """Writes a file atomically, so that readers never find a partial file.

    Args:
      path: path of the file.
      write: a function that writes the content to a temporary file. It receives the path of the temporary file.
    """
    temporary = path.with_name(f".partial.{path.name}")
    try:
        write(temporary)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
