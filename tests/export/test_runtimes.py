# SPDX-License-Identifier: Apache-2.0
"""Exports to other runtimes, run by ONNX Runtime and by the interpreter of LiteRT in TensorFlow.

TensorFlow.js needs Node, so these tests run its graph model by TensorFlow. test_runtimes_slow.py runs all runtimes.
"""

import functools
import json
import sys
import types

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from runtime_cases import check, expected, graph_of_tfjs, inputs_of, signatures_in, small_model

import tfp_glow
from tfp_glow.bijectors import AffinePixels
from tfp_glow.export import onnx_model, tfjs_model
from tfp_glow.transforms._special_functions import elementary_functions, erfc, ndtri

tfd = tfp.distributions
FLOWS = ("nice_image", "maf_context")  # Integers, and a loop with a condition.


@functools.cache
def model_of(name):
    return small_model(name)


def run_onnx(path):
    onnxruntime = pytest.importorskip("onnxruntime")

    def run(name, signature, inputs):
        (result,) = onnxruntime.InferenceSession(path / signature["file"]).run(list(signature["outputs"]), inputs)
        return result

    return run


def run_litert(path):
    interpreter = tf.lite.Interpreter(str(path / "model.tflite"))

    def run(name, signature, inputs):
        (result,) = interpreter.get_signature_runner(name)(**inputs).values()
        return result

    return run


def run_tfjs(path):
    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(graph_of_tfjs(path), name="")

    def run(name, signature, inputs):
        ((_, output),) = signature["outputs"].items()
        feeds = {f"{signature['inputs'][key]['node']}:0": value for key, value in inputs.items()}
        with tf.compat.v1.Session(graph=graph) as session:
            return session.run(f"{output['node']}:0", feeds)

    return run


RUNTIMES = {"onnx": (tfp_glow.export_onnx, run_onnx), "tfjs": (tfp_glow.export_tfjs, run_tfjs),
            "litert": (tfp_glow.export_litert, run_litert)}


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("kind", RUNTIMES)
def test_every_signature_equals_the_live_model(kind, flow, tmp_path):
    if kind == "onnx":
        pytest.importorskip("tf2onnx")
    export, runner = RUNTIMES[kind]
    assert export(model_of(flow), tmp_path / "out") == str(tmp_path / "out")
    names = {"log_prob", "bits_per_dim", "encode", "decode"}
    if flow == "nice_image":
        names |= {"log_prob_with_noise", "bits_per_dim_with_noise", "encode_uint8", "decode_floats"}
    assert set(signatures_in(tmp_path / "out")) == names
    check(model_of(flow), tmp_path / "out", runner(tmp_path / "out"))
    client = tmp_path / "out" / ("client.mjs" if kind == "tfjs" else "client.py")
    if client.suffix == ".py":
        compile(client.read_text(), str(client), "exec")


def test_the_description_states_shapes_dtypes_units_and_the_base(tmp_path):
    tfp_glow.export_tfjs(model_of("nice_image"), tmp_path / "out", ["log_prob_with_noise", "decode"], batch_size=2)
    about = json.loads((tmp_path / "out" / "signatures.json").read_text())
    assert (about["event_shape"], about["latent_shape"], about["num_bits"]) == ([4, 4, 2], [32], 8)
    assert about["base"] == {"distribution": "normal", "standard": True}
    assert about["signatures"]["log_prob_with_noise"]["inputs"] == {
        "images": {"node": "images_int32", "dtype": "int32", "shape": [2, 4, 4, 2], "unit": "integers in [0, 256)"},
        "noise": {"node": "noise", "dtype": "float32", "shape": [2, 4, 4, 2], "unit": "uniform in [0, 1)"}}
    assert about["signatures"]["decode"]["outputs"] == {
        "images": {"node": "decode", "dtype": "int32", "shape": [2, 4, 4, 2], "unit": "integers in [0, 256)"}}
    logistic = tfp_glow.FlowModel(tfp_glow.nice(3, hidden_sizes=(4,), prior="logistic"))
    tfp_glow.export_tfjs(logistic, tmp_path / "logistic", ["decode"])
    assert json.loads((tmp_path / "logistic" / "signatures.json").read_text())["base"]["distribution"] == "logistic"


