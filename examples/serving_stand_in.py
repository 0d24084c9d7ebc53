# SPDX-License-Identifier: Apache-2.0
"""A stand-in for TensorFlow Serving: enough of its REST interface to try a client without a server.

`python -m examples.serving_stand_in runs/digits/saved_model digits` serves the newest version at

    POST /v1/models/digits:predict    {"signature_name": ..., "inputs": {...}} -> {"outputs": ...} or {"error": ...}
    GET  /v1/models/digits            the version and its state

with the web server of the standard library and `tf.saved_model.load`. In production, run TensorFlow Serving on the same
directory; its URLs and JSON are the same, see https://www.tensorflow.org/tfx/serving/api_rest.
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
    """A web server that only this machine can reach. Used as a context manager, it runs in a thread.

    Args:
      directory: directory with the versions of a model: SavedModels that are named by their number.
      name: name of the model.
      port: port to listen on; 0 for a free one.

    Raises:
      ValueError: if the directory has no version of a model.
    """

    def __init__(self, directory: str | pathlib.Path, name: str, port: int = 0) -> None:
        versions = [p.parent for p in pathlib.Path(directory).glob("*/saved_model.pb") if p.parent.name.isdecimal()]
        if not versions:
            raise ValueError(f"{directory} has no version of a model, such as {pathlib.Path(directory, '1')}")
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
        """Returns status code and JSON object for a request: a GET if it has no body, otherwise a POST."""
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
        """Returns the outputs as nested lists; like TensorFlow Serving, a single output comes without its name."""
        name = request.get("signature_name", "serving_default")
        if name not in self.signatures:
            raise ValueError(f"Signature {name!r} not found; there are {sorted(self.signatures)}")
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
    return tf.constant(np.array(value, spec.dtype.as_numpy_dtype))  # NumPy rejects 300 as a uint8.


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
        print(f"stand-in for TensorFlow Serving at {server.url}/v1/models/{server.name}; Ctrl-C ends it")
        threading.Event().wait()
