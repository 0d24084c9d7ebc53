# SPDX-License-Identifier: Apache-2.0
"""The interface of the measured systems, and the command line of their programs.

`python -m benchmarks.programs.our_flow speed '{"num_steps": 8, "width": 128}'` prints figures as JSON.
`train IMAGES RESULT SETTINGS` trains for some minutes, see `benchmarks.timed_training`. Only NumPy is imported, as the
environments of the peers have little more.
"""

import contextlib
import json
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import numpy as np

from benchmarks import harness

SHAPE = (32, 32, 3)


class System(NamedTuple):
    """A flow and its optimizer. Log-densities are in nats for pixels in [0, 256); every call waits for its result.

    Attributes:
      num_parameters: how many trainable numbers the flow has.
      prepare: from float32 images `[B, H, W, C]` in [0, 256) to the batch that the other functions take.
      step: from a batch and a multiplier of the learning rate to the mean log-density before the step.
      log_prob: from a batch to log-densities `[B]`.
      sample: draws that many images.
      round_trip: from a batch to the largest error of images that are encoded and decoded, for pixels in [0, 1).
      state_bytes: bytes of parameters and optimizer slots, after the first step.
      num_skipped: how many steps left the weights unchanged because the loss was not finite.
      evaluated_weights: context in which the flow has the weights that are evaluated.
    """

    num_parameters: int
    prepare: Callable[[np.ndarray], Any]
    step: Callable[[Any, float], float]
    log_prob: Callable[[Any], np.ndarray]
    sample: Callable[[int], Any]
    round_trip: Callable[[Any], float]
    state_bytes: Callable[[], int]
    num_skipped: Callable[[], int] = lambda: 0
    evaluated_weights: Callable[[], AbstractContextManager] = contextlib.nullcontext


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


def main(build: Callable[..., System]) -> None:
    """Runs the command line of a program."""
    task, *paths, settings = sys.argv[1:]
    if task == "train":
        from benchmarks import timed_training

        images, result = paths
        timed_training.run(build, images, result, **json.loads(settings))
    else:
        figures = measure(build, **json.loads(settings))
        print(json.dumps({"figures": figures, "versions": harness.versions()}))
