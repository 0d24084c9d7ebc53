# SPDX-License-Identifier: Apache-2.0
"""What a run says while it goes: a bar of the whole run on terminals, and a line for each epoch."""

import sys
import time

import keras
import tqdm

# What of the logs is said, in this order, where it is there. The loss is not: it is `bits_per_dim` plus regularisers.
_WORDS = {
    "bits_per_dim": "{:.4f} bits/dim",
    "val_bits_per_dim": "validation {:.4f}",
    "accuracy": "accuracy {:.3f}",
    "val_accuracy": "validation {:.3f}",
    "images_per_second": "{:,.0f} {unit}/s",
    "learning_rate": "learning rate {:.2g}",
    "skipped_steps": "{:.0f} skipped",
    "data_wait": "{:.1%} waiting for data",
}


def in_words(logs, unit):
    """What logs say, in words.

    Args:
      logs: a dict of numbers, as Keras hands to callbacks.
      unit: what the examples are.

    >>> in_words({"loss": 2.5, "bits_per_dim": 2.5, "images_per_second": 1234.5, "learning_rate": 1e-3}, "images")
    '2.5000 bits/dim, 1,234 images/s, learning rate 0.001'
    """
    return ", ".join(words.format(logs[key], unit=unit) for key, words in _WORDS.items() if key in logs)


class ProgressBar(keras.callbacks.Callback):
    """A bar of the whole run with the time that is left, and above it a line for each epoch that is done.

    Stands for Keras's bar, which knows no time left for the run and gives every number four decimals. It is to be the
    last of the callbacks, after those that add to the logs, and to be closed, also when training was cut short.

    Args:
      epochs: how many the run has.
      steps: steps an epoch.
      done: how many steps of the run were done before.
      unit: what the examples are, for `1,234 images/s`.
      live: whether to draw the bar; the lines come in any case.
    """

    def __init__(self, epochs, steps, done=0, unit="images", live=True):
        super().__init__()
        self._epochs, self._steps, self._done = epochs, steps, done
        self._unit, self._live, self._bar = unit, live, None

    def on_train_begin(self, logs=None):
        if self._bar is None:
            # Without smoothing the time left is by the mean over this process, validation and pictures included.
            self._bar = tqdm.tqdm(
                total=self._epochs * self._steps, initial=self._done, file=sys.stdout, disable=not self._live,
                smoothing=0, dynamic_ncols=True, leave=False,
                bar_format="{percentage:3.0f}%|{bar:20}| {desc}, {remaining} left{postfix}")
            self._ended = time.perf_counter()

    def on_epoch_begin(self, epoch, logs=None):
        if self._live:
            self._bar.set_description_str(f"epoch {epoch + 1}/{self._epochs}")

    def on_train_batch_end(self, batch, logs=None):
        if self._live:
            self._bar.set_postfix_str(in_words(logs, self._unit), refresh=False)
            self._bar.update()

    def on_epoch_end(self, epoch, logs=None):
        now, number, left = time.perf_counter(), epoch + 1, self._epochs - epoch - 1
        took, self._ended = now - self._ended, now
        end = f", {self._bar.format_interval(took * left)} left" if left else ""
        self._bar.write(f"epoch {number:{len(str(self._epochs))}}/{self._epochs}: {in_words(logs, self._unit)}, "
                        f"{took:.1f} s{end}", file=sys.stdout)
        sys.stdout.flush()

    def close(self):
        """Takes the bar off the screen."""
        if self._bar is not None:
            self._bar.close()