def test_graphs_have_no_calls_and_no_loops_over_steps(tmp_path):
    tfp_glow.export_tfjs(tfp_glow.FlowModel(tfp_glow.realnvp_vector(4, num_couplings=5, hidden_sizes=(4,), seed=0)),
                         tmp_path / "out")
    graph_def = graph_of_tfjs(tmp_path / "out")
    assert not graph_def.library.function
    assert not {node.op for node in graph_def.node} & {"StatefulPartitionedCall", "While", "Assert", "ReadVariableOp"}
    assert {about["run"] for about in signatures_in(tmp_path / "out").values()} == {"execute"}


def test_floats_are_nan_where_the_saved_model_answers_with_an_error(tmp_path):
    base = tfd.Independent(tfd.Normal(tf.zeros((2, 2, 1)), 1.0), 3)
    model = tfp_glow.FlowModel(tfd.TransformedDistribution(base, AffinePixels((2, 2, 1), num_bits=5)))
    tfp_glow.export_tfjs(model, tmp_path / "out")
    run, signatures = run_tfjs(tmp_path / "out"), signatures_in(tmp_path / "out")
    inputs = inputs_of(model, signatures["log_prob_with_noise"])
    assert np.isfinite(run("", signatures["log_prob_with_noise"], inputs)).all()
    for name in ("log_prob_with_noise", "bits_per_dim_with_noise", "encode_uint8"):
        for wrong in (inputs["images"] + 32, inputs["images"] - 32):
            given = {**inputs, "images": wrong} if "noise" in signatures[name]["inputs"] else {"images": wrong}
            assert np.isnan(run("", signatures[name], given)).all()
    points = inputs["images"] + np.float32(0.25)
    for name in ("log_prob", "bits_per_dim", "encode"):
        np.testing.assert_allclose(run("", signatures[name], {"images": points.astype("float32")}),
                                   expected(model, name, points.astype("float32")), rtol=1e-5)
        for wrong in (inputs["images"].astype("float32"), points.astype("float32") / 32):  # Without noise; in [0, 1].
            assert np.isnan(run("", signatures[name], {"images": wrong})).all()
    latents = np.full((1, 2, 2, 1), 3e38, "float32")
    assert np.isnan(run("", signatures["decode_floats"], {"latents": latents})).all()


def test_labels_out_of_range_have_nan_densities(tmp_path):
    model = model_of("glow_labels")
    tfp_glow.export_tfjs(model, tmp_path / "out", ["log_prob_with_noise"])
    run, (signature,) = run_tfjs(tmp_path / "out"), signatures_in(tmp_path / "out").values()
    inputs = inputs_of(model, signature)
    assert np.isfinite(run("", signature, inputs)).all()
    assert np.isnan(run("", signature, {**inputs, "labels": np.int32([3, -1, 7])})).all()


def test_loops_over_values_run_asynchronously(tmp_path):
    how = {}
    for flow, names in (("maf_context", ["log_prob", "encode", "decode"]), ("iaf", ["log_prob", "encode", "decode"])):
        tfp_glow.export_tfjs(model_of(flow), tmp_path / flow, names)
        how[flow] = [signatures_in(tmp_path / flow)[name]["run"] for name in names]
    assert how == {"maf_context": ["execute", "execute", "executeAsync"],
                   "iaf": ["executeAsync", "executeAsync", "execute"]}


