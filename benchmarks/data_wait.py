# SPDX-License-Identifier: Apache-2.0
"""Does training wait for its data? `python -m benchmarks.data_wait --preset=fashion_mnist_glow --data=idx:DIRECTORY`

Trains a preset with the trainer's own batches and, in turns of as many steps, on one batch that stays in memory. Prints

* `data_wait`: the share of the steps' time spent waiting for the next batch, as in `history.jsonl`;
* `slower_by`: how much longer a step takes than on the batch in memory: waiting, and work that preparing data takes
  away from training, on processors that do both;
* `start_wait_s`: how long the very first batch took, on top, and `start_share`, its share of a whole epoch.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import statistics
import time

import keras
import tensorflow as tf

from benchmarks.harness import show
from trainers import data as data_lib
from trainers import presets
from trainers.runs import trained_models
from trainers.training import training_loop
from trainers.callbacks.data_wait import DataWait


class Turns(keras.callbacks.Callback):
    """Seconds a step and share waited of every turn; a turn is an epoch of `fit`."""

    def __init__(self, wait):
        super().__init__()
        self._wait = wait
        self.step_seconds, self.shares = [], []

    def on_epoch_begin(self, epoch, logs=None):
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.step_seconds.append((time.perf_counter() - self._start) / self.params["steps"])
        self.shares.append(logs["data_wait"])


def in_turns(live, held, steps, turns):
    """Batches of two endless data sets: `steps` of the first, `steps` of the second, and so on."""
    turn = tf.data.Dataset.range(2).flat_map(lambda which: tf.data.Dataset.from_tensors(which).repeat(steps))
    return tf.data.Dataset.choose_from_datasets([live, held], turn.repeat(turns))


def main(preset, spec, steps, turns):
    """Measures and prints; returns the share waited, the median over turns."""
    chosen = presets.get(preset)
    data = data_lib.load(spec, crop=chosen.crop or None, resize=chosen.resize or None)
    config = training_loop.configure(preset, chosen, spec, data)
    model = trained_models.build(config)
    trained_models.compile_model(model, config)
    wait = DataWait()
    live = training_loop.training_batches(config, data, 0)
    quiet = {"shuffle": False, "verbose": 0}
    model.fit(wait.watched(live), steps_per_epoch=2, **quiet)  # Traces, reads the files, fills the memory.
    start = wait.seconds
    seen, held = Turns(wait), live.take(1).cache().repeat()
    model.fit(wait.watched(in_turns(live, held, steps, turns)), steps_per_epoch=steps, epochs=2 * turns,
              callbacks=[wait, seen], **quiet)
    of_live, of_held = (statistics.median(seen.step_seconds[first::2]) for first in (0, 1))
    share = statistics.median(seen.shares[::2])
    show("step_s", of_live)
    show("step_on_held_batch_s", of_held)
    show("slower_by", of_live / of_held - 1.0)
    show("data_wait", share)
    show("start_wait_s", start)
    show("start_share", start / (config["steps_per_epoch"] * of_live))
    return share


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", required=True, help="what to train")
    parser.add_argument("--data", required=True, help="a SPEC, as for trainers.train")
    parser.add_argument("--steps", type=int, default=40, help="steps of a turn")
    parser.add_argument("--turns", type=int, default=4, help="turns with the trainer's batches")
    options = parser.parse_args()
    main(options.preset, options.data, options.steps, options.turns)
