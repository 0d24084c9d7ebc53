# SPDX-License-Identifier: Apache-2.0
"""Steps with a non-finite loss or gradient: they are skipped, and too many in a row stop the run."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

import tfp_glow
from tfp_glow._compat_keras import GradientSumOptimizer
from trainers.runs.checkpoints import Checkpoints


class SkippingOptimizer(GradientSumOptimizer, keras.optimizers.Optimizer):
    """Optimizer mixin that skips each step whose loss or gradient is not finite.

    Mix it in before a Keras optimizer: `class SkippingAdam(SkippingOptimizer, keras.optimizers.Adam)`.

    A skipped step leaves the weights, the optimizer's slots and the moving average of the weights unchanged. It is
    skipped on all replicas if the loss or the gradient of one replica is not finite. `iterations` counts skipped steps,
    because the learning rate, the noise and the order of the data are functions of it.

    The gradients are summed over replicas before they are clipped, whereas Keras sums them after clipping. So
    `global_clipnorm` bounds the norm of the whole batch's gradient for any number of replicas.

    Attributes:
      skipped: number of skipped steps, an int64 variable that is saved with the optimizer.
    """

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Creates the optimizer's variables, and `skipped` after them."""
        super().build(variables)
        self.skipped = self.add_variable((), dtype="int64", name="skipped")

    def scale_loss(self, loss: tf.Tensor) -> tf.Tensor:
        """Scales the loss as Keras does, and multiplies a non-finite loss by NaN, so that its gradient is NaN too."""
        nan = tf.constant(math.nan, loss.dtype)
        return super().scale_loss(loss) * tf.where(tf.math.is_finite(loss), tf.ones_like(loss), nan)

    def apply(self, grads: Sequence[tf.Tensor], trainable_variables: Sequence[keras.Variable] | None = None) -> None:
        """Updates the variables if the norm of the summed gradient is finite; otherwise only counts the step.

        Args:
          grads: this replica's gradients, one per variable.
          trainable_variables: the variables; by default those that the optimizer was built for.
        """
        variables = list(self.optimized_variables() if trainable_variables is None else trainable_variables)
        grads = self.sum_over_replicas(grads, variables)
        finite = tf.math.is_finite(tf.linalg.global_norm(grads))
        tf.distribute.get_replica_context().merge_call(self._apply_or_skip, (finite, grads), {"variables": variables})

    def _apply_or_skip(self, strategy: tf.distribute.Strategy, finite: Any, grads: Any, variables: Any) -> None:
        # The condition is outside the replicas: the assignment of a variable waits for all replicas, which a branch
        # inside a replica cannot do. All replicas have the same sum, so the first one decides.
        def apply():
            strategy.extended.call_for_each_replica(super(SkippingOptimizer, self).apply, (grads, variables))

        def skip():
            strategy.extended.call_for_each_replica(self._skip)

        tf.cond(strategy.experimental_local_results(finite)[0], apply, skip)

    def _skip(self) -> None:
        # Keras starts the moving average with the weights after step 0. If that step is skipped, it starts with the
        # initial weights.
        if self.use_ema:
            tf.cond(tf.equal(self.iterations, 0), self.start_moving_average, lambda: None)
        self.skipped.assign_add(1)
        self.iterations.assign_add(1)


class SkippingFlowModel(tfp_glow.FlowModel):
    """A `FlowModel` whose state does not change in a step that its `SkippingOptimizer` skips.

    The metrics do not change, so that the bits per dimension of an epoch are the mean over the steps that are not
    skipped. Before the first such step of an epoch, the logged metrics are NaN. The running statistics of batch
    normalization do not change either.

    The logs of a training step have one more entry, `skipped_steps`: the number of skipped steps since the run began.
    """

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Trains on one batch and undoes the changes of a skipped step; returns the logs."""
        restored = [v for v in (*self.non_trainable_variables, *self.metrics_variables) if "float" in v.dtype]
        before = [tf.identity(v) for v in restored]
        skipped = tf.identity(self.optimizer.skipped)
        super().train_step(data)
        is_applied = tf.equal(self.optimizer.skipped, skipped)
        for variable, value in zip(restored, before, strict=True):
            variable.assign(tf.where(is_applied, variable, value))
        bits_metric = next(metric for metric in self.metrics if metric.name == "bits_per_dim")
        is_empty = tf.equal(bits_metric.count, 0.0)
        logs = {name: tf.where(is_empty, math.nan, value) for name, value in self.get_metrics_result().items()}
        return {**logs, "skipped_steps": tf.broadcast_to(self.optimizer.skipped, tf.shape(logs["loss"]))}


class StopAfterSkippedSteps(keras.callbacks.Callback):
    """Stops training with an error after a number of skipped steps in a row.

    Args:
      limit: number of skipped steps in a row that stops the run.
      checkpoints: the checkpoints of the run; the error names the last good one.

    Raises:
      ValueError: from `fit`, if `limit` steps in a row are skipped.
    """

    def __init__(self, limit: int, checkpoints: Checkpoints):
        super().__init__()
        self._limit, self._checkpoints = limit, checkpoints

    def on_train_begin(self, logs: Any = None) -> None:
        """Reads the number of steps that were skipped earlier in the run."""
        self._skipped, self._in_a_row = int(self.model.optimizer.skipped.numpy()), 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Counts the skipped steps in a row."""
        self._in_a_row = self._in_a_row + 1 if logs["skipped_steps"] > self._skipped else 0
        self._skipped = logs["skipped_steps"]
        if self._in_a_row >= self._limit:
            raise ValueError(
                f"training: loss or gradient was not finite in {self._in_a_row} steps in a row, up to step "
                f"{int(self.model.optimizer.iterations.numpy())}; {self._last_good()}; try a lower --learning_rate or "
                "--clip_norm, in another directory")

    def _last_good(self) -> str:
        path = self._checkpoints.last_good()
        return f"the last good checkpoint is {path}" if path else "there is no good checkpoint yet"
