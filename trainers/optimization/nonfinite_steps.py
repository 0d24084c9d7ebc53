# SPDX-License-Identifier: Apache-2.0
"""Skips training steps whose loss or gradient is not finite."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

import tfp_glow
from tfp_glow._compat_keras import GradientSumOptimizer


class SkippingOptimizer(GradientSumOptimizer, keras.optimizers.Optimizer):
    """Optimizer mixin that skips each step whose loss or gradient is not finite.

    List the mixin before a Keras optimizer: `class SkippingAdam(SkippingOptimizer, keras.optimizers.Adam)`.

    A skipped step does not change the weights, their moving average or the other variables of the Keras optimizer,
    with one exception: `iterations` grows by 1. The learning rate, the noise and the order of the data depend on
    `iterations`, so they are the same as without the skip. If the loss or the gradient of one replica is not finite,
    all replicas skip the step.

    The mixin also changes the clipping of gradients. With several replicas, a Keras optimizer clips the gradients of
    each replica and then sums them. This class sums the gradients over replicas and then clips the sums. Therefore
    `global_clipnorm` bounds the norm of the gradient of the whole batch, for any number of replicas.

    Attributes:
      skipped: number of skipped steps since the run began, an int64 variable that is saved with the optimizer.
    """

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Creates the variables of the Keras optimizer, then the variable `skipped`.

        Args:
          variables: the variables that the optimizer updates.
        """
        super().build(variables)
        self.skipped = self.add_variable((), dtype="int64", name="skipped")

    def scale_loss(self, loss: tf.Tensor) -> tf.Tensor:
        """Scales the loss as Keras does. A loss that is not finite is also multiplied by NaN: its gradient becomes NaN.

        Args:
          loss: scalar, the loss of this replica.

        Returns:
          A scalar, the loss whose gradient Keras computes.
        """
        nan = tf.constant(math.nan, loss.dtype)
        return super().scale_loss(loss) * tf.where(tf.math.is_finite(loss), tf.ones_like(loss), nan)

    def apply(self, grads: Sequence[tf.Tensor], trainable_variables: Sequence[keras.Variable] | None = None) -> None:
        """Sums the gradients over all replicas and updates the variables with the sums, or skips the step.

        If the global norm of the sums is finite, the method clips the sums and updates the variables as Keras does.
        Otherwise it skips the step: it does not change the variables and adds 1 to `skipped` and to `iterations`.

        Args:
          grads: gradients of the loss of this replica, one tensor per variable, not clipped.
          trainable_variables: the variables to update, in the order of `grads`. Default None: the variables that
            `build` received.
        """
        variables = list(self.optimized_variables() if trainable_variables is None else trainable_variables)
        grads = self.sum_over_replicas(grads, variables)
        finite = tf.math.is_finite(tf.linalg.global_norm(grads))
        tf.distribute.get_replica_context().merge_call(self._apply_or_skip, (finite, grads), {"variables": variables})

    def _apply_or_skip(self, strategy: tf.distribute.Strategy, finite: Any, grads: Any, variables: Any) -> None:
        # The condition is outside the replicas, because an assignment waits for all replicas, and a branch inside one
        # replica cannot wait. All replicas have the same sums, so the condition of the first replica is used for all.
        def apply():
            strategy.extended.call_for_each_replica(super(SkippingOptimizer, self).apply, (grads, variables))

        def skip():
            strategy.extended.call_for_each_replica(self._skip)

        tf.cond(strategy.experimental_local_results(finite)[0], apply, skip)

    def _skip(self) -> None:
        # Keras starts the moving average with the weights after the first step. If that step is skipped, the average
        # starts with the initial weights.
        if self.use_ema:
            tf.cond(tf.equal(self.iterations, 0), self.start_moving_average, lambda: None)
        self.skipped.assign_add(1)
        self.iterations.assign_add(1)


class SkippingFlowModel(tfp_glow.FlowModel):
    """A `FlowModel` whose metrics and running statistics do not change in a skipped step.

    Compile the model with a `SkippingOptimizer`, which skips steps whose loss or gradient is not finite. The metrics of
    an epoch, such as `bits_per_dim`, are then means over the steps that are not skipped. While all steps of an epoch so
    far are skipped, the metrics in the logs are NaN.

    The logs of each step have one more entry, `skipped_steps`: the number of skipped steps since the run began.
    """

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Trains on one batch. If the step is skipped, it restores the metrics and the running statistics.

        Args:
          data: events, or a tuple of events and labels, as Keras passes them.

        Returns:
          The logs: a dict from the name of each metric, and from `"skipped_steps"`, to a scalar.
        """
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
