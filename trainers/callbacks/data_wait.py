# SPDX-License-Identifier: Apache-2.0
"""A callback that measures the fraction of the training time in which the model waits for data."""

import time
from typing import Any

import keras
import tensorflow as tf


class DataWait(keras.callbacks.Callback):
    """Adds `data_wait` to the logs of each epoch: waiting time divided by training time, a fraction in [0, 1].

    The waiting time is the time in which the training steps of the epoch wait for their batches. The training time is
    the time from the start of the epoch to the end of its last training step, without validation.

    Train on the data set that the method `watched` returns, and pass the callback to `fit`:

        wait = DataWait()
        model.fit(wait.watched(batches), callbacks=[wait])

    Keras calls no callback between the request for a batch and its arrival. For this reason, the data set measures the
    time. It reads the clock before and after it produces a batch, on the thread that reads the batch.

    Use this callback with one replica only. With several replicas, `tf.distribute` reads batches in advance on another
    thread. The callback would then measure the waiting time of that thread instead of the training steps.
    """

    def __init__(self) -> None:
        super().__init__()
        with tf.device("CPU:0"):
            self._waited = tf.Variable(0.0, dtype=tf.float64, trainable=False)
        self._start = self._end = self._before = 0.0

    @property
    def seconds(self) -> float:
        """Waiting time in seconds since the callback was created, a float."""
        return float(self._waited)

    def watched(self, batches: tf.data.Dataset) -> tf.data.Dataset:
        """Returns a data set of the same batches that measures how long its reader waits for each batch.

        The batches are prefetched: the next batch is produced while the reader uses the last one. The waiting time is
        added to `seconds`.

        Args:
          batches: a `tf.data.Dataset`.

        Returns:
          A `tf.data.Dataset` with the elements of `batches`. Iterate over it with one iterator at a time.
        """
        def add_waiting_time(before: tf.Tensor, batch: Any, after: tf.Tensor) -> Any:
            with tf.control_dependencies([self._waited.assign_add(after - before)]):
                return tf.nest.map_structure(tf.identity, batch)

        clock = tf.data.Dataset.range(tf.int64.max).map(lambda _: tf.timestamp())
        options = tf.data.Options()
        options.autotune.enabled = False  # As in `trainers.data.pipeline`.
        options.experimental_optimization.inject_prefetch = False  # Prefetching would read the clock too early.
        timed = tf.data.Dataset.zip((clock, batches.prefetch(tf.data.AUTOTUNE), clock))
        return timed.map(add_waiting_time).with_options(options)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._start, self._before = time.perf_counter(), self.seconds

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._end = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        logs["data_wait"] = (self.seconds - self._before) / (self._end - self._start)
