# SPDX-License-Identifier: Apache-2.0
"""Validation with the moving average of the weights, or with the weights themselves while the average is young."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow
from trainers.callbacks.averaged_weights import KeepTrainingWeights, ValidateWithAveragedWeights
from trainers.callbacks.checkpoint_saving import SaveCheckpoint
from trainers.optimization import optimizers
from trainers.optimization.averaged_weights import validated_weights
from trainers.runs import trained_models
from trainers.runs.checkpoints import Checkpoints
from trainers.runs.run_directory import RunDirectory

EVENTS = np.random.default_rng(0).normal(3.0, 1.0, (64, 2)).astype("float32")


def normal_model(learning_rate, momentum=0.999):
    """Returns a model of a normal distribution whose optimizer keeps a moving average."""
    model = tfp_glow.FlowModel(tfp.distributions.MultivariateNormalDiag(tf.Variable([0.0, 0.0]), [1.0, 1.0]))
    model.compile(optimizers.make_optimizer(
        {"optimizer": "adam", "learning_rate": learning_rate, "warmup_epochs": 0, "schedule": "constant",
         "ema_momentum": momentum, "clip_norm": None}, epochs=2, steps_per_epoch=20))
    return model


def fitted(model, checkpoints, epochs=1):
    batches = tf.data.Dataset.from_tensor_slices(EVENTS).batch(16)
    history = model.fit(
        batches.repeat(), steps_per_epoch=20, epochs=epochs, shuffle=False, verbose=0, validation_data=batches,
        callbacks=[ValidateWithAveragedWeights(batches), SaveCheckpoint(checkpoints), KeepTrainingWeights()])
    return history.history["val_bits_per_dim"]


@pytest.mark.parametrize(("learning_rate", "averaged"), [(0.05, False), (3.0, True)], ids=["steady", "noisy"])
def test_the_better_of_the_average_and_the_weights_is_validated(learning_rate, averaged, tmp_path):
    """With a small learning rate, the average lags behind the weights. With a large one, the weights are noisy."""
    run = RunDirectory(tmp_path)
    run.checkpoints.mkdir()
    checkpoints, model = Checkpoints(run.checkpoints), normal_model(learning_rate)
    (bits,) = fitted(model, checkpoints)
    own = model.bits_per_dim(EVENTS).numpy().mean()
    weights = [v.numpy() for v in model.trainable_variables]
    with validated_weights(model):
        assert model.bits_per_dim(EVENTS).numpy().mean() == pytest.approx(bits, rel=1e-5)
    model.optimizer.finalize_variable_values(model.trainable_variables)
    average = model.bits_per_dim(EVENTS).numpy().mean()
    assert bits == pytest.approx(min(own, average), rel=1e-5) and (average < own) == averaged

    (record,) = checkpoints.records()
    assert record["averaged"] == averaged and record["val_bits_per_dim"] == pytest.approx(bits)
    loaded = normal_model(learning_rate)
    trained_models.load_best(loaded, run)
    assert loaded.bits_per_dim(EVENTS).numpy().mean() == pytest.approx(bits, rel=1e-5)
    if not averaged:
        assert all(map(np.array_equal, weights, [v.numpy() for v in loaded.trainable_variables]))


def test_an_old_average_is_validated_alone(tmp_path, monkeypatch):
    model = normal_model(0.05, momentum=0.5)
    assert model.optimizer.average_is_young()
    calls, evaluate = [], model.evaluate
    monkeypatch.setattr(model, "evaluate", lambda *args, **kwargs: calls.append(kwargs) or evaluate(*args, **kwargs))
    fitted(model, Checkpoints(tmp_path))
    assert not model.optimizer.average_is_young() and len(calls) == 1 and model.optimizer.average_is_better
    assert not normal_model(0.05, momentum=None).optimizer.average_is_young()
