# SPDX-License-Identifier: Apache-2.0
"""The progress bar: its lines, their length, and the estimates of the remaining time."""

import io
import types

import numpy as np
import pytest

from trainers.callbacks import progress_bar
from trainers.callbacks.progress_bar import ProgressBar, format_duration, format_logs

LOGS = {"loss": 9.0, "bits_per_dim": 2.5, "learning_rate": 5e-4, "images_per_second": 1234.5, "skipped_steps": 3}


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    """A clock that only `wait` moves."""

    def __init__(self):
        self.now = 0.0

    def wait(self, seconds):
        self.now += seconds


@pytest.fixture()
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress_bar, "time", types.SimpleNamespace(perf_counter=lambda: clock.now))
    return clock


def run_bar(bar, epochs, steps, first=0, clock=None, first_step=0.0, step=0.0, first_pause=0.0, pause=0.0, logs=LOGS):
    """Calls the bar as `fit` does. The first step and the pause after the first epoch take longer than the others."""
    estimates = []
    bar.on_train_begin()
    for epoch in range(first, epochs):
        bar.on_epoch_begin(epoch)
        for number in range(steps):
            if clock:
                clock.wait(first_step if (epoch, number) == (first, 0) else step)
            bar.on_train_batch_end(number, dict(logs))
            estimates.append(bar.seconds_left())
        if clock:
            clock.wait(first_pause if epoch == first else pause)
        bar.on_epoch_end(epoch, {**logs, "val_bits_per_dim": 2.25, "seconds": 1.0})
    bar.close()
    return estimates


def test_lines_without_a_terminal(monkeypatch):
    monkeypatch.setattr("sys.stdout", out := io.StringIO())
    run_bar(ProgressBar(10, 3, done=24, live=False), 10, 3, first=8)
    first, second = out.getvalue().splitlines()
    assert first == "epoch  9/10: 2.5000 bits/dim, validation 2.2500, 1,234 images/s, 3 skipped, 0.0 s, 00:00 left"
    assert second.startswith("epoch 10/10: ") and not second.endswith("left")


def test_bar_on_a_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr("sys.stdout", out := Terminal())
    bar = ProgressBar(10, 200, done=1600, unit="vectors", live=True)
    run_bar(bar, 10, 200, first=8)
    bar.close()  # a second call has no effect
    shown = out.getvalue().replace("\r", "\n").splitlines()
    bars = [line for line in shown if "%|" in line]
    assert bars[0].startswith(" 80%|") and any("epoch 9/10" in line for line in bars)
    assert any("left, 2.5000 bits/dim, 1,234 vectors/s, learning rate 0.0005, 3 skipped" in line for line in bars)
    assert sum(line.startswith("epoch ") for line in shown) == 2


def test_estimates_leave_out_tracing(monkeypatch, clock):
    """The first step takes 30 s and the first validation 20 s; all others take 0.1 s and 0.5 s."""
    monkeypatch.setattr("sys.stdout", out := io.StringIO())
    bar = ProgressBar(100, 40, live=False)
    estimates = run_bar(bar, 100, 40, clock=clock, first_step=30.0, step=0.1, first_pause=20.0, pause=0.5)
    assert estimates[0] is None and estimates[2] == pytest.approx(0.1 * 3997)
    for number, estimate in enumerate(estimates[80:], 81):  # After the second validation, estimates are exact.
        assert estimate == pytest.approx(0.1 * (4000 - number) + 0.5 * (100 - (number - 1) // 40), abs=0.01)
    lines = out.getvalue().splitlines()
    assert lines[0].endswith("53.9 s, 06:36 left") and lines[1].endswith("4.5 s, 07:21 left")
    assert not any(line.startswith("about") for line in lines)  # less than ten minutes


def test_a_long_run_is_announced_after_a_few_steps(monkeypatch, clock):
    monkeypatch.setattr("sys.stdout", out := io.StringIO())
    run_bar(ProgressBar(1000, 800, live=False), 1, 7, clock=clock, first_step=60.0, step=12.0)
    assert out.getvalue().splitlines()[0] == "about 111.1 days left, at 12 s per step"
    assert out.getvalue().count("about") == 1


@pytest.mark.parametrize(("logs", "epochs"), [
    ({}, 9), ({"data_wait": 0.123}, 100), ({"accuracy": 0.973, "val_accuracy": 0.981, "data_wait": 0.2}, 1000),
    ({"skipped_steps": 12, "accuracy": 0.973, "val_accuracy": 0.981}, 1000)])
@pytest.mark.parametrize("columns", [None, 110, 80])
def test_lines_fit(monkeypatch, clock, logs, epochs, columns):
    monkeypatch.setattr("sys.stdout", out := Terminal() if columns else io.StringIO())
    if columns:
        monkeypatch.setenv("COLUMNS", str(columns))
    values = {**LOGS, "images_per_second": 123456.7, "skipped_steps": 0, **logs}
    run_bar(ProgressBar(epochs, 5, live=False), 2, 5, clock=clock, step=9.9, pause=3.0, logs=values)
    for line in out.getvalue().splitlines():
        assert len(line) <= (columns or 100), line
        assert line.startswith("about") or "2.5000 bits/dim, validation 2.2500" in line
        assert ("skipped" in line) == bool(logs.get("skipped_steps")) or line.startswith("about")


def test_format_omits_missing_logs():
    assert format_logs({"loss": 1.0, "val_loss": 2.0, "seconds": 3.0}, "images") == ""
    assert format_logs({"bits_per_dim": np.float32(2.0), "learning_rate": 1.5e-5}, "images") == (
        "2.0000 bits/dim, learning rate 1.5e-05")
    assert format_logs({"bits_per_dim": float("nan"), "skipped_steps": 0, "data_wait": 0.001}, "images") == (
        "nan bits/dim")
    assert [format_duration(seconds) for seconds in (0.2, 59.0, 3600.0, 86_400.0 * 365)] == [
        "00:00", "00:59", "1:00:00", "365.0 days"]
