# SPDX-License-Identifier: Apache-2.0
"""Training skips batches with non-finite values. It does not skip unusual finite batches."""

import contextlib
import dataclasses
import io

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfp_glow
from trainers import presets, train
from trainers.callbacks.checkpoint_saving import SaveCheckpoint
from trainers.optimization import optimizers
from trainers.optimization.optimizers import RunOptimizer
from trainers.runs.run_directory import RunDirectory
from trainers.training import training_loop

RANDOM = np.random.default_rng(0)
POINTS = RANDOM.uniform(0, 256, (8, 8, 8, 1)).astype("float32")
BAD = np.where(np.arange(8)[:, None, None, None] == 3, np.nan, POINTS).astype("float32")
FLOWS = {
    "glow": lambda channels: tfp_glow.glow((8, 8, channels), num_levels=2, num_steps=2, width=8, seed=0),
    "realnvp": lambda channels: tfp_glow.realnvp((8, 8, channels), num_scales=2, num_blocks=1, width=4, seed=0),
}


def skipping_model(system, channels=1):
    """Returns a small model whose optimizer keeps a moving average and clips gradients."""
    model = tfp_glow.FlowModel(FLOWS[system](channels))
    model.compile(optimizers.make_optimizer(
        {"optimizer": {"glow": "adamax", "realnvp": "adam"}[system], "learning_rate": 1e-3, "warmup_epochs": 0,
         "schedule": "constant", "ema_momentum": 0.9, "clip_norm": 1.0}, epochs=10, steps_per_epoch=10))
    return model


def state(model):
    """Returns the values of all variables of a model and its optimizer by path, except metrics."""
    return {v.path: v.numpy() for v in (*model.variables, *model.optimizer.variables)}


def train_on(model, events):
    """Runs one training step without the checks that `train_on_batch` makes of values.

    The graph does not know the number of events, so it is traced once.
    """
    model.make_train_function()
    batches = tf.data.Dataset.from_tensor_slices(events).batch(len(events))
    return {name: float(value) for name, value in model.train_function(iter(batches)).items()}


# Bad batches.


@pytest.mark.parametrize("system", [pytest.param(f, marks=pytest.mark.slow) if "realnvp" in f else f for f in FLOWS])
def test_a_bad_batch_changes_only_the_step_counts(system):
    model = skipping_model(system)
    model.initialize(POINTS)
    # The moving average starts with the weights, even if the first step is skipped.
    logs = train_on(model, BAD)
    assert np.isnan([logs["loss"], logs["bits_per_dim"]]).all() and model.skipped_steps == 1
    started = state(model)
    model.optimizer.finalize_variable_values(model.trainable_variables)
    assert all(np.array_equal(value, started[path]) for path, value in state(model).items())

    good = train_on(model, POINTS)
    before = state(model)
    moved = {path.split("/")[-1] for path, value in before.items() if not np.array_equal(value, started[path])}
    assert "iteration" in moved and len(moved) > 10
    assert train_on(model, BAD) == good and model.skipped_steps == 2
    after = state(model)
    changed = {path.split("/")[-1] for path, value in after.items() if not np.array_equal(value, before[path])}
    assert changed == {"iteration", "skipped"} and int(model.optimizer.iterations) == 3

    assert train_on(model, POINTS) != good and model.skipped_steps == 2
    assert all(np.isfinite(value).all() for value in state(model).values())


def test_clipping_is_by_the_global_norm():
    """The length of a gradient descent step is the learning rate times the clipped norm."""
    class RunSGD(RunOptimizer, keras.optimizers.SGD):
        pass

    variables = [keras.Variable(np.zeros(3, "float32")), keras.Variable(0.0)]
    optimizer = RunSGD(0.5, global_clipnorm=2.0)
    optimizer.build(variables)
    optimizer.apply([tf.constant([3.0, 0.0, 0.0]), tf.constant(4.0)], variables)
    np.testing.assert_allclose([*variables[0].numpy(), variables[1].numpy()], [-0.6, 0.0, 0.0, -0.8], rtol=1e-6)


def test_the_momentum_of_the_moving_average_grows():
    """The average of a short run follows the weights; the average of a long run has the momentum of the preset."""
    optimizer = optimizers.make_optimizer(
        {"optimizer": "adam", "learning_rate": 1.0, "warmup_epochs": 0, "schedule": "constant", "ema_momentum": 0.999,
         "clip_norm": None}, epochs=1, steps_per_epoch=1)
    weight = keras.Variable(0.0)
    optimizer.build([weight])
    average, path = 0.0, []
    for step in range(40):
        optimizer.apply([tf.constant(-1.0)], [weight])
        momentum = min(0.999, (1 + step) / (10 + step)) if step else 0.0
        average = momentum * average + (1 - momentum) * float(weight)
        path.append(float(weight))
    optimizer.finalize_variable_values([weight])
    assert float(weight) == pytest.approx(average, rel=1e-4) and float(weight) > 0.8 * path[-1]
    for step, expected in ((8990, 0.999 - 1e-6), (8991, 0.999), (10**6, 0.999)):
        optimizer.iterations.assign(step)
        assert float(optimizer.moving_average_momentum()) == pytest.approx(expected, abs=2e-6)


# Runs with bad batches. They train on vectors, because integer images cannot hold NaN.


