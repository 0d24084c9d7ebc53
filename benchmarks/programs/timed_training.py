# SPDX-License-Identifier: Apache-2.0
"""Training loop under a clock, the same for all libraries: batches, noise, learning rate, evaluation and curve.

Only NumPy is imported, as the environments of the peers have little more.
"""

import datetime
import json
import math
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from benchmarks import harness
from benchmarks.programs.system import System

PAUSE = 3.0  # seconds
PAUSE_STEPS = 4.0  # median steps
WARMUP = 0.01  # share of the minutes
MAX_NOT_FINITE = 50  # steps in a row
EVALUATION_BATCH = 250
NUM_MIDWAY = 1000  # images of a validation during training
NOISE_SEEDS = {"validation": 1, "test": 2}


class Clock:
    """Seconds of training: the sum of all steps after the first, so that tracing and compiling cost nothing.

    A step of more than `PAUSE` seconds that is also longer than `PAUSE_STEPS` median steps counts as the median step:
    the process was stopped or the machine suspended.

    Args:
      now: returns seconds.
      processor_now: returns seconds of computation, summed over all cores.
    """

    def __init__(self, now: Callable[[], float] = time.perf_counter,
                 processor_now: Callable[[], float] = time.process_time) -> None:
        self._clocks, self._first = (now, processor_now), True
        self._durations: list[float] = []
        self.seconds, self.processor, self.pauses = 0.0, 0.0, 0

    @property
    def cores(self) -> float:
        """Mean number of cores that the steps had; other work on the machine makes it smaller."""
        return self.processor / max(sum(self._durations), 1e-9)

    def step(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Returns the result of a function and adds its time."""
        start = [clock() for clock in self._clocks]
        result = function(*arguments)
        duration, processor = (clock() - before for clock, before in zip(self._clocks, start, strict=True))
        if self._first:
            self._first = False
        elif duration > PAUSE and self._durations and duration > PAUSE_STEPS * statistics.median(self._durations):
            self.pauses += 1
            self.seconds += statistics.median(self._durations)
        else:
            self._durations.append(duration)
            self.seconds += duration
            self.processor += processor
        return result


def rate_multiplier(share: float) -> float:
    """Returns the multiplier of the learning rate for the spent share of the minutes: linear warm-up, then a cosine."""
    if share < WARMUP:
        return share / WARMUP
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, (share - WARMUP) / (1.0 - WARMUP))))


def dequantized(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Returns uint8 images as float32 with uniform noise."""
    noisy = images + rng.random(images.shape, np.float32)
    return np.minimum(noisy, np.nextafter(np.float32(256.0), np.float32(0.0)))  # 255 + 0.9999999 is rounded to 256.


def batches(images: np.ndarray, batch_size: int, seed: int) -> Iterator[np.ndarray]:
    """Yields full batches of shuffled epochs with fresh noise, without end."""
    order, noise = np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1])
    while True:
        shuffled = order.permutation(len(images))
        for start in range(0, len(images) - batch_size + 1, batch_size):
            yield dequantized(images[shuffled[start:start + batch_size]], noise)


def bits_per_dim(log_prob: Any, images: np.ndarray) -> Any:
    """Returns `-log p / (H W C log 2)`."""
    return -log_prob / (math.prod(images.shape[1:]) * math.log(2.0))


def evaluate(system: System, images: np.ndarray, split: str) -> float | None:
    """Returns the mean bits/dim of a split, or None if it is not finite; all systems get the same noise."""
    rng = np.random.default_rng(NOISE_SEEDS[split])
    with system.evaluated_weights():
        log_probs = [np.asarray(system.log_prob(system.prepare(dequantized(images[n:n + EVALUATION_BATCH], rng))))
                     for n in range(0, len(images), EVALUATION_BATCH)]
    return _finite(bits_per_dim(np.concatenate(log_probs).astype(np.float64).mean(), images))


