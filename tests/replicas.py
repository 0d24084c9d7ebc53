# SPDX-License-Identifier: Apache-2.0
"""Trains a small flow on some logical devices and prints the losses as JSON; test_strategies compares them.

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
from trainers.optimization.nonfinite_steps import GuardedFlow
from trainers.training.training_loop import configure, training_batches

STEPS, BAD_STEP = 50, 20
PRESETS = {system: dataclasses.replace(
    presets.get(f"digits_{system}_smoke"), batch_size=16, epochs=1, steps_per_epoch=STEPS, warmup_epochs=0,
    schedule="constant", clip_norm=0.5, ema_momentum=0.9) for system in ("glow", "realnvp")}


def spoil(step, images):
    """Points instead of whole numbers; of one batch an image in the last quarter is NaN."""
    points = tf.cast(images, tf.float32) + 0.5
    bad = tf.cast(tf.equal(step, BAD_STEP), tf.float32) * tf.one_hot(14, 16)
    return tf.where(bad[:, None, None, None] > 0.0, np.nan, points)


def train(system, scope):
    """The loss of every step, the steps left out, and whether all replicas end with the same."""
    digits = data.load("digits")
    config = configure(f"digits_{system}_smoke", PRESETS[system], "digits", digits)
    with scope.scope():
        model = trained_models.build(config, GuardedFlow)
        trained_models.compile_model(model, config)
    model.initialize(next(iter(data.dataset(digits, "train", 64, shuffle=False, labels=False))))
    batches = training_batches(config, digits, 0)
    if system == "realnvp":
        batches = batches.enumerate().map(spoil)
    seen = []
    keep = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: model.reset_metrics(),
        on_train_batch_end=lambda batch, logs: seen.append(dict(logs)))
    model.fit(batches, shuffle=False, steps_per_epoch=STEPS, verbose=0, callbacks=[keep])
    variables = [*model.variables, *model.optimizer.variables]
    everywhere = [[part.numpy() for part in scope.experimental_local_results(v.value)] for v in variables]
    return {
        "losses": [logs["loss"] for logs in seen],
        "skipped": int(seen[-1]["skipped_steps"]),
        "replicas": len(everywhere[0]),
        "equal": all(np.array_equal(parts[0], part) for parts in everywhere for part in parts),
        "size": float(sum(np.abs(parts[0]).sum() for parts in everywhere)),
    }


if __name__ == "__main__":
    print(json.dumps(train(sys.argv[2], strategies.choose("mirrored", int(sys.argv[1])))))
