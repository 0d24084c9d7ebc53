# SPDX-License-Identifier: Apache-2.0
"""All flows in ONNX Runtime, LiteRT, and TensorFlow.js in Node and in a browser, and the clients in the folders.

TensorFlow.js is installed by npm into a folder of the user's cache, once. Without npm or Chromium, its tests are
skipped.
"""

import functools
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import chromium
import numpy as np
import pytest
from runtime_cases import compare, inputs_of, signatures_in, small_model

import tfp_glow

pytestmark = pytest.mark.slow
FLOWS = ("glow", "glow_labels", "glow_dense", "realnvp", "realnvp_vector", "maf", "maf_image", "maf_context", "nice",
         "iaf", "nsf", "nsf_autoregressive", "jet", "pyramid", "pixelcnn")
PACKAGES = ("@tensorflow/tfjs@4.22.0", "@tensorflow/tfjs-backend-wasm@4.22.0")
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "tfp_glow", "node")
# Runs all signatures: `read` returns the bytes of a file in the folder.
RESULTS = """
async function results(tf, read, cases) {
  const parsed = async (name) => JSON.parse(new TextDecoder().decode(await read(name)));
  const {weightsManifest: [{paths, weights: weightSpecs}], ...graph} = await parsed("model.json");
  const parts = await Promise.all(paths.map(read));
  const weightData = await new Blob(parts).arrayBuffer();
  const model = await tf.loadGraphModel({load: async () => ({...graph, weightSpecs, weightData})});
  const found = {};
  for (const {name, run, inputs, node} of cases) {
    const feeds = inputs.map(([key, values, shape, dtype]) => [key, tf.tensor(values, shape, dtype)]);
    const result = await model[run](Object.fromEntries(feeds), node);
    found[name] = {shape: result.shape, values: [...await result.data()].map(String)};
  }
  return found;
}
"""
IN_NODE = """
import * as tf from "@tensorflow/tfjs";
import {setWasmPaths} from "@tensorflow/tfjs-backend-wasm";
import fs from "node:fs";
const [folder, backend] = process.argv.slice(1);
setWasmPaths(process.cwd() + "/node_modules/@tensorflow/tfjs-backend-wasm/dist/");
if (!await tf.setBackend(backend)) throw new Error(backend);
const read = (name) => fs.readFileSync(`${folder}/${name}`);
console.log("RESULTS" + JSON.stringify(await results(tf, read, JSON.parse(read("cases.json")))));
"""
PAGE = """<!DOCTYPE html><title>signatures</title><link rel="icon" href="data:,">
<script src="node_modules/@tensorflow/tfjs/dist/tf.min.js"></script>
<script src="node_modules/@tensorflow/tfjs-backend-wasm/dist/tf-backend-wasm.min.js"></script>
<script>
async function run(folder, backend) {
  tf.wasm.setWasmPaths("node_modules/@tensorflow/tfjs-backend-wasm/dist/");
  if (!await tf.setBackend(backend)) throw new Error(backend);
  const read = async (name) => new Uint8Array(await (await fetch(`${folder}/${name}`)).arrayBuffer());
  const cases = JSON.parse(new TextDecoder().decode(await read("cases.json")));
  return JSON.stringify(await results(tf, read, cases));
}
RESULTS</script>
"""


FIXED = {("litert", "pixelcnn"): {"batch_size": 3}}  # LiteRT cannot decode its batches of any size.
# What does not run, with the reason.
FAILING = {("pyramid", "wasm"): "memory access out of bounds", ("pyramid", "webgl"): "no Where of rank 5",
           ("pixelcnn", "webgl"): "no Where of rank 5"}


def flows_of(backend):
    return [pytest.param(flow, marks=pytest.mark.xfail(reason=FAILING[flow, backend])) if (flow, backend) in FAILING
            else flow for flow in FLOWS]


def flows_and(*backends):
    return [pytest.param(flow, backend, marks=[pytest.mark.xfail(reason=FAILING[flow, backend])]
                         if (flow, backend) in FAILING else []) for flow in FLOWS for backend in backends]


