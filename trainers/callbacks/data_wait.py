# SPDX-License-Identifier: Apache-2.0
"""How much of the training goes by in waiting for data."""

import time

import keras
import tensorflow as tf


class DataWait(keras.callbacks.Callback):
    """Adds to an epoch's logs `data_wait`, the share of its steps' time that was spent waiting for the next batch.

    A step asks for its batch inside its own graph, where no callback comes by. So the clock is read in the data set, on
    the thread that asks: `watched` zips the time, the batch, which may have to be waited for, and the time again, which
    TensorFlow gets in this order.

    For one device. Under a strategy of several replicas another thread fetches ahead, and it would be that one's
    waiting.
    """

    def __init__(self):
        super().__init__()
        with tf.device("CPU:0"):
            self._waited = tf.Variable(0.0, dtype=tf.float64, trainable=False)

    @property
    def seconds(self):
        """Seconds waited so far."""
        return float(self._waited)

    def watched(self, batches):
        """The same batches, read ahead, for one reader whose waiting is measured."""
        def note(asked, batch, given):
            with tf.control_dependencies([self._waited.assign_add(given - asked)]):
                return tf.nest.map_structure(tf.identity, batch)

        clock = tf.data.Dataset.range(tf.int64.max).map(lambda _: tf.timestamp())
        options = tf.data.Options()
        options.experimental_optimization.inject_prefetch = False  # Or the clock would be read ahead, too.
        return tf.data.Dataset.zip((clock, batches.prefetch(tf.data.AUTOTUNE), clock)).map(note).with_options(options)

    def on_epoch_begin(self, epoch, logs=None):
        self._start, self._before = time.perf_counter(), self.seconds

    def on_train_batch_end(self, batch, logs=None):
        self._end = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        logs["data_wait"] = (self.seconds - self._before) / (self._end - self._start)
