# SPDX-License-Identifier: Apache-2.0
"""A stand-in for TensorFlow Serving: a small web server to test clients without TensorFlow Serving.

`python -m examples.serving_stand_in runs/digits/saved_model digits` serves the newest version of a model at

    POST /v1/models/digits:predict    {"signature_name": ..., "inputs": {...}} -> {"outputs": ...} or {"error": ...}
    GET  /v1/models/digits            the version and its state

It implements this part of the REST API of TensorFlow Serving, see https://www.tensorflow.org/tfx/serving/api_rest. In
production, run TensorFlow Serving on the same directory. URLs and JSON are the same.
"""

import http.server
import json
import pathlib
import re
import sys
import threading
from typing import Any

import numpy as np
import tensorflow as tf


class StandIn:
    """A web server that only this machine can reach.

    As a context manager, it serves in a new thread until the end of the `with` block.

    Args:
      directory: directory with the versions of a model. Each version is a SavedModel in a subdirectory whose name is
        the version number. The server serves the highest number.
      name: name of the model in URLs.
      port: port of the server. 0 (the default) chooses a free port.

    Raises:
      ValueError: if `directory` has no subdirectory with a version of a model.
    """

    def __init__(self, directory: str | pathlib.Path, name: str, port: int = 0) -> None:
        versions = [p.parent for p in pathlib.Path(directory).glob("*/saved_model.pb") if p.parent.name.isdecimal()]
        if not versions:
            raise ValueError("Argument `directory` must hold a SavedModel whose directory is named by its version, "
                             f"such as {pathlib.Path(directory, '1')}; received {str(directory)!r}.")
        newest = max(versions, key=lambda path: int(path.name))
        self.name, self.version = name, int(newest.name)
        self.signatures = tf.saved_model.load(str(newest)).signatures
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> "StandIn":
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, path: str, body: bytes | None = None) -> tuple[int, dict[str, Any]]:
        """Computes the response to a request.

        Args:
          path: path of the URL.
          body: JSON of a POST request, bytes. None means a GET request.

        Returns:
          A pair of the HTTP status code and the JSON object of the response.
        """
        found = re.fullmatch(r"/v1/models/([^/:]+)(?:/versions/(\d+))?(:predict)?", path)
        if not found or bool(found[3]) != (body is not None):
            return 404, {"error": f"Malformed request: {path}"}
        if found[1] != self.name or int(found[2] or self.version) != self.version:
            return 404, {"error": f"Servable not found for request: {path}"}
        if body is None:
            return 200, {"model_version_status": [{"version": str(self.version), "state": "AVAILABLE",
                                                   "status": {"error_code": "OK", "error_message": ""}}]}
        try:
            return 200, {"outputs": self.predict(json.loads(body))}
        except (ValueError, TypeError, OverflowError, tf.errors.OpError) as error:
            return 400, {"error": str(error)}

    def predict(self, request: dict[str, Any]) -> Any:
        """Computes the outputs of a signature.

        Args:
          request: a dict with the name of the signature under `signature_name` and a dict of tensors, as nested lists,
            under `inputs`.

        Returns:
          The output as nested lists. For several outputs, a dict of them by name, as in TensorFlow Serving.

        Raises:
          ValueError: if the signature does not exist, or `inputs` does not have its names, types and shapes.
        """
        name = request.get("signature_name", "serving_default")
        if name not in self.signatures:
            raise ValueError(f"Signature {name!r} not found; the signatures are {sorted(self.signatures)}")
        if not isinstance(request.get("inputs"), dict):
            raise ValueError("'inputs' must be an object of named tensors; the stand-in does not support 'instances'")
        specs = self.signatures[name].structured_input_signature[1]
        if set(request["inputs"]) != set(specs):
            raise ValueError(f"Inputs must be {sorted(specs)}; received {sorted(request['inputs'])}")
        outputs = self.signatures[name](**{key: _tensor(key, request["inputs"][key], specs[key]) for key in specs})
        lists = {key: output.numpy().tolist() for key, output in outputs.items()}
        return lists if len(lists) > 1 else next(iter(lists.values()))


def _tensor(key: str, value: Any, spec: tf.TensorSpec) -> tf.Tensor:
    array = np.array(value)
    if array.dtype.kind not in ("iu" if spec.dtype.is_integer else "iuf"):
        raise ValueError(f"Input {key!r} must be of type {spec.dtype.name}")
    if not spec.shape.is_compatible_with(array.shape):
        raise ValueError(f"Input {key!r} must have the shape {spec.shape}; received {array.shape}")
    return tf.constant(np.array(value, spec.dtype.as_numpy_dtype))  # NumPy raises for 300 as a uint8.


def _handler(stand_in: StandIn) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.reply(*stand_in.answer(self.path))

        def do_POST(self) -> None:
            self.reply(*stand_in.answer(self.path, self.rfile.read(int(self.headers["Content-Length"]))))

        def reply(self, code: int, value: dict[str, Any]) -> None:
            body = json.dumps(value).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


if __name__ == "__main__":
    with StandIn(sys.argv[1], sys.argv[2], port=8501) as server:
        print(f"Serving {server.url}/v1/models/{server.name}. Press Ctrl-C to stop.")
        threading.Event().wait()
