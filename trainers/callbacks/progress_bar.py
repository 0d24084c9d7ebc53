# SPDX-License-Identifier: Apache-2.0
"""A progress bar of the whole training run, and one printed line per epoch."""

import sys
import time
from collections.abc import Mapping
from typing import Any

import keras
import tqdm

# In the order in which the logs are printed. The loss is left out: it is `bits_per_dim` plus weighted terms.
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
    """Formats the logs of a step or an epoch as one line of text.

    Logs without a format, such as `loss`, are left out.

    Args:
      logs: dict from names to numbers, as Keras passes it to callbacks.
      unit: str, plural noun for the examples, such as `"images"`.

    Returns:
      A str with the formatted values, separated by commas.

    Example:
      >>> format_logs({"loss": 2.5, "bits_per_dim": 2.5, "images_per_second": 1234.5, "learning_rate": 1e-3}, "images")
      '2.5000 bits/dim, 1,234 images/s, learning rate 0.001'
    """
    return ", ".join(text.format(logs[key], unit=unit) for key, text in _FORMATS.items() if key in logs)


class ProgressBar(keras.callbacks.Callback):
    """Shows a progress bar of the whole run with the remaining time. Above the bar, it prints one line per epoch.

    The class `TqdmCallback` of tqdm cannot replace this class. It prints no line per epoch and shows all logs without a
    format. In a resumed epoch, it counts from the first step. It estimates the remaining time from complete epochs
    only.

    In the list of callbacks for `fit`, place this callback after all callbacks that add logs. Call `close` after
    `fit`, also after an error.

    Args:
      epochs: int, number of epochs of the run.
      steps: int, number of steps per epoch.
      done: int, number of steps of the run before the first call of `fit`. Default 0.
      unit: str, plural noun for the examples, as in `1,234 images/s`. Default `"images"`.
      live: bool. If True, the bar is shown. If False, only the lines are printed. Default True.
    """

    def __init__(self, epochs: int, steps: int, done: int = 0, unit: str = "images", live: bool = True):
        super().__init__()
        self._epochs, self._steps, self._done = epochs, steps, done
        self._unit, self._live = unit, live
        self._bar: tqdm.tqdm | None = None
        self._epoch_start = 0.0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self._bar is None:
            # With smoothing=0, the remaining time follows from the mean speed, which includes validation and pictures.
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
        """Removes the bar from the screen. A second call has no effect."""
        if self._bar is not None:
            self._bar.close()
