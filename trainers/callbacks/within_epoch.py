# SPDX-License-Identifier: Apache-2.0
"""For epochs of hours: checkpoints within one, and going on from there as if nothing had been."""

import time

import keras

from trainers.runs.checkpoints import restore_metrics


class WithinEpoch(keras.callbacks.Callback):
    """Saves checkpoints within epochs, every so many minutes.

    An epoch of which `record` holds the first steps is finished in a `fit` of its own, of fewer steps. Its metrics go
    on from the record's, so that those of `history.jsonl` are means over the whole epoch.

    Args:
      checkpoints: a `Checkpoints`.
      minutes: how often; 0 is after every step, None is never.
      record: of the checkpoint that this `fit` goes on from, or None.
    """

    def __init__(self, checkpoints, minutes, record=None):
        super().__init__()
        self._checkpoints, self._minutes = checkpoints, minutes
        self._record = record if record and record["step"] else None

    def on_train_begin(self, logs=None):
        self._saved = time.monotonic()

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch, self._done = epoch, 0
        if self._record:
            restore_metrics(self.model, self._record)
            self._done, self._record = self._record["step"], None

    def on_train_batch_end(self, batch, logs=None):
        last = batch + 1 == self.params["steps"]  # After it comes the epoch's own checkpoint.
        if self._minutes is None or last or time.monotonic() - self._saved < 60 * self._minutes:
            return
        self._checkpoints.save(self.model, self._epoch, step=self._done + batch + 1)
        self._saved = time.monotonic()


class OwnWeights(keras.callbacks.Callback):
    """Undoes what Keras's `fit` ends with if the optimizer keeps a moving average: to put it in the weights' place."""

    def on_epoch_end(self, epoch, logs=None):
        if epoch + 1 == self.params["epochs"] and self.model.optimizer.use_ema:
            self._own = [v.numpy() for v in self.model.trainable_variables]

    def on_train_end(self, logs=None):
        if self.model.optimizer.use_ema:
            for variable, value in zip(self.model.trainable_variables, self._own, strict=True):
                variable.assign(value)