@pytest.fixture
def bad_steps(monkeypatch):
    """Returns an empty set of step numbers. Runs of the preset `toy_tiny` get a NaN batch at each step in the set."""
    toy = dataclasses.replace(
        presets.get("toy_realnvp_smoke"), batch_size=128, epochs=3, steps_per_epoch=100, ema_momentum=0.9)
    monkeypatch.setitem(presets.PRESETS, "toy_tiny", toy)
    steps, batches = set(), training_loop.training_batches

    def spoil(config, data, first):
        bad = tf.constant(sorted(steps), tf.int64)
        return batches(config, data, first).enumerate(first).map(
            lambda step, events: tf.where(tf.reduce_any(step == bad), tf.constant(np.nan), events))

    monkeypatch.setattr(training_loop, "training_batches", spoil)
    return steps


def train_toy(directory, *flags):
    """Trains `toy_tiny` and returns the exit code and the standard error."""
    stderr = io.StringIO()
    with contextlib.redirect_stderr(stderr):
        code = train.main(["train", "--preset=toy_tiny", "--data=toy:eight_gaussians", f"--output_dir={directory}",
                           "--notensorboard", "--noreport", *flags])
    return code, stderr.getvalue()


@pytest.mark.slow
def test_three_bad_batches_hardly_change_a_run(bad_steps, tmp_path, monkeypatch, capsys):
    clean, bad, resumed = (RunDirectory(tmp_path / name) for name in ("clean", "bad", "resumed"))
    assert train_toy(clean) == (0, "")
    bad_steps |= {57, 130, 131}
    assert train_toy(bad) == (0, "")
    assert [line["skipped_steps"] for line in bad.history()] == [1, 3, 3]
    assert bad.result()["skipped_steps"] == 3 and clean.result()["skipped_steps"] == 0
    for one, other in zip(clean.history(), bad.history(), strict=True):
        for key in ("loss", "bits_per_dim", "val_bits_per_dim"):
            assert one[key] == pytest.approx(other[key], abs=0.02)
    assert "3 skipped" in capsys.readouterr().out

    def stop(self, epoch, logs=None):
        save(self, epoch, logs)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        save = SaveCheckpoint.on_epoch_end
        patch.setattr(SaveCheckpoint, "on_epoch_end", stop)
        assert train_toy(resumed)[0] == 130
    assert train_toy(resumed) == (0, "")
    for one, other in zip(bad.history(), resumed.history(), strict=True):
        for key in ("loss", "val_bits_per_dim", "skipped_steps"):
            assert one[key] == other[key]


def test_too_many_bad_batches_stop_the_run_and_it_can_resume(bad_steps, tmp_path):
    run = RunDirectory(tmp_path / "run")
    bad_steps |= {*range(40, 44), *range(145, 200)}
    code, error = train_toy(run, "--max_skipped=5")
    assert code == 1 and error == (
        "error: training: loss or gradient was not finite in 5 steps in a row, up to step 150; the last good "
        f"checkpoint is {run.checkpoints / 'epoch_0001.weights.h5'}; train again in another directory with a lower "
        "--learning_rate or --clip_norm\n")
    assert [line["skipped_steps"] for line in run.history()] == [4]
    bad_steps.clear()
    assert train_toy(run) == (0, "")
    assert [line["skipped_steps"] for line in run.history()] == [4, 4, 4]


def test_a_run_without_a_good_step_stops(bad_steps, tmp_path):
    bad_steps |= set(range(300))
    _, error = train_toy(tmp_path, "--max_skipped=3")
    assert "3 steps in a row, up to step 3; there is no good checkpoint yet" in error


# Unusual batches.

UNUSUAL = {
    "black": np.zeros((8, 8, 8, 2), "uint8"),
    "constant_channel": np.concatenate(
        [np.full((8, 8, 8, 1), 7), RANDOM.integers(0, 256, (8, 8, 8, 1))], axis=-1).astype("uint8"),
    "extremes": (RANDOM.integers(0, 2, (8, 8, 8, 2)) * 255).astype("uint8"),
    "one": RANDOM.integers(0, 256, (1, 8, 8, 2), "uint8"),
    "one_white": np.full((1, 8, 8, 2), 255, "uint8"),
}


@pytest.mark.parametrize(("system", "dtype"), [  # floats are not dequantized
    ("glow", "float32"), pytest.param("realnvp", "uint8", marks=pytest.mark.slow)])
def test_unusual_batches_are_not_skipped(system, dtype):
    """Initializes a model on one unusual batch, then trains and evaluates it on all of them."""
    model = skipping_model(system, channels=2)
    fresh, everything = model.get_weights(), np.concatenate([*UNUSUAL.values()]).astype(dtype)
    for first in ("black", "constant_channel", "one_white"):
        model.set_weights(fresh)
        model.initialize(UNUSUAL[first].astype(dtype))
        assert model.is_initialized and np.isfinite(model.bits_per_dim(everything)).all(), first
        for name in [*UNUSUAL] * 2:
            logs = train_on(model, UNUSUAL[name].astype(dtype))
            assert model.skipped_steps == 0 and np.isfinite(logs["loss"]), (first, name)
        assert np.isfinite(model.bits_per_dim(everything)).all(), first
