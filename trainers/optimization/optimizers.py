# SPDX-License-Identifier: Apache-2.0
"""The optimizers of presets, with their learning rate schedules."""

from collections.abc import Mapping
from typing import Any

import keras

from trainers.optimization.nonfinite_steps import SkippingOptimizer


class _SkippingAdam(SkippingOptimizer, keras.optimizers.Adam):
    pass


class _SkippingAdamax(SkippingOptimizer, keras.optimizers.Adamax):
    pass


_CLASSES = {"adam": _SkippingAdam, "adamax": _SkippingAdamax}


def make_optimizer(training: Mapping[str, Any], epochs: int, steps_per_epoch: int) -> SkippingOptimizer:
    """Returns a Keras optimizer that skips non-finite steps and whose learning rate depends on the step count only.

    Args:
      training: fields of a `trainers.presets.Preset`: `optimizer`, `learning_rate`, `warmup_epochs`, `schedule`,
        `clip_norm` and `ema_momentum`. Other entries are ignored.
      epochs: number of epochs of the run; the cosine schedule ends with the last one.
      steps_per_epoch: number of steps per epoch.
    """
    rate, warmup = training["learning_rate"], training["warmup_epochs"] * steps_per_epoch
    # With alpha=1.0, the cosine decay ends at its initial value: it is constant.
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup else rate, warmup_target=rate if warmup else None, warmup_steps=warmup,
        decay_steps=max(1, epochs * steps_per_epoch - warmup), alpha=0.0 if training["schedule"] == "cosine" else 1.0)
    momentum = training["ema_momentum"]
    return _CLASSES[training["optimizer"]](
        schedule, global_clipnorm=training["clip_norm"],
        use_ema=momentum is not None, ema_momentum=0.99 if momentum is None else momentum)
