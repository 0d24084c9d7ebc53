# SPDX-License-Identifier: Apache-2.0
"""Runs the exported SavedModel without this package: with TensorFlow alone, `saved_model_cli` and the C API."""

import importlib.util
import json
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from gpu_kernels import has_gpu_support, saved_graph, without_gpu_kernel
from paths import TESTS
from tensorflow.core.protobuf import saved_model_pb2

import tfp_glow

pytestmark = pytest.mark.matrix

tfb, tfd = tfp.bijectors, tfp.distributions
SIZES = (1, 7, 256)
# Arguments of each program: the paths of a SavedModel, of a `.npz` file of inputs and of a `.npz` file for the outputs.
# The keys of the inputs are `label/signature/input`. The keys of the outputs are `label`.
TENSORFLOW_ALONE = """
import sys
for module in ("tfp_glow", "tensorflow_probability", "keras", "tf_keras"):
    sys.modules[module] = None  # Makes each import fail. TensorFlow itself tries to import Keras.
import numpy as np
import tensorflow as tf
path, calls, results = sys.argv[1:]
signatures = tf.saved_model.load(path).signatures
inputs, chosen = {}, {}
for name, array in np.load(calls).items():
    label, signature, key = name.split("/")
    inputs.setdefault(label, {})[key] = tf.constant(array)
    chosen[label] = signatures[signature]
outputs = {label: chosen[label](**inputs[label]) for label in inputs}
np.savez(results, **{label: tensor.numpy() for label, output in outputs.items() for tensor in output.values()})
"""
# All command lines run in one process, because TensorFlow takes seconds to start.
COMMAND_LINES = """
import json, runpy, sys
script, commands = sys.argv[1:]
for command in json.loads(commands):
    sys.argv = [script, *command]
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        if end.code:
            raise
"""


def run_tensorflow_alone(path, calls, results):
    subprocess.run([sys.executable, "-c", TENSORFLOW_ALONE, path, calls, results], check=True, cwd=results.parent)


def run_saved_model_cli(path, calls, results):
    inputs, commands = {}, []
    for name in np.load(calls).files:
        label, signature, key = name.split("/")
        inputs.setdefault((label, signature), []).append(f"{key}={calls}[{name}]")
    for (label, signature), values in inputs.items():
        commands.append(["run", "--dir", path, "--tag_set", "serve", "--signature_def", signature,
                         "--inputs", ";".join(values), "--outdir", str(results.parent / label)])
    script = str(Path(sysconfig.get_path("scripts"), "saved_model_cli"))
    subprocess.run([sys.executable, "-c", COMMAND_LINES, script, json.dumps(commands)], check=True,
                   stdout=subprocess.DEVNULL)
    outputs = {label: list((results.parent / label).iterdir()) for label, _ in inputs}
    assert all(len(files) == 1 for files in outputs.values())
    np.savez(results, **{label: np.load(file) for label, (file,) in outputs.items()})


def run_c_api(path, calls, results):
    graph = saved_model_pb2.SavedModel.FromString(Path(path, "saved_model.pb").read_bytes()).meta_graphs[0]
    tensors = {name: {"inputs": {key: info.name for key, info in signature.inputs.items()},
                      "output": next(iter(signature.outputs.values())).name}
               for name, signature in graph.signature_def.items() if signature.inputs}
    library = Path(importlib.util.find_spec("tensorflow").origin).parent / "libtensorflow_cc.so.2"
    program = TESTS / "c_api.py"
    subprocess.run([sys.executable, program, library, path, json.dumps(tensors), calls, results], check=True)


@pytest.fixture(scope="module")
def inputs():
    random = np.random.RandomState(1)
    return {"points": random.uniform(0, 256, (256, 4, 4, 1)).astype("float32"),
            "bins": random.randint(0, 256, (9, 4, 4, 1)).astype("uint8"),
            "latents": random.normal(size=(5, 16)).astype("float32")}


@pytest.fixture(scope="module", params=[
    run_tensorflow_alone, pytest.param(run_saved_model_cli, marks=pytest.mark.slow), run_c_api])
def results(request, exported, inputs, tmp_path_factory):
    """The outputs of one loader. The keys are the labels of the calls."""
    seed, temperature = np.int32(3), np.float32(0.7)
    calls = {f"log_prob_{size}/log_prob/images": inputs["points"][:size] for size in SIZES}
    calls |= {f"{name}/{name}/images": inputs["points"][:7] for name in ("bits_per_dim", "encode")}
    calls |= {f"{name}/{name}/images": inputs["bins"] for name in
              ("log_prob_uint8", "bits_per_dim_uint8", "encode_uint8")}
    calls |= {f"{name}/{name}/seed": seed for name in ("log_prob_uint8", "bits_per_dim_uint8", "sample")}
    calls |= {"decode/decode/latents": inputs["latents"], "default/serving_default/images": inputs["points"][:7],
              "sample/sample/number": np.int32(5), "sample/sample/temperature": temperature}
    directory = tmp_path_factory.mktemp(request.param.__name__)
    np.savez(directory / "calls.npz", **calls)
    request.param(exported[1], directory / "calls.npz", directory / "results.npz")
    return np.load(directory / "results.npz")


