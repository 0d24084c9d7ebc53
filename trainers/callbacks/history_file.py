# SPDX-License-Identifier: Apache-2.0
"""A callback that writes `history.jsonl`."""

from typing import Any

import keras

from trainers.runs.run_directory import RunDirectory

_REQUIRED = ("loss", "bits_per_dim", "val_bits_per_dim")
_CLASSIFIER = ("accuracy", "val_accuracy")
_SPEED = ("learning_rate", "seconds", "images_per_second")


class HistoryFile(keras.callbacks.Callback):
    """Appends one line per epoch to `history.jsonl`.

    A line holds the epoch, counted from 1, the loss, bits per dimension, the learning rate, the speed and the number
    of skipped steps. Lines of a classifier also hold its accuracy. `data_wait` is present on one replica.

    Args:
      run: the run directory.
    """

    def __init__(self, run: RunDirectory):
        super().__init__()
        self._run = run

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        line: dict[str, Any] = {"epoch": epoch + 1}
        line |= {key: float(logs[key]) for key in (*_REQUIRED, *_SPEED)}
        line |= {key: float(logs[key]) for key in _CLASSIFIER if key in logs}
        line["skipped_steps"] = int(logs["skipped_steps"])
        if "data_wait" in logs:
            line["data_wait"] = logs["data_wait"]
        self._run.add_history(line)
