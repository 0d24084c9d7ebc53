# SPDX-License-Identifier: Apache-2.0
"""The guard: a step whose loss or gradient is not finite is left out, and many in a row stop the run."""

import math

import keras
import tensorflow as tf

import tfp_glow


class GuardedOptimizer:
    """Makes a Keras optimizer leave out a step whose loss or gradient is not finite: on all replicas, if on one.

    Mixed in before a `keras.optimizers.Optimizer`. Weights, slots and moving average are then as if the step had not
    been; `iterations` goes on, as the learning rate, the noise and the order of the data are functions of it.

    Gradients are added up over replicas before they are looked at, not after they are clipped as Keras does, so that
    `global_clipnorm` bounds the norm of the whole batch's gradient, however many replicas share the batch.

    Attributes:
      skipped: how many steps were left out, an int64 variable that is saved with the optimizer.
    """

    # `_all_reduce_sum_gradients` and `_update_model_variables_moving_average` are private to Keras 3 (pinned); it has
    # no public way to add gradients up earlier, or to start the moving average of the weights without a step.

    def build(self, variables):
        super().build(variables)
        self.skipped = self.add_variable((), dtype="int64", name="skipped")

    def scale_loss(self, loss):
        """Keras's; times NaN if the loss is not finite, so that the gradient is not, either."""
        nan = tf.constant(math.nan, loss.dtype)
        return super().scale_loss(loss) * tf.where(tf.math.is_finite(loss), tf.ones_like(loss), nan)

    def apply(self, grads, trainable_variables=None):
        """Keras's, unless the norm of the gradient is not finite."""
        variables = list(self._trainable_variables if trainable_variables is None else trainable_variables)
        grads = [grad for grad, _ in super()._all_reduce_sum_gradients(zip(grads, variables, strict=True))]
        finite = tf.math.is_finite(tf.linalg.global_norm(grads))
        tf.distribute.get_replica_context().merge_call(self._apply_or_skip, (finite, grads), {"variables": variables})

    def _all_reduce_sum_gradients(self, grads_and_vars):
        return grads_and_vars  # `apply` did.

    def _apply_or_skip(self, strategy, finite, grads, variables):
        # Every replica has the same sum. The branches are taken outside of the replicas, as within one a branch cannot
        # wait for the others, which assigning a variable does.
        def apply():
            strategy.extended.call_for_each_replica(super(GuardedOptimizer, self).apply, (grads, variables))

        def skip():
            strategy.extended.call_for_each_replica(self._skip)

        tf.cond(strategy.experimental_local_results(finite)[0], apply, skip)

    def _skip(self):
        if self.use_ema:  # It would start with the weights after step 0; if that is left out, with those before.
            tf.cond(tf.equal(self.iterations, 0),
                    lambda: self._update_model_variables_moving_average(self._trainable_variables), lambda: None)
        self.skipped.assign_add(1)
        self.iterations.assign_add(1)


class GuardedFlow(tfp_glow.FlowModel):
    """A `FlowModel` on which a step that its `GuardedOptimizer` left out leaves no trace.

    Neither in the metrics, so that an epoch's bits per dimension are those of its good steps, NaN if it has none yet,
    nor in the running averages of batch norm. The logs of a training step have one more entry, `skipped_steps`: those
    left out since the run began.
    """

    def train_step(self, data):
        traced = [v for v in (*self.non_trainable_variables, *self.metrics_variables) if "float" in v.dtype]
        before = [tf.identity(v) for v in traced]
        skipped = tf.identity(self.optimizer.skipped)
        super().train_step(data)
        good = tf.equal(self.optimizer.skipped, skipped)
        for variable, value in zip(traced, before, strict=True):
            variable.assign(tf.where(good, variable, value))
        nothing = tf.equal(self._bits_metric.count, 0.0)
        logs = {name: tf.where(nothing, math.nan, value) for name, value in self.get_metrics_result().items()}
        return {**logs, "skipped_steps": tf.broadcast_to(self.optimizer.skipped, tf.shape(logs["loss"]))}


class StopAtSkips(keras.callbacks.Callback):
    """Ends a run that cannot go on.

    Args:
      limit: how many steps in a row must be left out.
      checkpoints: a `Checkpoints`, to name the last good one.

    Raises:
      ValueError: from `fit`, when they are.
    """

    def __init__(self, limit, checkpoints):
        super().__init__()
        self._limit, self._checkpoints = limit, checkpoints

    def on_train_begin(self, logs=None):
        self._skipped, self._in_a_row = int(self.model.optimizer.skipped.numpy()), 0

    def on_train_batch_end(self, batch, logs=None):
        self._in_a_row = self._in_a_row + 1 if logs["skipped_steps"] > self._skipped else 0
        self._skipped = logs["skipped_steps"]
        if self._in_a_row >= self._limit:
            raise ValueError(
                f"training: loss or gradient was not finite in {self._in_a_row} steps in a row, up to step "
                f"{int(self.model.optimizer.iterations.numpy())}; {self._last_good()}; try a lower --learning_rate or "
                "--clip_norm, in another directory")

    def _last_good(self):
        path = self._checkpoints.last_good()
        return f"the last good checkpoint is {path}" if path else "there is no good checkpoint yet"
