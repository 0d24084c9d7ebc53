# SPDX-License-Identifier: Apache-2.0
"""A callback that writes `history.jsonl`, one line per epoch."""

from typing import Any

import keras

from ..runs.run_directory import RunDirectory

_REQUIRED = ("loss", "bits_per_dim", "val_bits_per_dim")
_CLASSIFIER = ("accuracy", "val_accuracy")
_SPEED = ("learning_rate", "seconds", "images_per_second")


class HistoryFile(keras.callbacks.Callback):
    """Appends one line per epoch, a JSON object, to `history.jsonl`.

    The entries of a line are

    - `epoch`: number of the epoch, counted from 1;
    - `loss`: mean loss of the training steps: bits per dimension, plus the terms of regularization and of a classifier;
    - `bits_per_dim`, `val_bits_per_dim`: mean bits per dimension of the training steps and of the validation split;
    - `learning_rate`: learning rate at the end of the epoch;
    - `seconds`: duration of the epoch, including validation;
    - `images_per_second`: training speed in examples per second;
    - `accuracy`, `val_accuracy`: fraction of correctly classified examples, for a model with a classifier only;
    - `skipped_steps`: number of skipped steps since the run began;
    - `data_wait`: fraction of the training time in which the steps wait for data, for one replica only.

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
