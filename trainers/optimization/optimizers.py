# SPDX-License-Identifier: Apache-2.0
"""`make_optimizer`: the optimizer of a preset with its learning rate schedule."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfp_glow._compat_keras import GradientSumOptimizer, MovingAverageOptimizer


class RunOptimizer(GradientSumOptimizer, MovingAverageOptimizer, keras.optimizers.Optimizer):
    """Optimizer mixin of a run: counts skipped steps, clips sums over replicas and averages the weights.

    List the mixin before a Keras optimizer: `class RunAdam(RunOptimizer, keras.optimizers.Adam)`.

    The momentum of the moving average of the weights grows: in step `t`, counted from 0, it is
    `min(ema_momentum, (1 + t) / (10 + t))`, and 0 in step 0. The average of a short run then covers about the last
    tenth of its steps, and not its initial weights.

    Attributes:
      average_is_better: bool, True if the moving average had fewer bits per dimension than the weights themselves in
        the last validation, or if the weights themselves were not validated. Default True.
      skipped_steps: number of skipped steps since the run began, an int64 variable that is saved with the optimizer.
        `tfp_glow.FlowModel` counts in it the steps whose loss or gradient is not finite.
    """

    average_is_better = True

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Creates the variables of the Keras optimizer, then the variable `skipped_steps`.

        Args:
          variables: the variables that the optimizer updates.
        """
        super().build(variables)
        self.skipped_steps = self.add_variable((), dtype="int64", name="skipped")

    def moving_average_momentum(self) -> tf.Tensor:
        """Returns the momentum of the moving average in this step, a float32 scalar."""
        step = tf.cast(self.iterations, tf.float32)
        return tf.where(step > 0.0, tf.minimum(self.ema_momentum, (1.0 + step) / (10.0 + step)), 0.0)

    def average_is_young(self) -> bool:
        """Returns True if the optimizer keeps a moving average whose momentum has not reached `ema_momentum` yet."""
        return self.use_ema and float(self.moving_average_momentum()) < np.float32(self.ema_momentum)


class _RunAdam(RunOptimizer, keras.optimizers.Adam):
    pass


class _RunAdamax(RunOptimizer, keras.optimizers.Adamax):
    pass


class _RunAdamW(RunOptimizer, keras.optimizers.AdamW):
    pass


_CLASSES = {"adam": _RunAdam, "adamax": _RunAdamax, "adamw": _RunAdamW}


def make_optimizer(training: Mapping[str, Any], epochs: int, steps_per_epoch: int) -> RunOptimizer:
    """Creates the optimizer of a preset: Adam, Adamax or AdamW.

    The learning rate is a function of the number of the step. It grows linearly from 0 to `learning_rate` during the
    warm-up. Then it is constant, or decays to 0 along a cosine until the last step. Before a cosine, the warm-up takes
    at most half of the steps.

    In each step, AdamW subtracts from each weight the fraction `weight_decay` of it, times the current learning rate
    divided by `learning_rate`.

    Args:
      training: dict with the fields `optimizer`, `learning_rate`, `warmup_epochs`, `schedule`, `clip_norm` and
        `ema_momentum` of a `trainers.presets.Preset`, and `beta_2` and `weight_decay` for AdamW. Other entries are
        ignored.
      epochs: int, number of epochs of the run, at least 1.
      steps_per_epoch: int, number of steps per epoch, at least 1.

    Returns:
      A Keras optimizer that is also a `RunOptimizer`.
    """
    rate, steps = training["learning_rate"], epochs * steps_per_epoch
    warmup = training["warmup_epochs"] * steps_per_epoch
    if training["schedule"] == "cosine":  # With a constant rate, a run may get more epochs, which must change no step.
        warmup = min(warmup, steps // 2)
    # With alpha=1.0, the cosine decay starts and ends at the same value: it is constant.
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup else rate, warmup_target=rate if warmup else None, warmup_steps=warmup,
        decay_steps=max(1, steps - warmup), alpha=0.0 if training["schedule"] == "cosine" else 1.0)
    momentum = training["ema_momentum"]
    name = training["optimizer"]
    # Keras multiplies the decay by the current learning rate, so it is relative to the highest one here.
    own = {"beta_2": training["beta_2"], "weight_decay": training["weight_decay"] / rate} if name == "adamw" else {}
    return _CLASSES[name](
        schedule, name=name, **own, global_clipnorm=training["clip_norm"],
        use_ema=momentum is not None, ema_momentum=0.99 if momentum is None else momentum)
