# SPDX-License-Identifier: Apache-2.0
"""The clients and the stand-ins of the tutorial on serving. Tests cannot start TensorFlow Serving."""

import concurrent.futures
import json
import sys
import urllib.error
import urllib.request

import grpc
import numpy as np
import pytest
import tensorflow as tf
import tutorials
from tensorflow_serving.apis import prediction_service_pb2_grpc

BINS = np.random.RandomState(0).randint(0, 256, (3, 4, 4, 1)).astype("uint8")


@pytest.fixture(scope="module")
def tutorial(exported):
    names = tutorials.definitions("serving")
    names["signatures"] = tf.saved_model.load(exported[1]).signatures
    return names


@pytest.fixture(scope="module")
def url(tutorial):
    with tutorial["StandIn"](tutorial["signatures"], "tiny") as server:
        yield server.url


@pytest.fixture(scope="module")
def predict(tutorial, url):
    return lambda signature, **inputs: tutorial["predict"](url, signature, **inputs)


def test_predictions_match_the_model(predict, exported):
    model, _ = exported
    points = BINS + np.float32(0.25)
    np.testing.assert_allclose(predict("log_prob", images=points.tolist()), model.log_prob(points), rtol=1e-5)
    np.testing.assert_allclose(predict("bits_per_dim_uint8", images=BINS.tolist(), seed=2),
                               model.bits_per_dim(BINS, seed=2), rtol=1e-5)
    latents = predict("encode_uint8", images=BINS.tolist())
    np.testing.assert_array_equal(predict("decode", latents=latents), BINS)
    np.testing.assert_array_equal(predict("sample", number=2, temperature=0.7, seed=1),
                                  model.sample(2, temperature=0.7, seed=1))


def test_predictions_by_grpc_match_the_model(tutorial, exported):
    model, _ = exported
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(1))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(tutorial["PredictionService"](), server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        answer = tutorial["predict_by_grpc"](address, "tiny", "log_prob_uint8", images=BINS, seed=np.int32(2))
        np.testing.assert_allclose(answer["log_prob"], model.log_prob(BINS, seed=2), rtol=1e-5)
        with pytest.raises(grpc.RpcError):
            tutorial["predict_by_grpc"](address, "tiny", "energy", images=BINS)
    finally:
        server.stop(None).wait()


@pytest.mark.parametrize(("signature", "inputs", "message"), [
    ("energy", {}, "400: KeyError"),
    ("log_prob", {}, "400: TypeError"),
    ("log_prob", {"images": [[1.0, 2.0]]}, "400: "),
    ("log_prob", {"images": [["one"]]}, "400: ValueError"),
    ("log_prob", {"images": [[1.0], 2.0]}, "400: "),
    ("log_prob_uint8", {"images": (BINS + np.int32(200)).tolist(), "seed": 0}, "400: .*out of bounds for uint8"),
])
def test_wrong_requests_raise_the_servers_error(predict, signature, inputs, message):
    with pytest.raises(ValueError, match=message):
        predict(signature, **inputs)


def test_unknown_models_and_paths_raise(tutorial, url):
    with pytest.raises(ValueError, match="404: Servable not found"):
        tutorial["predict"](f"{url}_other", "log_prob", images=[])
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{url}/versions/2", timeout=60)
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(f"{url}:predict", b"not JSON", timeout=60)
    with urllib.request.urlopen(url, timeout=60) as response:
        assert json.load(response)["model_version_status"][0]["state"] == "AVAILABLE"


def test_the_rest_client_uses_only_the_standard_library(tutorial):
    used = set(tutorial["predict"].__code__.co_names)
    modules = {name for name in used if type(tutorial.get(name)).__name__ == "module"}
    assert modules == {"json", "urllib"} and modules <= sys.stdlib_module_names
