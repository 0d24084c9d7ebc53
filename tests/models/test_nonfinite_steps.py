# SPDX-License-Identifier: Apache-2.0
"""`FlowModel` skips training steps whose loss or gradient is not finite, with any Keras optimizer."""

import warnings
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow
from tfp_glow._compat_keras import GradientSumOptimizer
from tfp_glow.models.nonfinite_steps import SkippedStepsWarning, StepGuard

pytestmark = pytest.mark.matrix

RANDOM = np.random.default_rng(0)
POINTS = RANDOM.normal(size=(64, 2)).astype("float32")
BAD_STEP, BATCH_SIZE = 5, 8
SPOILED = np.where((np.arange(64) == BAD_STEP * BATCH_SIZE)[:, None], np.nan, POINTS).astype("float32")


def flow_model(optimizer="adamax", **arguments):
    """Returns a compiled model of a normal distribution, which is traced faster than a flow."""
    loc, scale = tf.Variable([0.5, 0.5], name="loc"), tf.Variable([1.0, 2.0], name="scale")
    model = tfp_glow.FlowModel(tfp.distributions.MultivariateNormalDiag(loc, scale))
    model.compile(optimizer, **arguments)
    return model


def batches(events):
    return tf.data.Dataset.from_tensor_slices(events).batch(BATCH_SIZE)


def train_on(model, events):
    """Runs one training step without the checks that `fit` and `train_on_batch` make of values."""
    model.make_train_function()
    return model.train_function(iter(tf.data.Dataset.from_tensors(events)))


def state(model):
    return [v.numpy() for v in (*model.variables, *model.optimizer.variables)]


OPTIMIZERS = {
    "adamax": lambda: keras.optimizers.Adamax(1e-2),
    "average": lambda: keras.optimizers.Adam(1e-2, use_ema=True, global_clipnorm=1.0),
    "accumulation": lambda: keras.optimizers.SGD(1e-2, gradient_accumulation_steps=2),
    "loss_scale": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(1e-2)),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_bad_batch_is_skipped_and_good_steps_do_not_change(name):
    model = flow_model(OPTIMIZERS[name]())
    with pytest.warns(SkippedStepsWarning, match="Skipped 1 training step whose loss or gradient was not finite"):
        history = model.fit(batches(SPOILED), verbose=0).history
    assert model.skipped_steps == 1 and all(np.isfinite(value).all() for value in state(model))
    assert np.isfinite([history["loss"], history["bits_per_dim"]]).all()
    # Two optimizers take another batch instead of the skipped one. For the others it counts as a step.
    assert int(model.optimizer.iterations) == {"accumulation": 7 // 2, "loss_scale": 7}.get(name, 8)

    guarded, plain = flow_model(OPTIMIZERS[name]()), flow_model(OPTIMIZERS[name](), skip_nonfinite=False)
    plain.set_weights(guarded.get_weights())
    logs = [each.fit(batches(POINTS), verbose=0).history for each in (guarded, plain)]
    assert logs[0] == logs[1] and all(map(np.array_equal, state(guarded), state(plain)))
    assert plain.skipped_steps == 0
    if name != "loss_scale":  # it skips by itself
        plain.fit(batches(SPOILED), verbose=0)
        assert not all(np.isfinite(value).all() for value in state(plain))


def test_a_skipped_step_leaves_everything_else_unchanged():
    model = tfp_glow.FlowModel(tfp_glow.maf((2,), num_layers=1, hidden_sizes=(4,), batch_norm=True, seed=0))
    model.compile(OPTIMIZERS["average"]())
    model.initialize(POINTS)
    initial = [v.numpy() for v in model.trainable_variables]
    train_on(model, np.full((4, 2), np.inf, "float32"))  # The average starts with the initial weights.
    model.optimizer.finalize_variable_values(model.trainable_variables)
    assert all(map(np.array_equal, initial, [v.numpy() for v in model.trainable_variables]))
    train_on(model, POINTS)
    before, counted = state(model), [v.numpy() for v in model.metrics_variables]
    for spoiled in (SPOILED, np.full((1, 2), 1e25, "float32")):  # the squared norm of the gradient overflows
        train_on(model, spoiled)
    changed = [not np.array_equal(a, b) for a, b in zip(before, state(model), strict=True)]
    assert sum(changed) == 1 and int(model.optimizer.iterations) == 4 and model.skipped_steps == 3
    assert counted == [v.numpy() for v in model.metrics_variables]


def test_metrics_are_nan_while_all_steps_are_skipped():
    model = flow_model()
    model.initialize(POINTS)
    for _ in range(2):
        logs = train_on(model, SPOILED)
        assert np.isnan([logs["loss"], logs["bits_per_dim"]]).all()
    with pytest.warns(SkippedStepsWarning, match="Skipped 2 training steps"):
        model.reset_metrics()
    with warnings.catch_warnings():
        warnings.simplefilter("error", SkippedStepsWarning)
        model.fit(batches(POINTS), verbose=0)


def test_compiled_models_load_with_their_setting(tmp_path):
    for skips in (True, False):
        model = tfp_glow.FlowModel(tfp_glow.nice((2,), num_couplings=1, hidden_sizes=(4,), seed=0))
        model.compile("adam", skip_nonfinite=skips)
        model.fit(POINTS, verbose=0)
        model.save(tmp_path / "model.keras")
        with zipfile.ZipFile(tmp_path / "model.keras") as archive:  # The default has no entry, as in older files.
            assert (b"skip_nonfinite" in archive.read("config.json")) != skips
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        assert all(map(np.array_equal, state(model), state(loaded)))
        train_on(loaded, SPOILED)
        assert loaded.skipped_steps == skips and all(np.isfinite(value).all() for value in state(loaded)) == skips


class SummingSGD(GradientSumOptimizer, keras.optimizers.SGD):
    """Sums gradients over replicas before it clips them."""


@pytest.mark.parametrize("optimizer", [
    lambda: keras.optimizers.Adam(1e-2, use_ema=True), lambda: SummingSGD(1e-2, global_clipnorm=1.0),
    OPTIMIZERS["loss_scale"]], ids=["adam", "summing", "loss_scale"])
def test_all_replicas_skip_together(optimizer):
    """Only the second replica gets the NaN."""
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], tf.distribute.ReductionToOneDevice())
    with strategy.scope():
        model = flow_model(optimizer())
    model.fit(batches(POINTS[:8]), verbose=0)
    before = [v.numpy() for v in model.variables]
    spoiled = POINTS[:8].copy()
    spoiled[6] = np.nan
    model.train_function(iter(strategy.experimental_distribute_dataset(tf.data.Dataset.from_tensors(spoiled))))
    assert model.skipped_steps == 1 and all(map(np.array_equal, before, [v.numpy() for v in model.variables]))
    model.fit(batches(POINTS), verbose=0)
    assert model.skipped_steps == 1 and all(np.isfinite(v.numpy()).all() for v in model.variables)
    for variable in model.trainable_variables:
        one, two = (value.numpy() for value in strategy.experimental_local_results(variable.value))
        assert np.array_equal(one, two) and not np.array_equal(one, before[0])


def test_an_optimizer_may_hold_the_count():
    optimizer = keras.optimizers.SGD(1e-2)
    optimizer.skipped_steps = tf.Variable(7, dtype=tf.int64)
    model = flow_model(optimizer)
    model.initialize(POINTS)
    train_on(model, SPOILED)
    assert StepGuard(optimizer).skipped_steps is optimizer.skipped_steps and model.skipped_steps == 8
