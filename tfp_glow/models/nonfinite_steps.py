# SPDX-License-Identifier: Apache-2.0
"""`StepGuard`: skips training steps whose loss or gradient is not finite."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfp_glow._compat_keras import GradientSumOptimizer, start_moving_average


class SkippedStepsWarning(UserWarning):
    """Category of the warning that `FlowModel.fit` gives after skipped steps."""


class StepGuard:
    """Runs training steps of a `FlowModel`, and skips each step whose loss or gradient is not finite.

    A skipped step does not change the weights, their moving average, the running statistics, the metrics or the other
    variables of the optimizer, with one exception: `iterations` grows by 1. The learning rate and the noise depend on
    `iterations`, so they are the same as without the skip. If the optimizer accumulates gradients, a skipped step does
    not change `iterations` either, and the next batch takes its place. If the loss or the gradient of one replica is
    not finite, all replicas skip the step. A gradient counts as not finite if its squared norm overflows float32.

    A `keras.optimizers.LossScaleOptimizer` skips steps itself while it searches its loss scale. The guard passes it all
    steps, and all replicas get a NaN gradient if one of them does. Only a loss that is not finite is counted.

    Args:
      optimizer: the Keras optimizer of the model, built. If it has a variable `skipped_steps`, the steps are counted in
        this variable, so that the count is saved with the optimizer.

    Attributes:
      skipped_steps: the number of skipped steps, an integer variable.
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer):
        self._optimizer = optimizer
        own = getattr(optimizer, "skipped_steps", None)
        self.skipped_steps = own if own is not None else tf.Variable(
            0, trainable=False, dtype=tf.int64, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)

    def train_step(self, model: keras.Model, data: Any) -> dict[str, tf.Tensor]:
        """Trains a model on one batch, as `keras.Model.train_step` does, or skips the step.

        Args:
          model: the model that the optimizer updates.
          data: one batch, as Keras passes it to `train_step`.

        Returns:
          A dict of the metric values by name, the means over the steps of the epoch that are not skipped. While all
          steps of the epoch are skipped, the values are NaN.
        """
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        restored = [v for v in (*model.non_trainable_variables, *model.metrics_variables) if "float" in v.dtype]
        before = [tf.identity(v) for v in restored]
        variables = model.trainable_variables
        loss, grads, y_pred = model.loss_and_gradients(x, y, sample_weight, lambda loss: (
            self._optimizer.scale_loss(loss) * _one_or_nan(tf.math.is_finite(loss), loss.dtype)))
        is_applied = self.apply(loss, grads, variables)
        loss_metric = next(metric for metric in model.metrics if metric.name == "loss")
        loss_metric.update_state(loss * tf.cast(_replicas(), loss.dtype), tf.shape(tf.nest.flatten(x)[0])[0])
        model.compute_metrics(x, y, y_pred, sample_weight)
        for variable, value in zip(restored, before, strict=True):
            variable.assign(tf.where(is_applied, variable, value))
        is_missing = ~is_applied & tf.equal(loss_metric.count, 0.0)
        return {name: tf.where(is_missing, tf.constant(math.nan, value.dtype), value)
                for name, value in model.get_metrics_result().items()}

    def apply(self, loss: tf.Tensor, grads: Sequence[Any], variables: Sequence[Any]) -> tf.Tensor:
        """Updates the variables, or skips the step.

        Args:
          loss: the loss of the batch on this replica, a float scalar.
          grads: the gradients, in the order of `variables`. If the loss is not finite, they must not be finite either.
          variables: the trainable variables of the model.

        Returns:
          Whether the step was applied, a boolean scalar.
        """
        optimizer, apply = self._optimizer, self._optimizer.apply
        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            is_applied = _on_all_replicas(tf.math.is_finite(loss))
            factor = _one_or_nan(is_applied & _on_all_replicas(optimizer.check_finite(grads)), tf.float32)
            apply([grad if grad is None else grad * tf.cast(factor, grad.dtype) for grad in grads], variables)
            self.skipped_steps.assign_add(tf.cast(~is_applied, self.skipped_steps.dtype))
            return is_applied
        if isinstance(optimizer, GradientSumOptimizer):
            grads, apply = optimizer.sum_over_replicas(grads, variables), optimizer.apply_sums
        is_finite = _on_all_replicas(tf.math.is_finite(_squared_norm(grads) * _replicas()**2))
        tf.distribute.get_replica_context().merge_call(
            functools.partial(self._apply_or_skip, apply), (is_finite, grads), {"variables": variables})
        return is_finite

    def _apply_or_skip(self, apply: Callable[..., None], strategy: tf.distribute.Strategy, is_finite: Any, grads: Any,
                       variables: Any) -> None:
        # The condition is outside the replicas, because an assignment waits for all replicas, and a branch inside one
        # replica cannot wait. The condition is the same in all replicas.
        tf.cond(strategy.experimental_local_results(is_finite)[0],
                lambda: strategy.extended.call_for_each_replica(apply, (grads, variables)),
                lambda: strategy.extended.call_for_each_replica(self._skip))

    def _skip(self) -> None:
        optimizer = self._optimizer
        # Keras starts the moving average with the weights after the first step. If that step is skipped, the average
        # starts with the initial weights.
        if optimizer.use_ema:
            tf.cond(tf.equal(optimizer.iterations, 0), lambda: start_moving_average(optimizer), lambda: None)
        self.skipped_steps.assign_add(1)
        if not optimizer.gradient_accumulation_steps:
            optimizer.iterations.assign_add(1)


def _squared_norm(grads: Sequence[Any]) -> tf.Tensor:
    """Computes half of the squared norm of all gradients together, in float32, or in float64 if all are float64."""
    if all(grad is None for grad in grads):
        return tf.zeros([])  # Keras raises an error.
    tensors = [grad.values if isinstance(grad, tf.IndexedSlices) else grad for grad in grads if grad is not None]
    dtype = tf.float64 if all(tensor.dtype == tf.float64 for tensor in tensors) else tf.float32
    return tf.add_n([tf.nn.l2_loss(tf.cast(tensor, dtype)) for tensor in tensors])


def _on_all_replicas(condition: tf.Tensor) -> tf.Tensor:
    """Returns True if a boolean scalar is True in all replicas."""
    if _replicas() == 1:
        return condition
    number = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tf.cast(condition, tf.float32))
    return tf.equal(number, tf.cast(_replicas(), tf.float32))


def _one_or_nan(condition: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    return tf.where(condition, tf.ones([], dtype), tf.constant(math.nan, dtype))


def _replicas() -> int:
    return tf.distribute.get_strategy().num_replicas_in_sync
