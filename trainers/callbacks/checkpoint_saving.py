# SPDX-License-Identifier: Apache-2.0
"""Callbacks that save checkpoints: after each epoch, and at intervals within an epoch."""

import time
from typing import Any

import keras

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
        self._checkpoints.save(self.model, epoch + 1, float(logs["val_bits_per_dim"]))


class SaveCheckpointWithinEpoch(keras.callbacks.Callback):
    """Saves checkpoints at intervals within an epoch, and restores the metrics of an interrupted epoch.

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
        is_last = batch + 1 == self.params["steps"]  # `SaveCheckpoint` saves after the last step
        if self._minutes is None or is_last or time.monotonic() - self._saved_at < 60 * self._minutes:
            return
        self._checkpoints.save(self.model, self._epoch, step=self._first_step + batch + 1)
        self._saved_at = time.monotonic()