def test_every_loader_agrees_with_the_model(results, exported, inputs):
    model, _ = exported
    points, bins = inputs["points"], inputs["bins"]
    for size in SIZES:
        np.testing.assert_allclose(results[f"log_prob_{size}"], model.log_prob(points[:size]), rtol=1e-5)
    np.testing.assert_array_equal(results["default"], results["log_prob_7"])
    np.testing.assert_allclose(results["bits_per_dim"], model.bits_per_dim(points[:7]), rtol=1e-5)
    np.testing.assert_allclose(results["encode"], model.encode(points[:7]), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(results["log_prob_uint8"], model.log_prob(bins, seed=3), rtol=1e-5)
    np.testing.assert_allclose(results["bits_per_dim_uint8"], model.bits_per_dim(bins, seed=3), rtol=1e-5)
    np.testing.assert_allclose(results["encode_uint8"], model.encode(bins), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(results["decode"], model.decode(inputs["latents"]))
    np.testing.assert_array_equal(results["sample"], model.sample(5, temperature=0.7, seed=3))
    assert results["decode"].dtype == results["sample"].dtype == np.uint8


def test_the_seed_determines_the_noise_on_integers(exported, inputs):
    model, path = exported
    served = tf.saved_model.load(path).signatures["log_prob_uint8"]
    values = {seed: served(images=tf.constant(inputs["bins"]), seed=tf.constant(seed))["log_prob"] for seed in (0, 1)}
    np.testing.assert_allclose(values[1], model.log_prob(inputs["bins"], seed=1), rtol=1e-5)
    assert np.all(values[0] != values[1])


def test_signatures_follow_the_model(tmp_path):
    def signatures(name, model):
        path = tfp_glow.export_saved_model(model, tmp_path / name)
        return tf.saved_model.load(path).signatures

    deep = tfp_glow.FlowModel(tfp_glow.glow((4, 4, 1), num_levels=1, num_steps=1, width=4, num_bits=12, seed=0))
    served = signatures("deep", deep)
    images = np.random.RandomState(2).randint(0, 4096, (3, 4, 4, 1)).astype("uint16")
    assert "log_prob_uint8" not in served
    np.testing.assert_allclose(served["log_prob_uint16"](images=tf.constant(images), seed=tf.constant(4))["log_prob"],
                               deep.log_prob(images, seed=4), rtol=1e-5)
    latents = served["encode_uint16"](images=tf.constant(images))["latents"]
    np.testing.assert_array_equal(served["decode"](latents=latents)["images"], images)
    flow = tfd.TransformedDistribution(tfd.Sample(tfd.Normal(0.0, 1.0), 2), tfb.Scale(tf.Variable(2.0)))
    assert set(signatures("continuous", tfp_glow.FlowModel(flow))) == {
        "serving_default", "log_prob", "bits_per_dim", "sample", "encode", "decode"}
    served = signatures("base", tfp_glow.FlowModel(tfd.Sample(tfd.Normal(tf.Variable(0.0), 1.0), 2)))
    assert set(served) == {"serving_default", "log_prob", "bits_per_dim", "sample"}


def test_labels_are_an_input_of_every_signature(tmp_path):
    model = tfp_glow.FlowModel(tfp_glow.glow((4, 4, 1), num_levels=1, num_steps=1, width=4, seed=0, num_classes=3))
    for variable in model.trainable_variables:
        variable.assign(variable + tf.random.stateless_normal(variable.shape, (3, 4), stddev=0.1))
    served = tf.saved_model.load(tfp_glow.export_saved_model(model, tmp_path / "1")).signatures
    images, labels = np.random.RandomState(3).randint(0, 256, (3, 4, 4, 1)).astype("uint8"), [2, 0, 1]
    points, given, seed = tf.constant(images + np.float32(0.5)), tf.constant(labels), tf.constant(1)

    def call(name, **inputs):
        (output,) = served[name](**{"labels": given, **inputs}).values()
        return output

    assert all("labels" in signature.structured_input_signature[1] for signature in served.values())
    log_prob = call("log_prob", images=points)
    np.testing.assert_allclose(log_prob, model.log_prob(points, condition=labels), rtol=1e-5)
    np.testing.assert_allclose(call("bits_per_dim", images=points), model.bits_per_dim(points, condition=labels),
                               rtol=1e-5)
    assert np.all(log_prob != call("log_prob", images=points, labels=tf.constant([0, 1, 2])))
    np.testing.assert_allclose(call("log_prob_uint8", images=tf.constant(images), seed=seed),
                               model.log_prob(images, seed=1, condition=labels), rtol=1e-5)
    np.testing.assert_array_equal(call("decode", latents=call("encode_uint8", images=tf.constant(images))), images)
    for chosen in (labels, [1]):  # One label per image, or one for all images.
        np.testing.assert_array_equal(
            call("sample", number=tf.constant(3), temperature=tf.constant(0.7), seed=seed, labels=tf.constant(chosen)),
            model.sample(3, temperature=0.7, seed=1, condition=chosen))
    with pytest.raises(tf.errors.InvalidArgumentError, match="labels out of range"):
        call("log_prob", images=points, labels=tf.constant([0, 1, 3]))


def test_an_existing_directory_is_never_overwritten(exported, tmp_path):
    (tmp_path / "precious").write_text("data")
    with pytest.raises(ValueError, match="`path` must be an empty directory or not exist"):
        tfp_glow.export_saved_model(exported[0], tmp_path)
    assert (tmp_path / "precious").read_text() == "data"


@pytest.mark.skipif(not has_gpu_support(), reason="The installed TensorFlow was built without kernels for GPUs.")
def test_every_operation_has_a_kernel_for_gpus(exported):
    """The same holds for the signatures of all flows, which the slow tests in test_gpu_kernels.py check."""
    _, path = exported
    graph = saved_graph(path)
    operations = {node.op for function in graph.library.function for node in function.node_def}
    assert {"Conv2D", "MatrixTriangularSolve", "StatelessWhile"} <= operations
    assert not without_gpu_kernel(graph)
