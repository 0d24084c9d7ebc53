# SPDX-License-Identifier: Apache-2.0
"""Latency of an exported flow in TensorFlow, ONNX Runtime, LiteRT and TensorFlow.js: `python -m benchmarks.runtimes`.

The flow is that of the preset `digits_glow`, with new weights: they do not change the times. One process measures all
runtimes one after the other, round after round. TensorFlow.js runs in Node, a process of its own; the first run
installs it into `.venv-peers/node`. ONNX Runtime and LiteRT require the packages of the extras `[onnx]` and `[litert]`.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import importlib.metadata
import json
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

import tfp_glow
from benchmarks import harness
from benchmarks.report import publish, show, table
from trainers import presets

SIGNATURES = {"log_prob": "images", "decode_floats": "latents"}
BATCHES = (1, 32)
IMAGE = (8, 8, 1)
NODE_PACKAGES = ("@tensorflow/tfjs@4.22.0", "@tensorflow/tfjs-backend-wasm@4.22.0")
PACKAGES = ("tensorflow", "onnxruntime", "tf2onnx", "ai-edge-litert")
NODE = harness.ROOT / ".venv-peers" / "node"
IN_NODE = """
import * as tf from "@tensorflow/tfjs";
import {setWasmPaths} from "@tensorflow/tfjs-backend-wasm";
import fs from "node:fs";
const [folder, name, input, shape, backend, calls] = process.argv.slice(1);
setWasmPaths(process.cwd() + "/node_modules/@tensorflow/tfjs-backend-wasm/dist/");
if (!await tf.setBackend(backend)) throw new Error(backend);
const read = (file) => fs.readFileSync(`${folder}/${file}`);
const {weightsManifest: [{paths, weights: weightSpecs}], ...graph} = JSON.parse(read("model.json"));
const weightData = new Uint8Array(Buffer.concat(paths.map(read))).buffer;
const model = await tf.loadGraphModel({load: async () => ({...graph, weightSpecs, weightData})});
const x = tf.randomUniform(JSON.parse(shape), 0, input === "images" ? 255 : 1);
const times = [];
for (let call = 0; call <= calls; call++) {  // The first call is not counted.
  const start = performance.now();
  const result = model.execute({[input]: x}, name);
  await result.data();
  result.dispose();
  times.push((performance.now() - start) / 1000);
}
console.log("TIMES" + JSON.stringify(times.slice(1)));
"""


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = harness.parser_of(__doc__, "runtimes.json")
    parser.add_argument("--rounds", type=int, default=3, help="rounds; a figure is the median over them")
    parser.add_argument("--calls", type=int, default=10, help="calls per round and case, after one that is not counted")
    parser.add_argument("--busy", action="store_true", help="note that other programs ran meanwhile")
    args = parser.parse_args(argv)
    if args.rounds < 1 or args.calls < 1:
        parser.error("--rounds, --calls: must be at least 1")
    return args


def node_folder() -> Path | None:
    """Returns the folder with the packages of Node, or None without npm."""
    if not (NODE / "node_modules").exists():
        if shutil.which("npm") is None:
            return None
        NODE.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "install", "--silent", "--prefix", NODE, *NODE_PACKAGES], check=True)
    return NODE


def in_process(folder: Path, model: tfp_glow.FlowModel) -> dict[str, Callable[[str, str, np.ndarray], Any]]:
    """Exports the model and returns, by the name of a runtime, a function of a signature, its input and a batch."""
    import onnxruntime
    from ai_edge_litert.interpreter import Interpreter

    names = list(SIGNATURES)
    served = tf.saved_model.load(tfp_glow.export_saved_model(model, folder / "1")).signatures
    tfp_glow.export_onnx(model, folder / "onnx", names)
    tfp_glow.export_litert(model, folder / "litert", names)
    sessions = {name: onnxruntime.InferenceSession(folder / "onnx" / f"{name}.onnx") for name in names}
    # LiteRT has one thread by default. The other runtimes use all cores.
    runners = {threads: Interpreter(str(folder / "litert" / "model.tflite"), num_threads=threads)
               for threads in (1, os.cpu_count())}
    return {
        "TensorFlow": lambda name, key, x: next(iter(served[name](**{key: tf.constant(x)}).values())).numpy(),
        "ONNX Runtime": lambda name, key, x: sessions[name].run(None, {key: x}),
        **{f"LiteRT, {threads} thread{'s' * (threads > 1)}": lambda name, key, x, interpreter=interpreter:
           interpreter.get_signature_runner(name)(**{key: x}) for threads, interpreter in runners.items()}}


def in_node(folder: Path, name: str, key: str, shape: Sequence[int], backend: str, calls: int) -> float:
    """Returns the median seconds of a call in TensorFlow.js."""
    command = ["node", "--input-type=module", "-e", IN_NODE, folder, name, key, json.dumps(shape), backend, str(calls)]
    output = subprocess.run(command, cwd=NODE, check=True, capture_output=True, text=True).stdout
    return statistics.median(json.loads(output.partition("TIMES")[2].splitlines()[0]))


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Returns the record of the results."""
    flow = dict(presets.get("digits_glow").flow)
    model = tfp_glow.FlowModel(getattr(tfp_glow, flow.pop("flow"))(IMAGE, seed=0, **flow))
    shapes, random = {"images": model.event_shape, "latents": model.latent_shape}, np.random.RandomState(0)
    batches = {(name, size): random.uniform(0, 255 if key == "images" else 1, (size, *shapes[key])).astype("float32")
               for name, key in SIGNATURES.items() for size in BATCHES}
    seconds: dict[tuple[str, str, int], list[float]] = {}
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        runtimes = in_process(folder, model)
        node = node_folder()
        if node is not None:
            tfp_glow.export_tfjs(model, folder / "tfjs", list(SIGNATURES))
        for _ in range(args.rounds):
            for (name, size), x in batches.items():
                for runtime, run in runtimes.items():
                    run(name, SIGNATURES[name], x)
                    seconds.setdefault((runtime, name, size), []).append(harness.median_seconds(
                        lambda run=run, name=name, x=x: run(name, SIGNATURES[name], x), args.calls))
                for backend in ("cpu", "wasm") if node is not None else ():
                    seconds.setdefault((f"TensorFlow.js in Node, {backend}", name, size), []).append(in_node(
                        folder / "tfjs", name, SIGNATURES[name], x.shape, backend, args.calls))
    return {"machine": harness.machine(), "versions": versions(), "busy": args.busy, "rounds": args.rounds,
            "calls": args.calls, "measurements": [
                {"runtime": runtime, "signature": name, "batch": size, "seconds": values}
                for (runtime, name, size), values in seconds.items()]}


