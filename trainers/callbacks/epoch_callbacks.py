# SPDX-License-Identifier: Apache-2.0
"""Keras callbacks of a run, in the order they must have: see `run_callbacks`."""

import time

import keras

from trainers.reporting import pictures
from trainers.runs import class_labels
from trainers.optimization.nonfinite_steps import StopAtSkips
from trainers.optimization.optimizers import averaged_weights


def run_callbacks(run, checkpoints, batch_size, num_levels, temperature, seed, max_skipped, others=()):
    """The callbacks that keep a run's directory; where it is another worker's, those that a step's result needs.

    Args:
      run: a `RunDir`.
      checkpoints: a `Checkpoints`.
      batch_size: examples a step, over all replicas.
      num_levels: grey levels of the data; None for vectors.
      temperature: of the samples.
      seed: of the samples: the same noise every epoch, so that the pictures show one set of samples grow.
      max_skipped: so many steps left out in a row end the run.
      others: more callbacks, after the samples and before the checkpoint.
    """
    training = [StopAtSkips(max_skipped, checkpoints), Progress(batch_size), ValidateAverage()]
    if not run.writes:
        return training
    return [
        *training,
        History(run),
        SamplePicture(run, num_levels, temperature, seed),
        *others,
        SaveCheckpoint(checkpoints),  # last: what is without a checkpoint will be done again
    ]


class Progress(keras.callbacks.Callback):
    """Adds the learning rate and images a second to the logs, for the bar and `history.jsonl`."""

    def __init__(self, batch_size):
        super().__init__()
        self._batch_size = batch_size

    def on_epoch_begin(self, epoch, logs=None):
        self._start = time.perf_counter()
        self._rate = float(self.model.optimizer.learning_rate)

    def on_train_batch_end(self, batch, logs=None):
        self._speed = (batch + 1) * self._batch_size / (time.perf_counter() - self._start)
        if batch % 10 == 9:  # to ask TensorFlow takes as long as a small step
            self._rate = float(self.model.optimizer.learning_rate)
        logs["learning_rate"], logs["images_per_second"] = self._rate, self._speed

    def on_epoch_end(self, epoch, logs=None):
        logs["learning_rate"] = float(self.model.optimizer.learning_rate)
        logs["images_per_second"] = self._speed
        logs["seconds"] = time.perf_counter() - self._start


class ValidateAverage(keras.callbacks.Callback):
    """Validates with the moving average of the weights, if the optimizer keeps one."""

    def on_test_begin(self, logs=None):
        self._context = averaged_weights(self.model)
        self._context.__enter__()

    def on_test_end(self, logs=None):
        self._context.__exit__(None, None, None)


class History(keras.callbacks.Callback):
    """Appends a line an epoch to `history.jsonl`: epoch from 1, bits, learning rate, speed, skipped steps, waiting."""

    def __init__(self, run):
        super().__init__()
        self._run = run

    def on_epoch_end(self, epoch, logs=None):
        keys = ("loss", "bits_per_dim", "val_bits_per_dim", "learning_rate", "seconds", "images_per_second",
                *(key for key in ("accuracy", "val_accuracy") if key in logs))  # Those are a classifier's.
        self._run.add_history({"epoch": epoch + 1, **{key: float(logs[key]) for key in keys},
                               "skipped_steps": int(logs["skipped_steps"]),
                               **{key: logs[key] for key in ("data_wait",) if key in logs}})


class SaveCheckpoint(keras.callbacks.Callback):
    """Saves weights and optimizer after every epoch."""

    def __init__(self, checkpoints):
        super().__init__()
        self._checkpoints = checkpoints

    def on_epoch_end(self, epoch, logs=None):
        self._checkpoints.save(self.model, epoch + 1, float(logs["val_bits_per_dim"]))


class SamplePicture(keras.callbacks.Callback):
    """Draws samples after every epoch, to `epoch_0001.png` and so on: 64 images, or 2,000 points; classes in turn."""

    def __init__(self, run, num_levels, temperature, seed):
        super().__init__()
        self._run, self._num_levels = run, num_levels
        self._number = 64 if num_levels else 2000
        self._temperature, self._seed = temperature, seed

    def on_epoch_end(self, epoch, logs=None):
        with averaged_weights(self.model):
            events = self.model.sample(self._number, temperature=self._temperature, seed=self._seed,
                                       condition=class_labels.in_turn(self.model, self._number))
        columns = class_labels.columns(self.model, self._number)
        pictures.save_events(events, self._num_levels, self._run.sample_path(epoch + 1), columns)