@pytest.mark.parametrize(("keywords", "message"), [
    ({"signatures": ["sample"]}, "signatures without random numbers; received 'sample'.*latents for `decode`"),
    ({"signatures": ["log_prob_uint8"]}, "without random numbers; received 'log_prob_uint8'"),
    ({"signatures": ["energy"]}, "must hold signatures of the model, log_prob, .*; received 'energy'"),
    ({"signatures": []}, "`signatures` must be a list of names"),
    ({"signatures": "decode"}, "`signatures` must be a list of names"),
    ({"batch_size": 0}, "`batch_size` must be"),
    ({"path": 3}, "`path` must be a path"),
    ({"model": 3}, "`model` must be a tfp_glow.FlowModel; received int"),
])
@pytest.mark.parametrize("export", [tfp_glow.export_tfjs, tfp_glow.export_litert])
def test_wrong_arguments_raise_and_write_nothing(export, keywords, message, tmp_path):
    arguments = {"model": model_of("nice_image"), "path": tmp_path / "out", **keywords}
    with pytest.raises(ValueError, match=message):
        export(**arguments)
    assert not list(tmp_path.iterdir())


def test_existing_folders_are_not_overwritten(tmp_path):
    (tmp_path / "precious").write_text("data")
    for export in (tfp_glow.export_onnx, tfp_glow.export_tfjs, tfp_glow.export_litert):
        with pytest.raises(ValueError, match="`path` must be an empty directory or not exist"):
            export(model_of("nice_image"), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["precious"]


def test_what_a_runtime_lacks_is_refused_by_name(tmp_path):
    double = tfp_glow.FlowModel(tfd.TransformedDistribution(
        tfd.Sample(tfd.Normal(tf.constant(0.0, tf.float64), 1.0), 2),
        tfp.bijectors.Scale(tf.Variable(2.0, dtype=tf.float64))))
    with pytest.raises(ValueError, match="that TensorFlow.js can run; received 'log_prob'.*the dtypes float64"):
        tfp_glow.export_tfjs(double, tmp_path / "out")

    class Digamma(tfp.bijectors.Bijector):
        def __init__(self):
            super().__init__(forward_min_event_ndims=0)

        def _inverse(self, y):
            return tf.math.digamma(y)

        def _forward(self, x):
            return x

        def _inverse_log_det_jacobian(self, y):
            return tf.zeros_like(y)

    model = tfp_glow.FlowModel(tfd.TransformedDistribution(tfd.Sample(tfd.Normal(0.0, 1.0), 2), Digamma()))
    for export, runtime in ((tfp_glow.export_tfjs, "TensorFlow.js"), (tfp_glow.export_litert, "LiteRT"),
                            (tfp_glow.export_onnx, "ONNX Runtime")):
        if export is tfp_glow.export_onnx:
            pytest.importorskip("tf2onnx")
        with pytest.raises(ValueError, match=f"{runtime} can run; received 'encode'.*the operations Digamma"):
            export(model, tmp_path / "out", ["decode", "encode"])
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(ImportError, match=r"pip install 'tfp_glow\[onnx\]'"):
        tfp_glow.export_onnx(model_of("nice_image"), tmp_path / "out")


def test_elementary_functions_equal_the_special_ones():
    x, p = tf.linspace(0.0, 6.0, 200), tf.concat([tf.exp(tf.linspace(-80.0, -0.7, 200)), [0.5]], 0)
    wanted = erfc(x), ndtri(p)
    with elementary_functions():
        received = erfc(x), ndtri(p)
    np.testing.assert_allclose(received[0], wanted[0], rtol=1e-5)
    np.testing.assert_allclose(received[1], wanted[1], rtol=1e-6, atol=1e-6)
    assert not np.array_equal(received[0], wanted[0])


@pytest.mark.parametrize(("replace", "function", "gone", "extremes"), [
    (onnx_model._replace_log1p, tf.math.log1p, "Log1p", [-1.0, 1e30, np.inf]),
    (tfjs_model._cast_one_hot, lambda x: tf.one_hot(tf.cast(x * 1e6, tf.int32) % 5, 4), None, []),
])
def test_replaced_operations_compute_the_same(replace, function, gone, extremes):
    x = np.concatenate([-np.geomspace(1e-9, 0.99, 50), [0.0], np.geomspace(1e-9, 1e6, 50), extremes]).astype("float32")
    with tf.Graph().as_default() as graph:
        tf.identity(function(tf.compat.v1.placeholder(tf.float32, [None], "x")), name="y")
    graph_def = graph.as_graph_def()
    replace(graph_def)
    assert gone not in {node.op for node in graph_def.node}
    assert all(node.attr["T"].type == tf.int32.as_datatype_enum for node in graph_def.node if node.op == "OneHot")
    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(graph_def, name="")
        with tf.compat.v1.Session(graph=graph) as session:
            result = session.run("y:0", {"x:0": x})
    np.testing.assert_allclose(result, function(tf.constant(x)), rtol=1e-6)


def test_onnx_selects_among_values_that_are_not_finite_and_among_bools():
    onnxruntime, tf2onnx = pytest.importorskip("onnxruntime"), pytest.importorskip("tf2onnx")
    x = np.float32([-1.0, 0.5, 2.0])
    with tf.Graph().as_default() as graph:
        given = tf.compat.v1.placeholder(tf.float32, [3], "x")
        logs = tf.where(given > 0.0, tf.math.log(given), -1.0 / tf.nn.relu(given))
        tf.identity(tf.where(tf.where(given > 1.0, given < 3.0, given > 0.0), logs, given), name="y")
    proto, _ = tf2onnx.convert.from_graph_def(
        graph.as_graph_def(), input_names=["x:0"], output_names=["y:0"], opset=onnx_model.OPSET,
        custom_op_handlers={"SelectV2": (onnx_model._select, [])})
    (result,) = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"x:0": x})
    np.testing.assert_allclose(result, [-1.0, np.log(0.5), np.log(2.0)], rtol=1e-6)


