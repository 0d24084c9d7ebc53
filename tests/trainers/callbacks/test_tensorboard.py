# SPDX-License-Identifier: Apache-2.0
"""TensorBoard events and log-determinants per level."""

import importlib.util

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import tfp_glow
from tfp_glow import bijectors as tfgb
from trainers import train
from trainers.callbacks.tensorboard_events import TensorBoardEvents, _write_histograms
from trainers.evaluation import level_statistics
from trainers.optimization.averaged_weights import averaged_weights
from trainers.reporting import png_files
from trainers.runs.run_directory import RunDirectory


def events_of(run, split):
    """Returns the steps of each tag in one event directory of a run."""
    events = EventAccumulator(str(run.tensorboard / split), size_guidance={"tensors": 0, "histograms": 0}).Reload()
    return {tag: [event.step for event in events.Tensors(tag)] for tag in events.Tags()["tensors"]}


def value_of(run, split, tag, step):
    events = EventAccumulator(str(run.tensorboard / split), size_guidance={"tensors": 0}).Reload()
    (event,) = [event for event in events.Tensors(tag) if event.step == step]
    return tf.make_ndarray(event.tensor_proto)


def test_events_of_two_processes(tmp_path):
    """Each epoch has a new callback, as after a kill and a resume. The callback leaves the model unchanged."""
    run = RunDirectory(tmp_path)
    run.samples.mkdir()
    random = np.random.default_rng(0)
    batch = tf.constant(random.integers(0, 17, (16, 8, 8, 1), dtype="uint8")), tf.zeros(16, tf.int64)
    model = tfp_glow.FlowModel(tfp_glow.glow((8, 8, 1), num_levels=2, num_steps=2, width=8, num_bits=5, seed=1))
    model.compile(keras.optimizers.Adam(1e-3, use_ema=True))
    model.initialize(batch[0])
    before = [v.numpy() for v in (*model.variables, *model.optimizer.variables)]
    for epoch in (0, 1):
        png_files.save_events(random.integers(0, 17, (4, 8, 8, 1)), 17, run.sample_path(epoch + 1))
        events = TensorBoardEvents(run, batch)
        events.set_model(model)
        events.on_train_begin()
        events.on_epoch_end(epoch, {"loss": 3.5, "bits_per_dim": 3.0 - epoch, "val_bits_per_dim": 2.5 - epoch})
    assert all(map(np.array_equal, before, [v.numpy() for v in (*model.variables, *model.optimizer.variables)]))

    seen, unseen = events_of(run, "train"), events_of(run, "validation")
    assert all(steps == [1, 2] for steps in (*seen.values(), *unseen.values()))
    assert value_of(run, "train", "bits_per_dim", 2) == 2.0
    assert value_of(run, "validation", "bits_per_dim", 1) == 2.5
    assert set(unseen) == {"bits_per_dim", "latents/level 1", "latents/top", "log_det/pixels", "log_det/level 1",
                           "log_det/top"}
    histograms = [tag for tag in seen if tag.startswith("parameters/")]
    assert set(seen) == {"bits_per_dim", "loss", "samples", *histograms}
    assert len(histograms) == len(model.trainable_variables)
    levels = {tag.split("/")[1] for tag in histograms}
    assert levels == {"level 1", "top"} and "parameters/level 1/000 steps/log_scale_0" in histograms
    width, height, picture, *_ = value_of(run, "train", "samples", 2)
    assert (int(width), int(height)) == tf.image.decode_png(picture).shape[1::-1]
    np.testing.assert_array_equal(
        tf.image.decode_png(picture, channels=1), tf.image.decode_png(run.sample_path(2).read_bytes(), channels=1))
    counts = value_of(run, "validation", "latents/top", 2)[:, 2]
    assert counts.sum() == 16 * 32  # 16 events, half of the 64 latents per event
    with averaged_weights(model):  # validation averages too
        latents, log_dets = level_statistics.decompose_by_level(model, batch[0], (0, 0))
    left, right = value_of(run, "validation", "latents/top", 2)[[0, -1], [0, 1]]
    assert (left, right) == pytest.approx((latents["top"].numpy().min(), latents["top"].numpy().max()), rel=1e-4)
    assert value_of(run, "validation", "log_det/top", 2) == pytest.approx(log_dets["top"].numpy().mean(), abs=1e-5)


def test_histograms_of_many_values_and_of_no_finite_value(tmp_path):
    values = np.random.default_rng(0).normal(size=250_001).astype("float32")
    with tf.summary.create_file_writer(str(tmp_path / "tensorboard" / "train")).as_default(step=1):
        _write_histograms({"many": values, "broken": np.full(3, np.nan, "float32")})
    run = RunDirectory(tmp_path)
    many, broken = (value_of(run, "train", tag, 1) for tag in ("many", "broken"))
    assert many[:, 2].sum() == 83_334 and many[0, 0] < -3.5 and many[-1, 1] > 3.5
    assert broken[:, 2].sum() == 0


