# SPDX-License-Identifier: Apache-2.0
"""Command line of the programs, and the measurement of their speed and memory.

`python -m benchmarks.programs.our_flow speed '{"num_steps": 8, "width": 128}'` prints figures as JSON.
`inference` instead of `speed` measures latencies at several batch sizes. `train IMAGES RESULT SETTINGS` trains for some
minutes, see `timed_training`. Only NumPy is imported, as the environments of the peers have little more.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks import harness
from benchmarks.programs import timed_training
from benchmarks.programs.system import System

SHAPE = (32, 32, 3)


def measure(build: Callable[..., System], batch_size: int = 32, **settings: Any) -> dict[str, float]:
    """Returns the figures of a system.

    Args:
      build: from the first batch of images and settings to a system.
      batch_size: images per batch.
      **settings: of `build`.
    """
    figures = {"base_rss_gb": harness.peak_rss_gb()}

    def timed(name: str, function: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = function()
        figures[name] = time.perf_counter() - start
        return result

    images = np.random.default_rng(0).random((batch_size, *SHAPE), np.float32) * np.float32(255.0)
    system = timed("build_s", lambda: build(images, **settings))
    batch = system.prepare(images)
    timed("first_step_s", lambda: system.step(batch, 1.0))
    figures["train_step_s"] = harness.median_seconds(lambda: system.step(batch, 1.0), 10)
    figures["peak_rss_gb"] = harness.peak_rss_gb()
    for name, call in (("log_prob_s", lambda: system.log_prob(batch)), ("sample_s", lambda: system.sample(batch_size))):
        call()  # Traces.
        figures[name] = harness.median_seconds(call, 7)
    state_gb = system.state_bytes() / 1e9
    return {**figures, "round_trip_max_abs": system.round_trip(batch), "params_m": system.num_parameters / 1e6,
            "state_gb": state_gb, "net_gb": figures["peak_rss_gb"] - state_gb}


def measure_inference(build: Callable[..., System], batch_sizes: Sequence[int], **settings: Any) -> dict[str, float]:
    """Returns seconds of `log_prob` and of sampling for each batch size.

    Args:
      build: from the first batch of images and settings to a system.
      batch_sizes: numbers of images.
      **settings: of `build`.
    """
    images = np.random.default_rng(0).random((max(*batch_sizes, 32), *SHAPE), np.float32) * np.float32(255.0)
    system, figures = build(images[:32], **settings), {}
    for size in batch_sizes:
        batch = system.prepare(images[:size])
        for name, call in (("log_prob", lambda batch=batch: system.log_prob(batch)),
                           ("sample", lambda size=size: system.sample(size))):
            call()  # Traces.
            figures[f"{name}_{size}_s"] = harness.median_seconds(call, 20, budget=5.0)
    return figures


def main(build: Callable[..., System]) -> None:
    """Runs the command line of a program."""
    task, *paths, settings = sys.argv[1:]
    if task == "train":
        images, result = paths
        timed_training.run(build, images, result, **json.loads(settings))
    else:
        figures = {"speed": measure, "inference": measure_inference}[task](build, **json.loads(settings))
        print(json.dumps({"figures": figures, "versions": harness.versions()}))
