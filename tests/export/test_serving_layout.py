# SPDX-License-Identifier: Apache-2.0
"""Tests of files for TensorFlow Serving: `model.config`, warm-up requests, and the trainer that writes both."""

import itertools
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

import tfp_glow
from tfp_glow.export import serving_layout
from tfp_glow.export.serving_layout import MODEL_CONFIG_FILE, WARMUP_FILE
from trainers import serving
from trainers.runs import trained_models
from trainers.runs.atomic_files import write_json
from trainers.runs.run_directory import RunDirectory


@pytest.fixture
def version(exported, tmp_path):
    """The path of a copy of the SavedModel, as version 1 of a model."""
    return shutil.copytree(exported[1], tmp_path / "served" / "1")


def model_in(path):
    """Returns the only model in the `model.config` file of the directory `path`."""
    config = text_format.Parse((path / MODEL_CONFIG_FILE).read_text(), ModelServerConfig())
    (model,) = config.model_config_list.config
    return model


def requests_in(path):
    """Returns the warm-up requests of the SavedModel in `path`."""
    records = [r.numpy() for r in tf.data.TFRecordDataset(str(path / WARMUP_FILE))]
    logs = [PredictionLog.FromString(record) for record in records]
    assert [log.SerializeToString(deterministic=True) for log in logs] == records
    assert {log.WhichOneof("log_type") for log in logs} == {"predict_log"}
    return [log.predict_log.request for log in logs]


def test_the_model_answers_every_warmup_request(exported, version):
    assert tfp_glow.write_warmup_requests(version, batch_sizes=[1, 3]) == str(version / WARMUP_FILE)
    signatures = tf.saved_model.load(str(version)).signatures
    found = []
    for request in requests_in(version):
        name = request.model_spec.signature_name
        inputs = {key: tf.constant(tf.make_ndarray(tensor)) for key, tensor in request.inputs.items()}
        (output,) = signatures[name](**inputs).values()
        assert np.all(np.isfinite(output))
        found.append((name, len(output)))
        if name == "log_prob":
            np.testing.assert_allclose(output, exported[0].log_prob(np.full((len(output), 4, 4, 1), 0.5)), rtol=1e-5)
    assert sorted(found) == sorted(itertools.product(signatures, (1, 3)))
    with pytest.raises(ValueError, match="`path` must have no warm-up requests yet"):
        tfp_glow.write_warmup_requests(version)


def test_messages_of_clients_reach_every_signature_that_draws_no_numbers(exported):
    """A request and a response by gRPC, and the same request by REST, as the server converts them to tensors."""
    model, path = exported
    signatures, random = tf.saved_model.load(path).signatures, np.random.RandomState(0)
    bins, noise = random.randint(0, 256, (2, 4, 4, 1)).astype("uint8"), random.uniform(size=(2, 4, 4, 1)).astype("f4")
    latents = random.normal(size=(2, 16)).astype("f4")
    for name, inputs, wanted in (
            ("log_prob_with_noise", {"images": bins, "noise": noise}, model.log_prob(bins, noise=noise)),
            ("bits_per_dim_with_noise", {"images": bins, "noise": noise}, model.bits_per_dim(bins + noise)),
            ("decode_floats", {"latents": latents}, model.distribution.bijector.forward(latents))):
        request = PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = "tiny", name
        for key, value in inputs.items():
            request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
        request = PredictRequest.FromString(request.SerializeToString())
        by_rest = json.loads(json.dumps({"inputs": {key: value.tolist() for key, value in inputs.items()}}))["inputs"]
        signature = signatures[request.model_spec.signature_name]
        specs = signature.structured_input_signature[1]
        for given in ({key: tf.make_ndarray(tensor) for key, tensor in request.inputs.items()},
                      {key: np.asarray(value, specs[key].dtype.as_numpy_dtype) for key, value in by_rest.items()}):
            assert given.keys() == specs.keys() and all(x.dtype == specs[key].dtype for key, x in given.items())
            response = PredictResponse()
            for key, value in signature(**{key: tf.constant(x) for key, x in given.items()}).items():
                response.outputs[key].CopyFrom(tf.make_tensor_proto(value.numpy()))
            (tensor,) = PredictResponse.FromString(response.SerializeToString()).outputs.values()
            np.testing.assert_allclose(tf.make_ndarray(tensor), wanted, rtol=1e-5, atol=1e-4)


def test_long_fields_and_empty_inputs_are_encoded():
    tensor = tf.make_tensor_proto(np.arange(10_000.0))
    log = PredictionLog()
    log.predict_log.request.model_spec.signature_name = "n" * 130
    log.predict_log.request.inputs["y"].CopyFrom(tensor)
    log.predict_log.request.inputs["x"].CopyFrom(tf.make_tensor_proto(1))
    inputs = {key: value.SerializeToString() for key, value in log.predict_log.request.inputs.items()}
    assert serving_layout._prediction_log("n" * 130, inputs) == log.SerializeToString(deterministic=True)
    assert PredictionLog.FromString(serving_layout._prediction_log("f", {})).predict_log.request.inputs == {}


def test_model_config(version):
    directory = version.parent
    assert tfp_glow.write_model_config(directory, "digits-1.0") == str(directory / MODEL_CONFIG_FILE)
    model = model_in(directory)
    assert (model.name, model.base_path, model.model_platform) == ("digits-1.0", str(directory), "tensorflow")
    with pytest.raises(ValueError, match="Pass `overwrite=True` to replace it"):
        tfp_glow.write_model_config(directory, "other")
    place = 'gs://bucket/a "quoted" \\ é'
    tfp_glow.write_model_config(directory, "other", place, overwrite=True)
    assert (model_in(directory).name, model_in(directory).base_path) == ("other", place)
    assert sorted(p.name for p in directory.iterdir()) == ["1", MODEL_CONFIG_FILE]


