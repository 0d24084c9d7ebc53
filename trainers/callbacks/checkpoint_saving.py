# SPDX-License-Identifier: Apache-2.0
"""Callbacks that save checkpoints: after each epoch, at intervals within an epoch, and after SIGTERM."""

import time
from typing import Any

import keras

from ..runs import stop_signals
from ..runs.checkpoints import Checkpoints, restore_metrics


class SaveCheckpoint(keras.callbacks.Callback):
    """Saves a checkpoint of the model and its optimizer after each epoch.

    Args:
      checkpoints: the checkpoints of the run.
    """

    def __init__(self, checkpoints: Checkpoints):
        super().__init__()
        self._checkpoints = checkpoints

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        self._checkpoints.save(self.model, epoch + 1, float(logs["val_bits_per_dim"]),
                               averaged=self.model.optimizer.average_is_better)


class SaveCheckpointWithinEpoch(keras.callbacks.Callback):
    """Saves checkpoints at intervals within an epoch and after SIGTERM. Restores the metrics of an interrupted epoch.

    After SIGTERM, it saves a checkpoint at the end of the step and raises `Terminated`. After the last step of an
    epoch, it waits for the validation and the checkpoint of the epoch. Place it after `SaveCheckpoint` in the list of
    callbacks, and call `fit` in the body of `stop_signals.deferred`.

    To resume from a checkpoint within an epoch, call `fit` for the remaining steps of the epoch. The callback sets the
    metrics to their values in the record of the checkpoint. The logs of the epoch are then means over all of its steps.

    Args:
      checkpoints: the checkpoints of the run.
      minutes: float, least number of minutes between checkpoints; 0 saves after each step. None: no checkpoints within
        an epoch.
      record: dict, the record of the checkpoint from which `fit` resumes, see `trainers.runs.checkpoints.Checkpoints`.
        Default None: `fit` starts at the start of an epoch.
    """

    def __init__(self, checkpoints: Checkpoints, minutes: float | None, record: dict[str, Any] | None = None):
        super().__init__()
        self._checkpoints, self._minutes = checkpoints, minutes
        self._record = record if record and record["step"] else None
        self._saved_at, self._epoch, self._first_step = 0.0, 0, 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._saved_at = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch, self._first_step = epoch, 0
        if self._record:
            restore_metrics(self.model, self._record)
            self._first_step, self._record = self._record["step"], None

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if batch + 1 == self.params["steps"]:  # `SaveCheckpoint` saves after the last step
            return
        step, must_stop = self._first_step + batch + 1, stop_signals.is_pending()
        is_due = self._minutes is not None and time.monotonic() - self._saved_at >= 60 * self._minutes
        if is_due or must_stop:
            self._checkpoints.save(self.model, self._epoch, step=step)
            self._saved_at = time.monotonic()
        if must_stop:
            raise stop_signals.Terminated(f"terminated; saved a checkpoint after epoch {self._epoch} and {step} "
                                          f"step{'' if step == 1 else 's'}; the same command resumes the run")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if stop_signals.is_pending():
            raise stop_signals.Terminated(f"terminated; saved a checkpoint after epoch {epoch + 1}; the same command "
                                          "resumes the run")
