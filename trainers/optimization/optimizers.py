# SPDX-License-Identifier: Apache-2.0
"""`make_optimizer`: the optimizer of a preset with its learning rate schedule."""

from collections.abc import Mapping
from typing import Any

import keras

from .nonfinite_steps import SkippingOptimizer


class _SkippingAdam(SkippingOptimizer, keras.optimizers.Adam):
    pass


class _SkippingAdamax(SkippingOptimizer, keras.optimizers.Adamax):
    pass


_CLASSES = {"adam": _SkippingAdam, "adamax": _SkippingAdamax}


def make_optimizer(training: Mapping[str, Any], epochs: int, steps_per_epoch: int) -> SkippingOptimizer:
    """Creates the Adam or Adamax optimizer of a preset. It skips steps whose loss or gradient is not finite.

    The learning rate is a function of the number of the step. It grows linearly from 0 to `learning_rate` during the
    warm-up. Then it is constant, or decays to 0 along a cosine until the last step.

    Args:
      training: dict with the fields `optimizer`, `learning_rate`, `warmup_epochs`, `schedule`, `clip_norm` and
        `ema_momentum` of a `trainers.presets.Preset`. Other entries are ignored.
      epochs: int, number of epochs of the run, at least 1.
      steps_per_epoch: int, number of steps per epoch, at least 1.

    Returns:
      A Keras optimizer that is also a `SkippingOptimizer`.
    """
    rate, warmup = training["learning_rate"], training["warmup_epochs"] * steps_per_epoch
    # With alpha=1.0, the cosine decay starts and ends at the same value: it is constant.
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup else rate, warmup_target=rate if warmup else None, warmup_steps=warmup,
        decay_steps=max(1, epochs * steps_per_epoch - warmup), alpha=0.0 if training["schedule"] == "cosine" else 1.0)
    momentum = training["ema_momentum"]
    return _CLASSES[training["optimizer"]](
        schedule, global_clipnorm=training["clip_norm"],
        use_ema=momentum is not None, ema_momentum=0.99 if momentum is None else momentum)