@pytest.mark.parametrize(("call", "message"), [
    (lambda v: tfp_glow.write_model_config(v.parent, "a/b"), "`name` must consist of letters"),
    (lambda v: tfp_glow.write_model_config(v.parent, None), "`name` must consist of letters"),
    (lambda v: tfp_glow.write_model_config(v, "a"), "`directory` must hold a SavedModel whose directory is"),
    (lambda v: tfp_glow.write_model_config(3, "a"), "`directory` must be a path; received 3"),
    (lambda v: tfp_glow.write_model_config(v.parent, "a", "models/a"), "`base_path` must be an absolute path or a URL"),
    (lambda v: tfp_glow.write_warmup_requests(v.parent), "`path` must be the directory of a SavedModel"),
    (lambda v: tfp_glow.write_warmup_requests(v, 1), "`batch_sizes` must be a list .* positive integers; received 1"),
    (lambda v: tfp_glow.write_warmup_requests(v, [0]), "`batch_sizes` must be .* of at least 1"),
    (lambda v: tfp_glow.write_warmup_requests(v, range(1, 9)), "`batch_sizes` must be a list"),
    (lambda v: tfp_glow.write_warmup_requests(v, list(range(1, 200))), "must make at most 1000 requests"),
])
def test_wrong_arguments_raise_and_write_nothing(version, call, message):
    with pytest.raises(ValueError, match=message):
        call(version)
    assert not (version / WARMUP_FILE).exists() and not (version.parent / MODEL_CONFIG_FILE).exists()


# The trainer.


@pytest.fixture
def run(exported, tmp_path, monkeypatch):
    """The directory of a trained run whose model is not saved yet."""
    run = RunDirectory(tmp_path / "run")
    run.path.mkdir()
    training = {"batch_size": 1, "optimizer": "adam", "learning_rate": 1.0, "warmup_epochs": 0, "schedule": "constant",
                "ema_momentum": None, "clip_norm": None, "init_batch_size": 1, "flip": False, "pixel_noise": 0.0,
                "temperature": 1.0}
    config = dict.fromkeys(("crop", "resize", "data_levels", "num_levels", "num_bits", "dequantizer"))
    config |= {"preset": "tiny", "data": "digits", "epochs": 1, "steps_per_epoch": 1, "seed": 0, "training": training,
               "flow": tfp_glow.flows.config_to_dict(tfp_glow.flows.config_of(exported[0].distribution))}
    write_json(config, run.path / "config.json")
    run.add_history({"epoch": 1, "skipped_steps": 0})
    flow = tfp_glow.flows.config_of(exported[0].distribution).build()
    monkeypatch.setattr(trained_models, "build", lambda config: tfp_glow.FlowModel(flow))
    return run


def finish(run, model, epochs=1):
    config = {**run.config(), "epochs": epochs}
    trained_models.save(model, config, run, {"epoch": epochs}, val_bits_per_dim=3.0, skipped_steps=0)


def test_a_finished_run_is_ready_to_serve(exported, run, capsys):
    finish(run, exported[0])
    newest = run.saved_models / "1"
    assert len(requests_in(newest)) == 12
    assert (model_in(run.saved_models).name, model_in(run.saved_models).base_path) == ("tiny", str(run.saved_models))
    assert capsys.readouterr().out == ""
    assert serving.main(["serving", f"--run_dir={run}", "--name=digits", "--base_path=/models/digits"]) == 0
    assert (model_in(run.saved_models).name, model_in(run.saved_models).base_path) == ("digits", "/models/digits")
    assert len(requests_in(newest)) == 12
    config_file = "--model_config_file=/models/digits/model.config"
    assert capsys.readouterr().out.splitlines() == [
        f"{newest}: with warm-up requests",
        f"on a machine with a copy of {run.saved_models} at /models/digits: tensorflow_model_server "
        f"--rest_api_port=8501 {config_file}",
        "on this machine, in a container: docker run --rm -p 8500:8500 -p 8501:8501 "
        f"-v {run.saved_models}:/models/digits:ro tensorflow/serving {config_file}"]
    finish(run, exported[0], epochs=2)  # A continued run writes a new version and keeps the name and the base path.
    assert sorted(p.name for p in run.saved_models.iterdir()) == ["1", "2", MODEL_CONFIG_FILE]
    assert model_in(run.saved_models).name == "digits"


def test_warmup_requests_can_be_added_later(exported, run, capsys):
    command = ["serving", f"--run_dir={run}"]
    assert serving.main(command) == 1
    assert capsys.readouterr().err == (
        f"error: run_dir: {run} is not finished and has no saved_model/ yet; finish it with trainers.train\n")
    newest = run.saved_models / "1"
    finish(run, exported[0])
    shutil.rmtree((newest / WARMUP_FILE).parent)
    assert serving.main([*command, "--nowarmup", "--name=other"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{newest}: without warm-up requests",
        "on this machine: tensorflow_model_server --rest_api_port=8501 "
        f"--model_config_file={run.saved_models / MODEL_CONFIG_FILE}"]
    assert not (newest / WARMUP_FILE).exists() and model_in(run.saved_models).name == "other"
    assert serving.main([*command, "--batch_size=1", "--batch_size=32"]) == 0
    assert f"{newest}: with warm-up requests" in capsys.readouterr().out
    assert len(requests_in(newest)) == 24
