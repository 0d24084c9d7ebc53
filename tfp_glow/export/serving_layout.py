# SPDX-License-Identifier: Apache-2.0
"""What TensorFlow Serving reads beside a SavedModel: where the versions of a model are, and requests to warm it up."""

import json
import os
import pathlib
import re

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from tfp_glow._checks import check_int

CONFIG = "model.config"
WARMUP = pathlib.PurePath("assets.extra", "tf_serving_warmup_requests")
MOST_REQUESTS = 1000  # TensorFlow Serving refuses a file with more.


def write_model_config(directory, name, base_path=None, overwrite=False):
    """Writes `directory/model.config`, which tells TensorFlow Serving a model's name and where its versions are.

    The file is a `ModelServerConfig` in protobuf's text format. The server is started with

        tensorflow_model_server --rest_api_port=8501 --model_config_file=DIRECTORY/model.config

    and serves the newest version in `directory` at `/v1/models/NAME:predict`.

    Args:
      directory: the model's directory, in which each version is one named by its number, as in
        `export_saved_model(model, "serving/1")`.
      name: the model's name in requests: letters, digits, `_`, `.` and `-`.
      base_path: where the server sees `directory`, if not where we do: an absolute path or a URL, such as
        `/models/NAME` in a container.
      overwrite: whether a file that is there may be replaced.

    Returns:
      The file's path, as a string.

    Raises:
      ValueError: if an argument is not as said, `directory` has no version, or the file is there and `overwrite` is
        false.

    >>> path = tfp_glow.export_saved_model(model, "serving/1")
    >>> tfp_glow.write_model_config("serving", "digits", base_path="/models/digits")
    'serving/model.config'
    """
    directory = pathlib.Path(_path("directory", directory))
    if not isinstance(name, str) or not re.fullmatch(r"[\w.-]+", name, re.ASCII):
        raise ValueError(f"Argument `name` must be of letters, digits, '_', '.' and '-'; received {name!r}.")
    base_path = os.path.abspath(directory) if base_path is None else _path("base_path", base_path)
    if not re.match(r"/|\w+://", base_path):
        raise ValueError(f"Argument `base_path` must be an absolute path or a URL; received {base_path!r}.")
    if not any(file.parent.name.isdecimal() for file in directory.glob("*/saved_model.pb")):
        raise ValueError(f"Argument `directory` must hold a SavedModel named by its version, such as "
                         f"{directory / '1'}; received {str(directory)!r}.")
    path = directory / CONFIG
    if path.exists() and not overwrite:
        raise ValueError(f"Argument `directory` must not have a {CONFIG} yet, or `overwrite` be true; {path} exists.")
    base_path = json.dumps(base_path, ensure_ascii=False)  # JSON's escapes are protobuf's, too.
    text = (f'model_config_list {{\n  config {{\n    name: "{name}"\n    base_path: {base_path}\n'
            '    model_platform: "tensorflow"\n  }\n}\n')
    _write(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    return str(path)


def write_warmup_requests(path, batch_sizes=(1,)):
    """Writes the requests that TensorFlow Serving makes itself before it takes a version into service.

    So no client waits for a first call. There is one request for each signature and batch size, of made-up values: 1/2
    for floats, 0 for whole numbers, temperature 1. The file is `assets.extra/tf_serving_warmup_requests`, a TFRecord of
    `PredictionLog`s.

    Args:
      path: the directory of a SavedModel.
      batch_sizes: a list of ints, the batch sizes that clients will use.

    Returns:
      The file's path, as a string.

    Raises:
      ImportError: if `tensorflow-serving-api` is not installed (`pip install 'tfp_glow[serving]'`).
      ValueError: if `path` holds no SavedModel or has warm-up requests already, or `batch_sizes` are not ints of at
        least 1 or make more requests than the 1,000 that TensorFlow Serving takes.

    >>> tfp_glow.write_warmup_requests(tfp_glow.export_saved_model(model, "serving/1"), batch_sizes=(1, 32))
    'serving/1/assets.extra/tf_serving_warmup_requests'
    """
    try:
        from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog
    except ImportError as error:
        raise ImportError("warm-up requests need the package tensorflow-serving-api: "
                          "pip install 'tfp_glow[serving]'") from error
    path = pathlib.Path(_path("path", path))
    if not isinstance(batch_sizes, (list, tuple)) or not batch_sizes:
        raise ValueError(f"Argument `batch_sizes` must be a list of whole numbers; received {batch_sizes!r}.")
    for size in batch_sizes:
        check_int("batch_sizes", size)
    if not (path / "saved_model.pb").is_file():
        raise ValueError(f"Argument `path` must be the directory of a SavedModel; received {str(path)!r}.")
    if (path / WARMUP).exists():
        raise ValueError(f"Argument `path` must have no warm-up requests yet; {path / WARMUP} exists.")
    graph = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes()).meta_graphs[0]
    signatures = {name: signature for name, signature in graph.signature_def.items() if signature.inputs}
    if len(signatures) * len(batch_sizes) > MOST_REQUESTS:
        raise ValueError(f"Argument `batch_sizes` must make at most {MOST_REQUESTS} requests with {len(signatures)} "
                         f"signatures; received {len(batch_sizes)} sizes.")
    logs = []
    for size in batch_sizes:
        for name, signature in sorted(signatures.items()):
            log = PredictionLog()
            log.predict_log.request.model_spec.signature_name = name
            for key, info in signature.inputs.items():
                log.predict_log.request.inputs[key].CopyFrom(tf.make_tensor_proto(_made_up(key, info, size)))
            logs.append(log.SerializeToString(deterministic=True))
    (path / WARMUP).parent.mkdir(exist_ok=True)

    def write(temporary):
        with tf.io.TFRecordWriter(str(temporary)) as writer:
            for log in logs:
                writer.write(log)

    _write(path / WARMUP, write)
    return str(path / WARMUP)


def _made_up(key, info, batch_size):
    """A value for an input of a signature; dimensions that it leaves open are batches."""
    dtype = tf.as_dtype(info.dtype)
    value = {"number": batch_size, "temperature": 1}.get(key, 0.5 if dtype.is_floating else 0)
    shape = [batch_size if dim.size == -1 else dim.size for dim in info.tensor_shape.dim]
    return np.full(shape, value, dtype.as_numpy_dtype)


def _path(argument, value):
    if not isinstance(value, (str, os.PathLike)):
        raise ValueError(f"Argument `{argument}` must be a path; received {value!r}.")
    return os.fspath(value)


def _write(path, write):
    """Writes a file whole or not at all."""
    temporary = path.with_name(f".partial.{path.name}")
    try:
        write(temporary)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