def test_a_missing_tensorboard_package_is_reported(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert train.main(["train", "--preset=digits_glow_smoke", "--data=digits", f"--output_dir={tmp_path / 'run'}",
                       "--tensorboard"]) == 1
    assert "the package tensorboard is not installed; install it, or pass --notensorboard" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


# Log-determinants per level.


def initialized_and_moved(flow, x):
    """Initializes the flow on `x`, adds noise to each trainable variable, and returns the flow."""
    tfp_glow.initialize(flow, x)
    for index, variable in enumerate(flow.trainable_variables):
        variable.assign_add(0.05 * tf.random.stateless_normal(variable.shape, (1, index)))
    return flow


@pytest.mark.parametrize("flow", [
    lambda: tfp_glow.glow((8, 8, 2), num_levels=3, num_steps=2, width=8, seed=1),
    lambda: tfp_glow.realnvp((8, 8, 2), num_scales=2, num_blocks=1, width=4, seed=1),
], ids=["glow", "realnvp"])
def test_log_determinants_of_levels_add_up(flow):
    x = tf.random.stateless_uniform((5, 8, 8, 2), (0, 1), maxval=256.0)
    flow = initialized_and_moved(flow(), x)
    pixels, multiscale = flow.bijector.bijectors
    y = pixels.inverse(x)
    latents, log_dets = multiscale.inverse_by_level(y)
    assert tuple(part.shape[-1] for part in latents) == multiscale.level_sizes
    np.testing.assert_allclose(tf.concat(latents, axis=-1), multiscale.inverse(y), atol=1e-5)
    assert all(log_det.shape == (5,) for log_det in log_dets)
    np.testing.assert_allclose(sum(log_dets), multiscale.inverse_log_det_jacobian(y, 3), rtol=1e-5)
    # The first log-determinant belongs to the body of the first level.
    np.testing.assert_allclose(log_dets[0], multiscale._body.inverse_log_det_jacobian(y, 3), rtol=1e-5)
    assert multiscale.inverse_by_level(tf.reshape(y, (5, 1, 8, 8, 2)))[1][-1].shape == (5, 1)

    model = tfp_glow.FlowModel(flow)
    by_name, bits = level_statistics.decompose_by_level(model, x, (0, 0))
    base = -flow.distribution.log_prob(tf.concat(list(by_name.values()), axis=-1)) / (128 * np.log(2))
    np.testing.assert_allclose(base - sum(bits.values()), model.bits_per_dim(x), rtol=1e-4)
    assert list(bits) == ["pixels", *(f"level {i}" for i in range(1, len(latents))), "top"]


def test_parameters_belong_to_levels():
    flow = tfp_glow.glow((8, 8, 2), num_levels=3, num_steps=1, width=4, seed=1)
    model = tfp_glow.FlowModel(flow, dequantizer=tfp_glow.dequantizer((8, 8, 2), num_steps=1, width=4))
    levels = level_statistics.parameter_levels(model)
    assert list(dict.fromkeys(levels)) == ["level 1", "level 2", "top", "dequantizer"]
    body = flow.bijector.bijectors[-1].parameters["next_level"].parameters["body"]
    named = {id(v.value) for v, level in zip(model.trainable_variables, levels, strict=True) if level == "level 2"}
    assert named == {id(v) for v in body.trainable_variables}
    plain = tfp_glow.FlowModel(tfp_glow.maf((3,), num_layers=1, hidden_sizes=(8,), seed=1), num_bits=None)
    assert set(level_statistics.parameter_levels(plain)) == {"flow"}


def test_a_flow_without_levels_has_one_level():
    x = tf.random.stateless_normal((5, 3), (0, 1))
    model = tfp_glow.FlowModel(tfp_glow.maf((3,), num_layers=2, hidden_sizes=(8,), seed=1), num_bits=None)
    latents, log_dets = level_statistics.decompose_by_level(model, x, (0, 0))
    np.testing.assert_allclose(latents["flow"], model.encode(x), atol=1e-6)
    assert list(log_dets) == ["flow"] and log_dets["flow"].shape == (5,)


def test_levels_reject_bad_arguments():
    multiscale = tfgb.Multiscale(tfgb.Squeeze((4, 4, 1)))
    with pytest.raises(ValueError, match=r"must have a shape that ends in \(4, 4, 1\)"):
        multiscale.inverse_by_level(tf.zeros((2, 4, 4, 3)))
    with pytest.raises(ValueError, match="`context` must be left out"):
        multiscale.inverse_by_level(tf.zeros((2, 4, 4, 1)), context=tf.zeros((2, 1)))
