# SPDX-License-Identifier: Apache-2.0
"""The time that training waits for data. The tests check that a delay is counted, and no other duration."""

import time

import keras
import tensorflow as tf

from trainers.callbacks.data_wait import DataWait


def slow_batches(seconds, number=5):
    """Returns a data set of `number` pairs. Each pair takes `seconds` seconds to produce."""
    def make(index):
        time.sleep(seconds)
        return index

    batches = tf.data.Dataset.range(number).map(lambda i: tf.ensure_shape(tf.py_function(make, [i], tf.int64), []))
    return batches.map(lambda i: (tf.fill([2, 1], tf.cast(i, tf.float32)), i))


def test_batches_are_the_same_and_waiting_is_counted():
    wait = DataWait()
    found = [(float(x[0, 0]), int(y)) for x, y in wait.watched(slow_batches(0.05))]
    assert found == [(float(i), i) for i in range(5)]
    assert wait.seconds > 2 * 0.05  # less than 5 * 0.05: batches are prefetched while the loop body runs
    before = wait.seconds
    assert [int(x) for x in wait.watched(tf.data.Dataset.range(3))] == [0, 1, 2]
    assert wait.seconds > before


def test_each_epoch_logs_its_own_fraction():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", loss="mse")
    wait, seen = DataWait(), []
    show = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(dict(logs)))
    batches = slow_batches(0.2, 6).map(lambda x, y: (x, x))
    # The first epoch traces the step while data is prefetched. The second epoch mainly waits for data.
    model.fit(wait.watched(batches), steps_per_epoch=3, epochs=2, verbose=0, callbacks=[wait, show])
    assert all(0.0 <= logs["data_wait"] <= 1.0 for logs in seen)
    assert wait.seconds > 0.2
    assert "loss" in seen[0] and len(seen) == 2
