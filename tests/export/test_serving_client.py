# SPDX-License-Identifier: Apache-2.0
"""Tests of the example's client. A stand-in replaces TensorFlow Serving, which tests cannot start."""

import ast
import json
import sys
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from paths import TESTS

from examples import serving_client, serving_stand_in

BINS = np.random.RandomState(0).randint(0, 256, (3, 4, 4, 1)).astype("uint8")


@pytest.fixture(scope="module")
def server(exported):
    with serving_stand_in.StandIn(Path(exported[1]).parent, "tiny") as server:
        yield server


@pytest.fixture(scope="module")
def client(server):
    return serving_client.Client(server.url, "tiny")


def test_predictions_match_the_model(client, exported):
    model, _ = exported
    points = BINS + np.float32(0.25)
    assert client.is_available()
    np.testing.assert_allclose(client.predict("log_prob", images=points.tolist()), model.log_prob(points), rtol=1e-5)
    np.testing.assert_allclose(client.predict("bits_per_dim_uint8", images=BINS.tolist(), seed=2),
                               model.bits_per_dim(BINS, seed=2), rtol=1e-5)
    latents = client.predict("encode_uint8", images=BINS.tolist())
    np.testing.assert_array_equal(client.predict("decode", latents=latents), BINS)
    np.testing.assert_array_equal(client.predict("sample", number=2, temperature=0.7, seed=1),
                                  model.sample(2, temperature=0.7, seed=1))


@pytest.mark.parametrize(("signature", "inputs", "message"), [
    ("energy", {}, "400: Signature 'energy' not found"),
    ("log_prob", {}, r"400: Inputs must be \['images'\]; received \[\]"),
    ("log_prob", {"images": [[1.0, 2.0]]}, "400: Input 'images' must have the shape"),
    ("log_prob", {"images": [["one"]]}, "400: Input 'images' must be of type float32"),
    ("log_prob", {"images": [[1.0], 2.0]}, "400: "),
    ("log_prob_uint8", {"images": (BINS + 0.5).tolist(), "seed": 0}, "400: Input 'images' must be of type uint8"),
    ("log_prob_uint8", {"images": (BINS + np.int32(200)).tolist(), "seed": 0}, "400: .*out of bounds for uint8"),
])
def test_wrong_requests_raise_the_servers_error(client, signature, inputs, message):
    with pytest.raises(ValueError, match=message):
        client.predict(signature, **inputs)


def test_unknown_models_and_paths_raise(server):
    with pytest.raises(ValueError, match="404: Servable not found"):
        serving_client.Client(server.url, "other").is_available()
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{server.url}/v1/models/tiny/versions/2", timeout=60)
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(f"{server.url}/v1/models/tiny:predict", b"not JSON", timeout=60)
    with urllib.request.urlopen(f"{server.url}/v1/models/tiny/versions/1", timeout=60) as response:
        assert json.load(response)["model_version_status"][0]["version"] == "1"
    with pytest.raises(ValueError, match="`directory` must hold a SavedModel"):
        serving_stand_in.StandIn(TESTS, "tests")


def test_the_client_imports_only_the_standard_library():
    tree = ast.parse(Path(serving_client.__file__).read_text(encoding="utf-8"))
    modules = [name.name for node in tree.body if isinstance(node, ast.Import) for name in node.names]
    assert modules and not any(isinstance(node, ast.ImportFrom) for node in tree.body)
    assert {name.split(".")[0] for name in modules} <= sys.stdlib_module_names


def test_the_example_runs(capsys):
    images, bits, latents = serving_client.main(epochs=1)
    assert np.shape(images) == (4, 8, 8, 1) and np.shape(bits) == (4,) and np.shape(latents) == (4, 64)
    lines = capsys.readouterr().out.splitlines()
    assert [len(line) for line in lines[:8]] == [73] * 8
    assert lines[-1] == "the decoded latents are equal to the images"