def versions() -> dict[str, str]:
    """Returns the versions of the runtimes."""
    found = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {**found, **dict(package.rsplit("@", 1) for package in NODE_PACKAGES)}


def text_of(record: dict[str, Any]) -> str:
    """Returns the table of a record, with the machine and the versions."""
    cases = [(name, size) for name in SIGNATURES for size in BATCHES]
    seconds = {(each["runtime"], each["signature"], each["batch"]): statistics.median(each["seconds"])
               for each in record["measurements"]}
    rows = []
    for runtime in dict.fromkeys(each["runtime"] for each in record["measurements"]):
        of_runtime = [(seconds.get((runtime, *case)), seconds[("TensorFlow", *case)]) for case in cases]
        rows.append([runtime, *("-" if mine is None else f"{show(1000 * mine)} ({show(theirs / mine)})"
                                for mine, theirs in of_runtime)])
    busy = " Other programs ran on the machine meanwhile." if record["busy"] else ""
    head = ["runtime", *(f"{name}, batch {size}, ms" for name, size in cases)]
    return (f"{harness.describe(record['machine'], record['versions'])} Medians over {record['rounds']} rounds; in "
            f"brackets the speed relative to TensorFlow.{busy}\n\n{table(head, rows)}")


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_arguments(argv)
    record = measure(args)
    publish(args, record, text_of(record), "runtimes")


if __name__ == "__main__":
    main()