def _finite(number: float) -> float | None:
    return float(number) if math.isfinite(number) else None  # JSON has no NaN.


def train(build: Callable[[np.ndarray], System], images: Mapping[str, np.ndarray], minutes: float, batch_size: int,
          seed: int = 0, clock: Clock | None = None, save: str | None = None) -> dict[str, Any]:
    """Trains a system for some minutes of its clock and evaluates it on all images of the other splits.

    Args:
      build: from the first batch to a system.
      images: uint8 `[N, H, W, C]` by split: train, validation and test.
      minutes: time of training.
      batch_size: images per step.
      seed: random seed of order and noise.
      clock: a `Clock`; None for a new one.
      save: path without a suffix of the trained flow; None not to write it.

    Returns:
      A dict that JSON can hold. `curve` has one point per minute: minutes, steps, bits/dim of the training batches
      since the last point, and every 4 minutes bits/dim of 1,000 validation images, otherwise None.
    """
    clock = clock or Clock()
    stream = batches(images["train"], batch_size, seed)
    system = build(next(stream))
    print(f"{system.num_parameters:,} parameters, {len(images['train']):,} images, {minutes:g} minutes", flush=True)
    steps = not_finite = in_a_row = 0
    finite: list[float] = []
    curve: list[dict[str, Any]] = []
    while clock.seconds < 60.0 * minutes and in_a_row < MAX_NOT_FINITE:
        batch = next(stream)
        log_prob = clock.step(system.step, system.prepare(batch), rate_multiplier(clock.seconds / (60.0 * minutes)))
        steps += 1
        if math.isfinite(log_prob):
            finite.append(bits_per_dim(log_prob, batch))
            in_a_row = 0
        else:
            not_finite, in_a_row = not_finite + 1, in_a_row + 1
        if clock.seconds >= 60.0 * (len(curve) + 1):
            midway = (len(curve) + 1) % 4 == 0 and clock.seconds < 60.0 * minutes
            validation = evaluate(system, images["validation"][:NUM_MIDWAY], "validation") if midway else None
            curve.append({"minutes": clock.seconds / 60.0, "steps": steps, "train": float(np.mean(finite)) if finite
                          else None, "validation": validation})
            print(", ".join(f"{name}: {value}" for name, value in curve[-1].items()), flush=True)
            finite = []
    if save:
        with system.evaluated_weights():
            system.save(save)
    return {"params": system.num_parameters, "batch_size": batch_size, "steps": steps, "seconds": clock.seconds,
            "images_per_second": (steps - 1) * batch_size / max(clock.seconds, 1e-9), "cores": clock.cores,
            "not_finite": not_finite, "skipped": int(system.num_skipped()), "pauses": clock.pauses,
            "gave_up": in_a_row >= MAX_NOT_FINITE, "curve": curve,
            **{split: evaluate(system, images[split], split) for split in images if split != "train"}}


def run(build: Callable[..., System], images: str, result: str, minutes: float, batch_size: int, seed: int,
        system: Mapping[str, Any], **more: Any) -> None:
    """Trains in this process and writes the result, whole or not at all.

    Args:
      build: from the first batch and settings to a system.
      images: `.npz` file of the splits.
      result: JSON file to write. The flow goes beside it, if the system can save it.
      minutes, batch_size, seed: see `train`.
      system: settings of `build`.
      **more: settings that are only kept with the result.
    """
    with np.load(images) as file:
        trained = train(lambda first: build(first, seed=seed, **system), dict(file), minutes, batch_size, seed,
                        save=os.path.splitext(result)[0])
    settings = {"minutes": minutes, "batch_size": batch_size, "seed": seed, "system": system, **more}
    trained.update(settings=settings, date=datetime.date.today().isoformat(), versions=harness.versions())
    with open(f"{result}.partial", "w", encoding="utf-8") as partial:
        json.dump(trained, partial, indent=1)
    os.replace(f"{result}.partial", result)