@functools.cache
def model_of(flow):
    return small_model(flow)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with all exports, and the packages of Node if there are some."""
    return tmp_path_factory.mktemp("runtimes")


@pytest.fixture(scope="module")
def exported(folder):
    """A function that exports a flow once per format."""
    @functools.cache
    def export(kind, flow):
        path = folder / f"{flow}_{kind}"
        getattr(tfp_glow, f"export_{kind}")(model_of(flow), path, **FIXED.get((kind, flow), {}))
        return path

    return export


@pytest.fixture(scope="module")
def node(folder):
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    if not all((CACHE / "node_modules" / re.sub(r"@[\d.]+$", "", package) / "package.json").exists()
               for package in PACKAGES):
        CACHE.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "install", "--silent", "--prefix", CACHE, *PACKAGES], check=True)
    (folder / "node_modules").symlink_to(CACHE / "node_modules")
    return folder


@pytest.fixture(scope="module")
def browser(node, tmp_path_factory):
    if chromium.FOUND is None:
        pytest.skip("Chromium is not installed")
    (node / "page.html").write_text(PAGE.replace("RESULTS", RESULTS))
    with chromium.Server(node) as server, chromium.Chromium(tmp_path_factory.mktemp("profile"), arguments=(
            "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist")) as browser:
        browser.open(f"{server.url}page.html")
        browser.wait_for("typeof run === 'function' && typeof tf !== 'undefined' && 'wasm' in tf")
        yield browser


def write_cases(path, model):
    cases, inputs = [], {}
    for name, about in signatures_in(path).items():
        inputs[name] = inputs_of(model, about)
        ((_, output),) = about["outputs"].items()
        cases.append({"name": name, "run": about["run"], "node": output["node"], "inputs": [
            [about["inputs"][key]["node"], value.ravel().tolist(), value.shape, about["inputs"][key]["dtype"]]
            for key, value in inputs[name].items()]})
    (path / "cases.json").write_text(json.dumps(cases))
    return inputs


def check_results(model, inputs, results):
    assert results.keys() == inputs.keys()
    for name, result in results.items():
        compare(model, name, inputs[name], np.array(result["values"], float).reshape(result["shape"]), exact=False)


@pytest.mark.parametrize("flow", flows_of("onnx"))
def test_onnx_runtime(flow, exported):
    pytest.importorskip("tf2onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    path = exported("onnx", flow)
    for name, about in signatures_in(path).items():
        inputs = inputs_of(model_of(flow), about)
        (result,) = onnxruntime.InferenceSession(path / about["file"]).run(None, inputs)
        compare(model_of(flow), name, inputs, result, exact=False)


@pytest.mark.parametrize("flow", FLOWS)
def test_litert(flow, exported):
    path = exported("litert", flow)
    interpreter_class = pytest.importorskip("ai_edge_litert.interpreter").Interpreter
    interpreter = interpreter_class(str(path / "model.tflite"))
    for name, about in signatures_in(path).items():
        inputs = inputs_of(model_of(flow), about)
        (result,) = interpreter.get_signature_runner(name)(**inputs).values()
        compare(model_of(flow), name, inputs, result, exact=False)


def test_litert_refuses_batches_that_it_cannot_run(tmp_path):
    pytest.importorskip("ai_edge_litert.interpreter")
    with pytest.raises(ValueError, match="'decode', which requires a fixed size of batches, such as `batch_size=1`"):
        tfp_glow.export_litert(model_of("pixelcnn"), tmp_path / "out", ["decode"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("flow", "backend"), flows_and("cpu", "wasm"))
def test_node(flow, backend, exported, node):
    path = exported("tfjs", flow)
    inputs = write_cases(path, model_of(flow))
    output = subprocess.run(["node", "--input-type=module", "-e", IN_NODE + RESULTS, path, backend], cwd=node,
                            check=True, capture_output=True, text=True).stdout
    check_results(model_of(flow), inputs, json.loads(output.partition("RESULTS")[2].splitlines()[0]))


@pytest.mark.parametrize(("flow", "backend"), flows_and("cpu", "wasm", "webgl"))
def test_browser(flow, backend, exported, browser):
    path = exported("tfjs", flow)
    inputs = write_cases(path, model_of(flow))
    check_results(model_of(flow), inputs, json.loads(browser.run(f"run('{path.name}', '{backend}')")))


@pytest.mark.parametrize("kind", ["onnx", "litert"])
def test_the_python_client_runs_as_it_is(kind, exported):
    pytest.importorskip({"onnx": "tf2onnx", "litert": "ai_edge_litert"}[kind])
    path = exported(kind, "glow_labels")
    lines = subprocess.run([sys.executable, path / "client.py"], check=True, capture_output=True, text=True).stdout
    assert [line.partition(":")[0] for line in lines.splitlines()] == list(signatures_in(path))
    assert "nan" not in lines


def test_the_node_client_runs_as_it_is(exported, node):
    path = exported("tfjs", "glow_labels")
    lines = subprocess.run(["node", path / "client.mjs"], check=True, capture_output=True, text=True).stdout
    names = [line.partition(":")[0] for line in lines.splitlines() if ", mean " in line]
    assert names == list(signatures_in(path))
    assert "NaN" not in lines
