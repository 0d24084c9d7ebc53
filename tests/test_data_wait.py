# SPDX-License-Identifier: Apache-2.0
"""What is measured of the waiting for data; how long anything takes is not asserted, but that sleeping is counted."""

import time

import keras
import numpy as np
import tensorflow as tf

from benchmarks.data_wait import in_turns
from trainers.callbacks.data_wait import DataWait


def slow(seconds, number=5):
    """Pairs of batches, each of which takes as long to make."""
    def make(index):
        time.sleep(seconds)
        return index

    batches = tf.data.Dataset.range(number).map(lambda i: tf.ensure_shape(tf.py_function(make, [i], tf.int64), []))
    return batches.map(lambda i: (tf.fill([2, 1], tf.cast(i, tf.float32)), i))


def test_batches_are_the_same_and_waiting_is_counted():
    wait = DataWait()
    found = [(float(x[0, 0]), int(y)) for x, y in wait.watched(slow(0.05))]
    assert found == [(float(i), i) for i in range(5)]
    assert wait.seconds >= 4 * 0.05  # The first may have been begun before it was asked for.
    before = wait.seconds
    assert [int(x) for x in wait.watched(tf.data.Dataset.range(3))] == [0, 1, 2]
    assert wait.seconds > before


def test_an_epoch_gets_its_own_share():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", loss="mse")
    wait, seen = DataWait(), []
    show = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(dict(logs)))
    batches = slow(0.2, 6).map(lambda x, y: (x, x))
    # The first epoch traces the step, meanwhile data is read ahead; the second does little but wait.
    model.fit(wait.watched(batches), steps_per_epoch=3, epochs=2, verbose=0, callbacks=[wait, show])
    assert all(0.0 <= logs["data_wait"] <= 1.0 for logs in seen)
    assert wait.seconds > 0.2
    assert "loss" in seen[0] and len(seen) == 2


def test_turns():
    live, held = tf.data.Dataset.range(100), tf.data.Dataset.from_tensors(np.int64(-1)).repeat()
    assert [int(x) for x in in_turns(live, held, 2, 2)] == [0, 1, -1, -1, 2, 3, -1, -1]
