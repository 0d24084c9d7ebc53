# SPDX-License-Identifier: Apache-2.0
"""The optimizer of a preset, and the moving average of the weights that it keeps."""

import contextlib

import keras

from trainers.optimization.nonfinite_steps import GuardedOptimizer


class _GuardedAdam(GuardedOptimizer, keras.optimizers.Adam):
    pass


class _GuardedAdamax(GuardedOptimizer, keras.optimizers.Adamax):
    pass


_CLASSES = {"adam": _GuardedAdam, "adamax": _GuardedAdamax}


def make_optimizer(training, epochs, steps_per_epoch):
    """A guarded Keras optimizer whose learning rate is a function of its step count alone.

    Args:
      training: the fields of a `Preset`, as a dict.
      epochs: how many epochs there will be; the cosine schedule ends with them.
      steps_per_epoch: steps of one epoch.

    Returns:
      A `keras.optimizers.Optimizer`, and a `trainers.guard.GuardedOptimizer`.
    """
    rate, warmup = training["learning_rate"], training["warmup_epochs"] * steps_per_epoch
    # A cosine that falls to 1.0 of where it began is a constant.
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup else rate, warmup_target=rate if warmup else None, warmup_steps=warmup,
        decay_steps=max(1, epochs * steps_per_epoch - warmup), alpha=0.0 if training["schedule"] == "cosine" else 1.0)
    momentum = training["ema_momentum"]
    return _CLASSES[training["optimizer"]](
        schedule, global_clipnorm=training["clip_norm"],
        use_ema=momentum is not None, ema_momentum=0.99 if momentum is None else momentum)


@contextlib.contextmanager
def averaged_weights(model):
    """A context in which the model has the optimizer's moving average as weights, if it keeps one."""
    # Keras has a callback for this, SwapEMAWeights, but it swaps by adding and subtracting and so rounds the weights.
    if not model.optimizer.use_ema:
        yield
        return
    own = [keras.ops.convert_to_numpy(v) for v in model.trainable_variables]
    model.optimizer.finalize_variable_values(model.trainable_variables)
    try:
        yield
    finally:
        for variable, value in zip(model.trainable_variables, own, strict=True):
            variable.assign(value)
