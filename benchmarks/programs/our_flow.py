# SPDX-License-Identifier: Apache-2.0
"""This package's flows: `python -m benchmarks.programs.our_flow TASK SETTINGS`, see `command_line`."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import tfp_glow
from benchmarks.programs.command_line import main
from benchmarks.programs.system import System
from tfp_glow.flows import config_from_dict
from tfp_glow.models.nonfinite_steps import StepGuard
from trainers.optimization.averaged_weights import averaged_weights
from trainers.optimization.optimizers import make_optimizer
from trainers.presets import Preset

# Options of presets that change images or noise; the peers do not have them.
SAME_IMAGES = {"num_bits": 8, "dequantization": "uniform", "flip": False, "pixel_noise": 0.0,
               "class_conditional": False, "crop": None, "resize": None}


def check(preset: Preset) -> Preset:
    """Returns a preset, or raises `ValueError` if it has other images, other noise or labels than the peers."""
    for name, value in SAME_IMAGES.items():
        if getattr(preset, name) != value:
            raise ValueError(f"preset: {name} must be {value}, as the peers have it; received {getattr(preset, name)}")
    return preset


def build(first: np.ndarray, seed: int = 0, divide: bool = False, preset: Mapping[str, Any] | None = None,
          **glow: Any) -> System:
    """Returns the system of a preset, or of a Glow under Adamax.

    Args:
      first: images that initialize the flow.
      seed: random seed of the weights.
      divide: True divides batches among cores, as `trainers.train` does; TensorFlow must not have run before.
      preset: fields of a `Preset`, or None.
      **glow: fields of a `GlowConfig`, without a preset.
    """
    if divide:
        tfp_glow.divide_batches_among_cores()
    chosen = check(Preset(**preset) if preset else Preset({"flow": "glow", "learn_top": False, **glow}, 1, 1))
    keras.utils.set_random_seed(seed)
    flow = {**chosen.flow, "image_shape": first.shape[1:], "num_bits": chosen.num_bits, "seed": seed}
    model = tfp_glow.FlowModel(config_from_dict(flow).build(), seed=seed, check_values=False)
    model.initialize(first)
    bijector, rate = model.distribution.bijector, tf.Variable(0.0)
    training = {**dataclasses.asdict(chosen), "warmup_epochs": 0, "schedule": "constant"}
    optimizer = make_optimizer(training, 1, 1) if preset else keras.optimizers.Adamax()
    optimizer.learning_rate = rate.read_value
    model.compile(optimizer)
    guard = StepGuard(optimizer)

    @tf.function(autograph=False)
    def update(images: tf.Tensor) -> tf.Tensor:  # What `model.train_step` does, without metrics.
        _, gradients, log_prob = model.loss_and_gradients(images, None, None, optimizer.scale_loss)
        guard.apply(tf.reduce_mean(log_prob), gradients, model.trainable_variables)
        return tf.reduce_mean(log_prob)

    def step(images: tf.Tensor, multiplier: float) -> float:
        rate.assign(multiplier * chosen.learning_rate)
        return update(images).numpy()

    variables = model.trainable_variables
    return System(
        sum(math.prod(v.shape) for v in variables), tf.constant, step,
        lambda images: model.log_prob(images).numpy(), lambda number: model.sample(number, seed=0).numpy(),
        lambda x: float(tf.reduce_max(tf.abs(bijector.forward(tf.identity(bijector.inverse(x))) - x))) / 256.0,
        lambda: sum(v.numpy().nbytes for v in [*variables, *optimizer.variables]), lambda: guard.skipped_steps.numpy(),
        lambda: averaged_weights(model),
        lambda path: tfp_glow.FlowModel(model.distribution).save(f"{path}.keras"))


if __name__ == "__main__":
    main(build)
