# SPDX-License-Identifier: Apache-2.0
"""The program in an exported folder, which runs each signature on random inputs."""

from collections.abc import Mapping
from typing import Any

_NODE = """\
// Runs each signature on random inputs in Node: npm install @tensorflow/tfjs && node client.mjs
import * as tf from "@tensorflow/tfjs";
import fs from "node:fs";
const read = (name) => fs.readFileSync(new URL(name, import.meta.url));
const {signatures} = JSON.parse(read("signatures.json"));
const {weightsManifest: [{paths, weights: weightSpecs}], ...graph} = JSON.parse(read("model.json"));
const weightData = new Uint8Array(Buffer.concat(paths.map(read))).buffer;
const model = await tf.loadGraphModel({load: async () => ({...graph, weightSpecs, weightData})});
const draw = {
<DRAWS>
};
for (const [name, {run, inputs, outputs}] of Object.entries(signatures)) {
  const feeds = Object.entries(inputs).map(([key, {node, dtype, shape}]) =>
    [node, draw[key](shape.map((size) => size ?? 4)).cast(dtype)]);
  const [[output, {node, unit}]] = Object.entries(outputs);
  const result = await model[run](Object.fromEntries(feeds), node);
  console.log(`${name}: ${output} [${result.shape}], mean ${(await result.mean().data())[0].toFixed(4)} (${unit})`);
}
"""
_NODE_DRAWS = {
    "images": "(shape) => tf.randomUniform(shape, 0, {levels})",
    "vectors": "(shape) => tf.randomNormal(shape)",
    "noise": "(shape) => tf.randomUniform(shape)",
    "normal": "(shape) => tf.randomNormal(shape).mul(0.7),  // times the temperature",
    "logistic": "(shape) => tf.tidy(() => { const u = tf.randomUniform(shape); "
                "return u.div(tf.sub(1, u)).log().mul(0.7); }),  // times the temperature",
    "labels": "(shape) => tf.zeros(shape)",
    "context": "(shape) => tf.zeros(shape)",
}
_PYTHON = """\
# Runs each signature on random inputs: pip install numpy <PACKAGE> && python client.py
import json
import pathlib

import numpy as np
<IMPORT>

folder, random = pathlib.Path(__file__).parent, np.random.default_rng(0)
draw = {
<DRAWS>
}
for name, signature in json.loads((folder / "signatures.json").read_text())["signatures"].items():
    feeds = {key: draw[key]([size or 4 for size in input["shape"]]).astype(input["dtype"])
             for key, input in signature["inputs"].items()}
    ((output, about),) = signature["outputs"].items()
<RUN>
    print(f"{name}: {output} {result.shape}, mean {result.mean():.4f} ({about['unit']})")
"""
_PYTHON_DRAWS = {
    "images": "lambda shape: random.uniform(0, {levels}, shape)",
    "vectors": "lambda shape: random.normal(size=shape)",
    "noise": "lambda shape: random.uniform(size=shape)",
    "normal": "lambda shape: 0.7 * random.normal(size=shape),  # times the temperature",
    "logistic": "lambda shape: 0.7 * random.logistic(size=shape),  # times the temperature",
    "labels": "lambda shape: np.zeros(shape)",
    "context": "lambda shape: np.zeros(shape)",
}
_PYTHON_RUNTIMES = {
    "onnx": ("onnxruntime", "import onnxruntime", """\
    session = onnxruntime.InferenceSession(folder / signature["file"])
    (result,) = session.run([output], feeds)"""),
    "litert": ("ai-edge-litert", "from ai_edge_litert.interpreter import Interpreter", """\
    interpreter = Interpreter(str(folder / signature["file"]))
    result = interpreter.get_signature_runner(name)(**feeds)[output]"""),
}


def client(kind: str, description: Mapping[str, Any]) -> tuple[str, str]:
    """Returns the name and the text of the client of an exported folder.

    Args:
      kind: `"onnx"`, `"tfjs"` or `"litert"`.
      description: the content of `signatures.json`.
    """
    draws = _NODE_DRAWS if kind == "tfjs" else _PYTHON_DRAWS
    base = description["base"]["distribution"]
    num_bits = description["num_bits"]
    chosen = {
        "images": draws["images"].format(levels=2**num_bits) if num_bits else draws["vectors"],
        "latents": draws[base if base in ("normal", "logistic") else "normal"],
        **{name: draws[name] for name in ("noise", "labels", "context")}}
    used = {name for signature in description["signatures"].values() for name in signature["inputs"]}
    indent, quote = ("  ", "") if kind == "tfjs" else ("    ", '"')
    lines = [f"{indent}{quote}{name}{quote}: {_with_comma(text)}" for name, text in chosen.items() if name in used]
    if kind == "tfjs":
        return "client.mjs", _NODE.replace("<DRAWS>", "\n".join(lines))
    package, statement, run = _PYTHON_RUNTIMES[kind]
    text = _PYTHON.replace("<PACKAGE>", package).replace("<IMPORT>", statement).replace("<RUN>", run)
    return "client.py", text.replace("<DRAWS>", "\n".join(lines))


def _with_comma(text: str) -> str:
    """Ends an entry with a comma, before its comment if it has one."""
    return text if "),  " in text else f"{text},"
