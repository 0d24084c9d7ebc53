# SPDX-License-Identifier: Apache-2.0
"""Training loop for vectors, the same for all libraries: batches, learning rate, early stopping and evaluation.

Only NumPy is imported, as the environments of the peers have little more.
"""

import datetime
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import harness
from benchmarks.programs.timed_training import MAX_NOT_FINITE, Clock, rate_multiplier
from benchmarks.programs.vector_system import VectorSystem

EVALUATION_BATCH = 1000


def epochs(vectors: np.ndarray, batch_size: int, seed: int) -> Iterator[Iterator[np.ndarray]]:
    """Yields shuffled epochs of full batches, without end. A smaller set is one batch."""
    order, size = np.random.default_rng(seed), min(batch_size, len(vectors))
    while True:
        shuffled = vectors[order.permutation(len(vectors))]
        yield (shuffled[start:start + size] for start in range(0, len(shuffled) - size + 1, size))


def log_densities(system: VectorSystem, vectors: np.ndarray) -> np.ndarray:
    """Returns the log-densities of vectors, float64 `[N]`, in nats."""
    parts = [np.asarray(system.log_prob(system.prepare(vectors[n:n + EVALUATION_BATCH])))
             for n in range(0, len(vectors), EVALUATION_BATCH)]
    return np.concatenate(parts).astype(np.float64)


def train(build: Callable[[np.ndarray], VectorSystem], vectors: Mapping[str, np.ndarray], seconds: float,
          batch_size: int, patience: int | None = None, seed: int = 0,
          clock: Clock | None = None) -> tuple[dict[str, Any], VectorSystem]:
    """Trains a system for some seconds of its clock.

    Args:
      build: from the first batch to a system.
      vectors: float32 `[N, D]` by split: `train` and `validation`.
      seconds: time of training at most. The clock counts training steps after the first one.
      batch_size: vectors per step.
      patience: None trains for all seconds, with a learning rate that grows linearly in their first hundredth and then
        falls to 0 by a cosine. An int keeps the learning rate, validates after each epoch, ends after that many epochs
        without a better validation, and keeps the weights of the best one.
      seed: random seed of the order.
      clock: a `Clock`; None for a new one.

    Returns:
      A dict that JSON can hold, and the system. `validation` is the mean log-density in nats, or None if it is not
      finite.
    """
    clock = clock or Clock()
    system = build(vectors["train"][:batch_size])
    best, best_epoch, best_weights = -math.inf, 0, None
    steps = not_finite = in_a_row = number = 0
    for number, batches in enumerate(epochs(vectors["train"], batch_size, seed), 1):
        for batch in batches:
            multiplier = rate_multiplier(clock.seconds / seconds) if patience is None else 1.0
            mean = clock.step(system.step, system.prepare(batch), multiplier)
            steps += 1
            in_a_row = 0 if math.isfinite(mean) else in_a_row + 1
            not_finite += not math.isfinite(mean)
            if clock.seconds >= seconds or in_a_row >= MAX_NOT_FINITE:
                break
        if patience is not None:
            mean = log_densities(system, vectors["validation"]).mean()
            if mean > best:
                best, best_epoch, best_weights = mean, number, system.weights()
        if clock.seconds >= seconds or in_a_row >= MAX_NOT_FINITE or (
                patience is not None and number - best_epoch >= patience):
            break
    if best_weights is not None:
        system.set_weights(best_weights)
    validation = log_densities(system, vectors["validation"]).mean()
    return {"params": system.num_parameters, "steps": steps, "epochs": number, "best_epoch": best_epoch or number,
            "seconds": clock.seconds, "cores": clock.cores, "not_finite": not_finite, "pauses": clock.pauses,
            "validation": float(validation) if math.isfinite(validation) else None}, system


def run(build: Callable[..., VectorSystem], vectors: str, result: str, system: Mapping[str, Any], test: bool = False,
        **training: Any) -> None:
    """Trains in this process and writes the result, whole or not at all.

    Args:
      build: from the first batch and settings to a system.
      vectors: `.npz` file of the splits.
      result: JSON file to write. With `test`, a file of the same name with the suffix `.npy` has the log-densities of
        the test vectors.
      system: settings of `build`.
      test: True evaluates the test split.
      **training: arguments of `train`.
    """
    with np.load(vectors) as file:
        splits = {split: file[split] for split in file if test or split != "test"}
    settings = {"system": system, **training}
    trained, fitted = train(lambda first: build(first, **system), splits, **training)
    trained.update(settings=settings, date=datetime.date.today().isoformat(), versions=harness.versions())
    if test:
        np.save(Path(result).with_suffix(".npy"), log_densities(fitted, splits["test"]))
    with open(f"{result}.partial", "w", encoding="utf-8") as partial:
        json.dump(trained, partial, indent=1)
    os.replace(f"{result}.partial", result)
