# SPDX-License-Identifier: Apache-2.0
"""This package's flows, with the optimizer, the batch size and the averaging of weights of one of its presets; on each
core a part of the batch, if the settings say so.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import dataclasses
import math

import keras
import tensorflow as tf

import tfp_glow
from benchmarks.budget.child import parse_arguments, run
from benchmarks.budget.loop import System
from tfp_glow.flows import config_from_dict
from trainers.optimization.optimizers import averaged_weights, make_optimizer
from trainers.presets import Preset

# What the peers do not have: the comparison is of flows on the same images with the same noise.
SAME = {"num_bits": 8, "dequantization": "uniform", "flip": False, "pixel_noise": 0.0, "class_conditional": False,
        "crop": None, "resize": None}


def check(preset):
    """Raises `ValueError` if a preset would have other images, other noise or labels."""
    for name, value in SAME.items():
        if getattr(preset, name) != value:
            raise ValueError(f"preset: {name} must be {value}, as the peers have it; got {getattr(preset, name)}")


def build(first, seed, preset, num_parts=1):
    """The `System` of a preset; with parts, see `tfp_glow.in_parts`, in a process of one thread an operation."""
    check(preset)
    keras.utils.set_random_seed(seed)
    flow = {**preset.flow, "image_shape": first.shape[1:], "num_bits": preset.num_bits, "seed": seed}
    model = tfp_glow.FlowModel(config_from_dict(flow).build(), seed=seed)
    model.initialize(first)
    rate = tf.Variable(0.0)
    optimizer = make_optimizer({**dataclasses.asdict(preset), "warmup_epochs": 0, "schedule": "constant"}, 1, 1)
    optimizer.learning_rate = rate.read_value
    model.compile(optimizer)

    def parts_of(images):
        return math.gcd(num_parts, len(images))  # Not every number of cores divides every batch.

    def loss_and_gradients(images):
        with tf.GradientTape() as tape:
            log_prob = model(images, training=True)
            loss = optimizer.scale_loss(model.compute_loss(y_pred=log_prob))
        return tf.reduce_mean(log_prob), tape.gradient(loss, model.trainable_variables)

    @tf.function
    def update(images):
        log_prob, gradients = tfp_glow.in_parts(loss_and_gradients, images, parts_of(images), "mean")
        optimizer.apply(gradients)
        return log_prob

    @tf.function
    def density(images):
        return tfp_glow.in_parts(model.distribution.log_prob, images, parts_of(images))

    def step(images, multiplier):
        rate.assign(multiplier * preset.learning_rate)
        return update(tf.constant(images)).numpy()

    return System(sum(math.prod(v.shape) for v in model.trainable_variables), step,
                  lambda images: density(tf.constant(images)).numpy(), lambda: optimizer.skipped.numpy(),
                  lambda: averaged_weights(model))


if __name__ == "__main__":
    arguments = parse_arguments(__doc__)
    chosen = Preset(**arguments.settings["fields"])
    parts = arguments.settings.get("num_parts", 1)
    run(arguments, lambda first, seed: build(first, seed, chosen, parts), chosen.batch_size)
