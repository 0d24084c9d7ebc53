# SPDX-License-Identifier: Apache-2.0
"""Trains a small flow on logical devices and prints the results as JSON, for test_strategies.py.

    python tests/replicas.py 2 glow
"""

import dataclasses
import json
import sys

import keras
import numpy as np
import tensorflow as tf

from trainers import data, presets
from trainers.distribute import strategies
from trainers.runs import trained_models
from trainers.runs.configuration import configure
from trainers.training import training_loop
from trainers.training.training_batches import training_batches

STEPS, BAD_STEP = 50, 20
PRESETS = {system: dataclasses.replace(
    presets.get(f"digits_{system}_smoke"), batch_size=16, epochs=1, steps_per_epoch=STEPS, warmup_epochs=0,
    schedule="constant", clip_norm=0.5, ema_momentum=0.9) for system in ("glow", "realnvp")}


def spoil(step, images):
    """Converts integers to floats at the bin centers. In step `BAD_STEP`, one image of the last quarter becomes NaN."""
    points = tf.cast(images, tf.float32) + 0.5
    bad = tf.cast(tf.equal(step, BAD_STEP), tf.float32) * tf.one_hot(14, 16)
    return tf.where(bad[:, None, None, None] > 0.0, np.nan, points)


def train(system, scope):
    """Trains a flow and returns the losses, the number of skipped steps, and whether all replicas are equal."""
    digits = data.load("digits")
    config = configure(f"digits_{system}_smoke", PRESETS[system], "digits", digits)
    model = training_loop.build_model(config, scope)
    with scope.scope():
        trained_models.compile_model(model, config)
    model.initialize(next(iter(data.dataset(digits, "train", 64, shuffle=False, labels=False))))
    batches = training_batches(config, digits, 0)
    if system == "realnvp":
        batches = batches.enumerate().map(spoil)
    logged = []
    keep = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: model.reset_metrics(),
        on_train_batch_end=lambda batch, logs: logged.append(dict(logs)))
    model.fit(batches, shuffle=False, steps_per_epoch=STEPS, verbose=0, callbacks=[keep])
    variables = [*model.variables, *model.optimizer.variables]
    per_replica = [[value.numpy() for value in scope.experimental_local_results(v.value)] for v in variables]
    return {
        "losses": [logs["loss"] for logs in logged],
        "skipped": int(logged[-1]["skipped_steps"]),
        "replicas": len(per_replica[0]),
        "equal": all(np.array_equal(values[0], value) for values in per_replica for value in values),
        "size": float(sum(np.abs(values[0]).sum() for values in per_replica)),
    }


if __name__ == "__main__":
    print(json.dumps(train(sys.argv[2], strategies.choose("mirrored", int(sys.argv[1])))))
