# SPDX-License-Identifier: Apache-2.0
"""A progress bar of the whole training run, and one printed line per epoch."""

import shutil
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
    "val_accuracy": "validation accuracy {:.3f}",
    "images_per_second": "{:,.0f} {unit}/s",
    "learning_rate": "learning rate {:.2g}",
    "skipped_steps": "{:.0f} skipped",
    "data_wait": "{:.0%} waiting for data",
}
_LEAST = {"skipped_steps": 0.5, "data_wait": 0.01}  # Smaller values are not printed.
# The order in which values are left out of a line that would be too long.
_FIRST_LEFT_OUT = ("data_wait", "learning_rate", "images_per_second", "accuracy", "val_accuracy")
_WIDTH = 100  # Number of columns of a line that is not printed to a terminal.
_SLOW_STEPS = 2  # The first steps of a call of `fit` include tracing and compilation.
_ANNOUNCED_SECONDS, _ANNOUNCED_STEPS, _ANNOUNCED_AFTER_SECONDS = 600.0, 5, 10.0


def format_logs(logs: Mapping[str, Any], unit: str, width: int | None = None) -> str:
    """Formats the logs of a step or an epoch as one line of text.

    Logs without a format, such as `loss`, are left out. So are `skipped_steps` if it is 0, and `data_wait` if it is
    less than 1%.

    Args:
      logs: dict from names to numbers, as Keras passes it to callbacks.
      unit: str, plural noun for the examples, such as `"images"`.
      width: int, number of columns. If the line would be longer, the time spent waiting for data, the learning rate,
        the speed and the accuracies are left out, in this order. Default None: no limit.

    Returns:
      A str with the formatted values, separated by commas.

    Example:
      >>> logs = {"loss": 2.5, "bits_per_dim": 2.5, "images_per_second": 1234.5, "learning_rate": 1e-3}
      >>> format_logs(logs, "images")
      '2.5000 bits/dim, 1,234 images/s, learning rate 0.001'
      >>> format_logs(logs, "images", width=40)
      '2.5000 bits/dim, 1,234 images/s'
    """
    parts = {key: text.format(logs[key], unit=unit) for key, text in _FORMATS.items()
             if key in logs and not logs[key] < _LEAST.get(key, float("-inf"))}
    for key in _FIRST_LEFT_OUT:
        if width is None or len(", ".join(parts.values())) <= width:
            break
        parts.pop(key, None)
    return ", ".join(parts.values())


def format_duration(seconds: float) -> str:
    """Formats a duration.

    Args:
      seconds: float, duration in seconds, at least 0.

    Returns:
      A str: minutes and seconds, hours, minutes and seconds, or days.

    Example:
      >>> [format_duration(seconds) for seconds in (75, 7384, 1e6)]
      ['01:15', '2:03:04', '11.6 days']
    """
    return f"{seconds / 86_400:,.1f} days" if seconds >= 2 * 86_400 else tqdm.tqdm.format_interval(seconds)


class ProgressBar(keras.callbacks.Callback):
    """Shows a progress bar of the whole run with the remaining time. Above the bar, it prints one line per epoch.

    The class `TqdmCallback` of tqdm cannot replace this class. It prints no line per epoch and shows all logs without a
    format. In a resumed epoch, it counts from the first step. It estimates the remaining time from complete epochs
    only.

    The estimate of the remaining time is the number of remaining steps times the mean duration of a step, plus the
    number of remaining epochs times the mean duration of what follows the steps of an epoch, such as validation. The
    first two steps and the first validation of a process are not counted, because they include tracing. If the first
    estimate, after a few steps, is at least ten minutes, it is printed on a line of its own.

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
        self._epoch = 0
        self._epoch_start = self._last_event = 0.0
        self._slow_steps_left = _SLOW_STEPS
        self._step_seconds, self._counted_steps = 0.0, 0
        self._pauses: list[float] = []
        self._announced = False

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._slow_steps_left = _SLOW_STEPS
        if self._bar is None:
            self._bar = tqdm.tqdm(
                total=self._epochs * self._steps, initial=self._done, file=sys.stdout, disable=not self._live,
                dynamic_ncols=True, leave=False, bar_format="{percentage:3.0f}%|{bar:20}| {desc}{postfix}")
            self._epoch_start = time.perf_counter()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch, self._last_event = epoch, time.perf_counter()
        self._describe()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
        now = time.perf_counter()
        self._done += 1
        if self._slow_steps_left:
            self._slow_steps_left -= 1
        else:
            self._step_seconds += now - self._last_event
            self._counted_steps += 1
        self._last_event = now
        self._announce()
        if self._bar is not None and self._live:
            self._describe()
            self._bar.set_postfix_str(format_logs(logs, self._unit), refresh=False)
            self._bar.update()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        now, number = time.perf_counter(), epoch + 1
        self._pauses.append(now - self._last_event)
        seconds, self._epoch_start = now - self._epoch_start, now
        self._epoch = number
        left = self.seconds_left()
        head = f"epoch {number:{len(str(self._epochs))}}/{self._epochs}: "
        tail = f", {format_duration(left)} left" if left is not None and number < self._epochs else ""
        width = shutil.get_terminal_size((_WIDTH, 24)).columns if sys.stdout.isatty() else _WIDTH
        text = format_logs(logs, self._unit, width - len(f"{head}, {seconds:.1f} s{tail}"))
        duration = f", {seconds:.1f} s"
        if len(head + text + duration + tail) > width:
            duration = ""
        tqdm.tqdm.write(head + text + duration + tail, file=sys.stdout)
        sys.stdout.flush()

    def seconds_left(self) -> float | None:
        """Returns the estimate of the remaining time in seconds, or None while no step was counted yet."""
        if not self._counted_steps:
            return None
        pauses = self._pauses[1:]
        pause = sum(pauses) / len(pauses) if pauses else 0.0
        steps_left = max(0, self._epochs * self._steps - self._done)
        return steps_left * self._step_seconds / self._counted_steps + (self._epochs - self._epoch) * pause

    def close(self) -> None:
        """Removes the bar from the screen. A second call has no effect."""
        if self._bar is not None:
            self._bar.close()

    def _describe(self) -> None:
        if self._bar is not None and self._live:
            left = self.seconds_left()
            text = "" if left is None else f", {format_duration(left)} left"
            self._bar.set_description_str(f"epoch {self._epoch + 1}/{self._epochs}{text}", refresh=False)

    def _announce(self) -> None:
        """Prints the first estimate of the remaining time if it is long: an epoch may take hours."""
        left = self.seconds_left()
        enough = self._counted_steps >= _ANNOUNCED_STEPS or self._step_seconds >= _ANNOUNCED_AFTER_SECONDS
        if self._announced or left is None or not enough:
            return
        self._announced = True
        if left >= _ANNOUNCED_SECONDS:
            step = self._step_seconds / self._counted_steps
            tqdm.tqdm.write(f"about {format_duration(left)} left, at {step:.2g} s per step", file=sys.stdout)
            sys.stdout.flush()
