# SPDX-License-Identifier: Apache-2.0
"""A callback that counts skipped steps and stops a run after too many of them in a row."""

from typing import Any

import keras

from ..runs.checkpoints import Checkpoints


class StopAfterSkippedSteps(keras.callbacks.Callback):
    """Stops `fit` with a `ValueError` after a number of skipped steps in a row.

    It adds `skipped_steps`, the number of skipped steps since the run began, to the logs of steps and epochs.
    `tfp_glow.FlowModel` skips steps whose loss or gradient is not finite. The error message names the newest checkpoint
    whose validation bits per dimension are finite.

    Args:
      limit: int, at least 1, number of skipped steps in a row at which training stops.
      checkpoints: the checkpoints of the run.
    """

    def __init__(self, limit: int, checkpoints: Checkpoints):
        super().__init__()
        self._limit, self._checkpoints = limit, checkpoints

    def on_train_begin(self, logs: Any = None) -> None:
        """Reads the number of steps that earlier calls of `fit` skipped."""
        self._skipped, self._in_a_row = self.model.skipped_steps, 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Counts the skipped steps in a row. Raises `ValueError` if there are `limit` of them."""
        logs["skipped_steps"] = self.model.skipped_steps
        self._in_a_row = self._in_a_row + 1 if logs["skipped_steps"] > self._skipped else 0
        self._skipped = logs["skipped_steps"]
        if self._in_a_row >= self._limit:
            raise ValueError(
                f"training: loss or gradient was not finite in {self._in_a_row} steps in a row, up to step "
                f"{int(self.model.optimizer.iterations.numpy())}; {self._last_good()}; train again in another "
                "directory with a lower --learning_rate or --clip_norm")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Adds `skipped_steps` to the logs of the epoch."""
        logs["skipped_steps"] = self._skipped

    def _last_good(self) -> str:
        path = self._checkpoints.last_good()
        return f"the last good checkpoint is {path}" if path else "there is no good checkpoint yet"
