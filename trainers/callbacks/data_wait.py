# SPDX-License-Identifier: Apache-2.0
"""A callback that measures the share of training time spent on waiting for data."""

import time
from typing import Any

import keras
import tensorflow as tf


class DataWait(keras.callbacks.Callback):
    """Adds `data_wait` to the logs of an epoch: the share of its training time spent on waiting for the next batch.

    A training step reads its batch inside its own graph, where Keras calls no callback. Therefore the data set measures
    the time: `watched` zips a time stamp, the batch and a second time stamp, and TensorFlow computes them in this order
    on the thread that reads the batch.

    This works for one replica. With several replicas, `tf.distribute` prefetches batches on another thread, and the
    measured time would be the waiting time of that thread.
    """

    def __init__(self) -> None:
        super().__init__()
        with tf.device("CPU:0"):
            self._waited = tf.Variable(0.0, dtype=tf.float64, trainable=False)
        self._start = self._end = self._before = 0.0

    @property
    def seconds(self) -> float:
        """Total waiting time so far, in seconds."""
        return float(self._waited)

    def watched(self, batches: tf.data.Dataset) -> tf.data.Dataset:
        """Returns the same batches, prefetched, in a data set that measures the waiting time of its reader.

        Args:
          batches: a data set that one reader consumes.
        """
        def add_waiting_time(before: tf.Tensor, batch: Any, after: tf.Tensor) -> Any:
            with tf.control_dependencies([self._waited.assign_add(after - before)]):
                return tf.nest.map_structure(tf.identity, batch)

        clock = tf.data.Dataset.range(tf.int64.max).map(lambda _: tf.timestamp())
        options = tf.data.Options()
        options.experimental_optimization.inject_prefetch = False  # otherwise the clock would be prefetched too
        timed = tf.data.Dataset.zip((clock, batches.prefetch(tf.data.AUTOTUNE), clock))
        return timed.map(add_waiting_time).with_options(options)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._start, self._before = time.perf_counter(), self.seconds

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._end = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        logs["data_wait"] = (self.seconds - self._before) / (self._end - self._start)
