# SPDX-License-Identifier: Apache-2.0
"""The loop that all systems of the comparison train in: batches, noise, clock, learning rate and evaluation.

Only NumPy and the standard library are imported, as the peers' environments have nothing of ours.
"""

import contextlib
import math
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

PAUSE = 3.0  # seconds: many times a step of any of the systems
WARMUP = 0.01  # of the budget
HOPELESS = 50  # steps in a row whose loss is not finite
EVALUATION_BATCH = 250
NUM_MIDWAY = 1000  # images of a validation midway
NOISE = {"train": 0, "validation": 1, "test": 2}  # streams of noise that do not depend on each other


class System(NamedTuple):
    """A flow and its optimizer; images are float32 `[B, H, W, C]` in [0, 256), log-densities nats in these units."""

    params: int
    step: Callable  # (images, multiplier of the learning rate) -> mean log-density before the step
    log_prob: Callable  # images -> log-densities `[B]`
    skipped: Callable = lambda: 0  # how many steps left the weights as they were, for a loss that was not finite
    judged: Callable = contextlib.nullcontext  # a context with the weights that are evaluated


class Clock:
    """Seconds of training: the sum of all steps after the first, so that nobody pays for tracing and compiling.

    A step of more than `PAUSE` seconds counts as the median step, as the process was stopped or the machine suspended.
    `processor` is the time of all cores in the steps that count in full: other work on the machine makes it less.
    """

    def __init__(self, now=time.perf_counter, processor_now=time.process_time):
        self._now, self._processor_now, self._durations, self._first = now, processor_now, [], True
        self.seconds, self.processor, self.pauses = 0.0, 0.0, 0

    @property
    def cores(self):
        """How many cores the steps had, on average."""
        return self.processor / max(sum(self._durations), 1e-9)

    def step(self, function, *arguments):
        """The result of a function, whose time is added."""
        start, processor_start = self._now(), self._processor_now()
        result = function(*arguments)
        duration, processor = self._now() - start, self._processor_now() - processor_start
        if self._first:
            self._first = False
        elif duration > PAUSE:
            self.pauses += 1
            self.seconds += statistics.median(self._durations or [0.0])
        else:
            self._durations.append(duration)
            self.seconds += duration
            self.processor += processor
        return result


def rate_multiplier(part):
    """Of the learning rate, when this part of the budget is spent: a short linear warm-up, then a cosine to 0."""
    if part < WARMUP:
        return part / WARMUP
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, (part - WARMUP) / (1.0 - WARMUP))))


def dequantized(images, rng):
    """uint8 images as float32 with noise of U[0, 1) added."""
    noisy = images + rng.random(images.shape, np.float32)
    return np.minimum(noisy, np.nextafter(np.float32(256.0), np.float32(0.0)))  # 255 + 0.9999999 is rounded to 256.


def batches(images, batch_size, seed):
    """Batches without end: shuffled epochs, fresh noise every time; an epoch's incomplete last batch is left out."""
    order, noise = np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1])
    while True:
        shuffled = order.permutation(len(images))
        for start in range(0, len(images) - batch_size + 1, batch_size):
            yield dequantized(images[shuffled[start:start + batch_size]], noise)


def bits_per_dim(log_prob, images):
    """-log p / (H W C log 2)."""
    return -log_prob / (math.prod(images.shape[1:]) * math.log(2.0))


def evaluate(system, images, split):
    """Mean bits/dim of a split's images, with the same noise for all systems."""
    rng = np.random.default_rng(NOISE[split])
    with system.judged():
        parts = [np.asarray(system.log_prob(dequantized(images[start:start + EVALUATION_BATCH], rng)), np.float64)
                 for start in range(0, len(images), EVALUATION_BATCH)]
    return float(bits_per_dim(np.concatenate(parts).mean(), images))


def train(build, images, minutes, batch_size, seed=0, clock=None, say=print):
    """Trains a system for so many minutes of its clock, and evaluates it on all images of the other splits.

    Args:
      build: from the first batch to a `System`.
      images: a dict of uint8 `[N, H, W, C]`: train, validation and perhaps test.
      minutes: the budget.
      batch_size: images a step.
      seed: of order and noise.
      clock: a `Clock`.
      say: prints a line.

    Returns:
      A dict that JSON can hold. `curve` has a point a minute: minutes, steps, bits/dim of the training batches since
      the last point, and every 4 minutes, bits/dim of 1,000 images of validation, else None.
    """
    clock = clock or Clock()
    stream = batches(images["train"], batch_size, seed)
    system = build(next(stream))
    say(f"{system.params:,} parameters, {len(images['train']):,} images, {minutes:g} minutes")
    steps, lost, in_a_row, losses, curve, minute = 0, 0, 0, [], [], 1
    while clock.seconds < 60.0 * minutes and in_a_row < HOPELESS:
        batch = next(stream)
        log_prob = clock.step(system.step, batch, rate_multiplier(clock.seconds / (60.0 * minutes)))
        bits = float(bits_per_dim(log_prob, batch))
        steps += 1
        lost, in_a_row = (lost, 0) if math.isfinite(bits) else (lost + 1, in_a_row + 1)
        losses.append(bits)
        if clock.seconds >= 60.0 * minute:
            finite = [b for b in losses if math.isfinite(b)]
            midway = minute % 4 == 0 and clock.seconds < 60.0 * minutes
            point = {"minutes": clock.seconds / 60.0, "steps": steps, "train": _finite(np.mean(finite or [np.nan])),
                     "validation": _finite(evaluate(system, images["validation"][:NUM_MIDWAY], "validation"))
                     if midway else None}
            curve.append(point)
            say(_line(point))
            losses, minute = [], minute + 1
    result = {"params": system.params, "batch_size": batch_size, "steps": steps, "seconds": clock.seconds,
              "images_per_second": (steps - 1) * batch_size / max(clock.seconds, 1e-9),
              "cores": clock.cores, "not_finite": lost, "skipped": int(system.skipped()), "pauses": clock.pauses,
              "gave_up": in_a_row >= HOPELESS, "curve": curve}
    for split in [name for name in images if name != "train"]:
        bits = evaluate(system, images[split], split)
        result[split] = _finite(bits)
        say(f"{split}: {bits:.4f} bits/dim of {len(images[split]):,} images")
    return result


def _finite(number):
    return float(number) if math.isfinite(number) else None  # JSON has no NaN.


def _line(point):
    midway = point["validation"]
    return (f"{point['minutes']:5.1f} min, {point['steps']} steps, training {point['train'] or math.nan:.3f} bits/dim"
            + (f", validation {midway:.3f}" if midway is not None else ""))
