# SPDX-License-Identifier: Apache-2.0
"""A progress bar of the whole training run, and one printed line per epoch."""

import sys
import time
from collections.abc import Mapping
from typing import Any

import keras
import tqdm

# The order of the printed logs. The loss is absent: it is `bits_per_dim` plus regularizers.
_FORMATS = {
    "bits_per_dim": "{:.4f} bits/dim",
    "val_bits_per_dim": "validation {:.4f}",
    "accuracy": "accuracy {:.3f}",
    "val_accuracy": "validation {:.3f}",
    "images_per_second": "{:,.0f} {unit}/s",
    "learning_rate": "learning rate {:.2g}",
    "skipped_steps": "{:.0f} skipped",
    "data_wait": "{:.1%} waiting for data",
}


def format_logs(logs: Mapping[str, Any], unit: str) -> str:
    """Formats Keras logs as one line of text; keys without a format are left out.

    Args:
      logs: numbers by name, as Keras passes them to callbacks.
      unit: plural noun for the examples, such as `"images"`.

    Returns:
      The formatted values, separated by commas.

    Example:
      >>> format_logs({"loss": 2.5, "bits_per_dim": 2.5, "images_per_second": 1234.5, "learning_rate": 1e-3}, "images")
      '2.5000 bits/dim, 1,234 images/s, learning rate 0.001'
    """
    return ", ".join(text.format(logs[key], unit=unit) for key, text in _FORMATS.items() if key in logs)


class ProgressBar(keras.callbacks.Callback):
    """Shows a bar of the whole run with the remaining time, and prints one line per epoch above it.

    tqdm's own `TqdmCallback` cannot replace this class: it prints no line per epoch, shows every log without a format,
    counts a resumed epoch from its first step, and estimates the remaining time from whole epochs.

    Pass this callback to `fit` after all callbacks that add to the logs. Call `close` at the end, also after an error.

    Args:
      epochs: number of epochs of the run.
      steps: number of steps per epoch.
      done: number of steps that earlier processes finished; 0 by default.
      unit: plural noun for the examples, as in `1,234 images/s`.
      live: whether to draw the bar, True by default; the lines are printed in either case.
    """

    def __init__(self, epochs: int, steps: int, done: int = 0, unit: str = "images", live: bool = True):
        super().__init__()
        self._epochs, self._steps, self._done = epochs, steps, done
        self._unit, self._live = unit, live
        self._bar: tqdm.tqdm | None = None
        self._epoch_start = 0.0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self._bar is None:
            # Without smoothing, the remaining time follows from the mean speed, including validation and pictures.
            self._bar = tqdm.tqdm(
                total=self._epochs * self._steps, initial=self._done, file=sys.stdout, disable=not self._live,
                smoothing=0, dynamic_ncols=True, leave=False,
                bar_format="{percentage:3.0f}%|{bar:20}| {desc}, {remaining} left{postfix}")
            self._epoch_start = time.perf_counter()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._bar is not None and self._live:
            self._bar.set_description_str(f"epoch {epoch + 1}/{self._epochs}")

    def on_train_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
        if self._bar is not None and self._live:
            self._bar.set_postfix_str(format_logs(logs, self._unit), refresh=False)
            self._bar.update()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        now, number, epochs_left = time.perf_counter(), epoch + 1, self._epochs - epoch - 1
        seconds, self._epoch_start = now - self._epoch_start, now
        time_left = f", {tqdm.tqdm.format_interval(seconds * epochs_left)} left" if epochs_left else ""
        tqdm.tqdm.write(f"epoch {number:{len(str(self._epochs))}}/{self._epochs}: {format_logs(logs, self._unit)}, "
                        f"{seconds:.1f} s{time_left}", file=sys.stdout)
        sys.stdout.flush()

    def close(self) -> None:
        """Removes the bar from the screen; a second call has no effect."""
        if self._bar is not None:
            self._bar.close()
