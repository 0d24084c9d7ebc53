# SPDX-License-Identifier: Apache-2.0
"""A callback that adds the learning rate and the training speed to the logs."""

import time
from typing import Any

import keras


class ProgressMetrics(keras.callbacks.Callback):
    """Adds `learning_rate` and `images_per_second` to the logs of steps and epochs, and `seconds` to those of epochs.

    `images_per_second` is the mean number of examples per second in the training steps of the epoch so far. `seconds`
    is the duration of the epoch, including validation. `ProgressBar` and `HistoryFile` use these logs.

    Args:
      batch_size: int, number of examples per step over all replicas.
    """

    def __init__(self, batch_size: int):
        super().__init__()
        self._batch_size = batch_size
        self._start = self._learning_rate = self._speed = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._start = time.perf_counter()
        self._learning_rate = float(self.model.optimizer.learning_rate)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
        self._speed = (batch + 1) * self._batch_size / (time.perf_counter() - self._start)
        if batch % 10 == 9:  # Reading the learning rate is as slow as a small step.
            self._learning_rate = float(self.model.optimizer.learning_rate)
        logs["learning_rate"], logs["images_per_second"] = self._learning_rate, self._speed

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        logs["learning_rate"] = float(self.model.optimizer.learning_rate)
        logs["images_per_second"] = self._speed
        logs["seconds"] = time.perf_counter() - self._start