def test_the_sigmoid_of_onnx_is_precise_in_its_tails():
    onnxruntime, tf2onnx = pytest.importorskip("onnxruntime"), pytest.importorskip("tf2onnx")
    x = np.float32([-np.inf, -85.0, -20.0, -5.0, 0.0, 3.0, 200.0])
    with tf.Graph().as_default() as graph:
        tf.identity(tf.sigmoid(tf.compat.v1.placeholder(tf.float32, [None], "x")), name="y")
    proto, _ = tf2onnx.convert.from_graph_def(
        graph.as_graph_def(), input_names=["x:0"], output_names=["y:0"], opset=onnx_model.OPSET,
        custom_op_handlers={"Sigmoid": (onnx_model._sigmoid, [])})
    (result,) = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"x:0": x})
    np.testing.assert_allclose(result, 1.0 / (1.0 + np.exp(-x.astype("float64"))), rtol=1e-6)


def test_the_command_exports_a_run(monkeypatch, capsys, tmp_path):
    from trainers import export
    from trainers.runs import trained_models

    monkeypatch.setattr(trained_models, "load", lambda run: (model_of("nice_image"), "best checkpoint"))
    run = tmp_path / "run"
    run.mkdir()
    flags = [f"--run_dir={run}", f"--out={tmp_path / 'out'}", "--signature=decode", "--signature=log_prob"]
    assert export.main(["export", "--format=tfjs", *flags]) == 0
    assert capsys.readouterr().out == (f"{tmp_path}/out: tfjs of {run} (best checkpoint); run it with "
                                       f"npm install @tensorflow/tfjs && node {tmp_path}/out/client.mjs\n")
    assert set(signatures_in(tmp_path / "out")) == {"decode", "log_prob"}
    new = f"--out={tmp_path / 'new'}"
    for wrong, message in (
            (["--format=litert"], "error: Argument `path` must be an empty directory"),
            (["--format=coreml"], "error: flag --format=coreml: value should be one of <onnx|tfjs|litert>"),
            (["--format=tfjs", new, "--signature=sample"], "error: Argument `signatures` must")):
        assert export.main(["export", *flags, *wrong]) == 1
        assert capsys.readouterr().err.startswith(message)
    monkeypatch.setitem(sys.modules, "tf2onnx", types.ModuleType("tf2onnx"))
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert export.main(["export", *flags, "--format=onnx", new]) == 1
    assert "pip install 'tfp_glow[onnx]'" in capsys.readouterr().err
