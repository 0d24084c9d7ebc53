# SPDX-License-Identifier: Apache-2.0
"""Process that keeps a flow on a GPU and measures it on request; `benchmarks.gpu` starts it.

The process compiles all functions and prints one JSON object. Then each line that it reads, the seconds per figure,
makes it measure the functions and print the figures. Only NumPy is imported, as the environments of the peers have
little more.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from benchmarks import harness

SHAPE = (32, 32, 3)


class GpuSystem(NamedTuple):
    """A flow and its optimizer on a GPU. Each function waits until the GPU has finished.

    Attributes:
      train: runs that many training steps with the same images.
      log_prob: evaluates the images that many times.
      sample: draws that many batches.
      peak_gb: peak memory of the GPU in GB since the last call of this function.
      device: name of the GPU.
    """

    train: Callable[[int], Any]
    log_prob: Callable[[int], Any]
    sample: Callable[[int], Any]
    peak_gb: Callable[[], float]
    device: str


def seconds_per_call(function: Callable[[int], Any], budget: float) -> float:
    """Returns the seconds per call in a run of calls that takes about `budget` seconds, after one call."""
    start = time.perf_counter()
    function(1)
    number = max(3, int(budget / (time.perf_counter() - start)))
    start = time.perf_counter()
    function(number)
    return (time.perf_counter() - start) / number


def first_answer(build: Callable[..., GpuSystem], batch_size: int, **settings: Any) -> tuple[GpuSystem | None, dict]:
    """Builds a system and runs each of its functions once, which compiles them.

    Returns:
      The system, and an answer with the seconds until the first step, the peak memory of training, the GPU and the
      versions. After an error, None and an answer with the error.
    """
    images = np.random.default_rng(0).random((batch_size, *SHAPE), np.float32) * np.float32(255.0)
    start = time.perf_counter()
    try:
        system = build(images, **settings)
        system.train(1)
        figures = {"first_step_s": time.perf_counter() - start}
        system.peak_gb()
        system.train(2)
        figures["peak_gb"] = system.peak_gb()
        for function in (system.log_prob, system.sample):
            function(1)
    except Exception as error:  # The other programs are measured all the same.
        return None, {"figures": {}, "error": f"{type(error).__name__}: {error}"[:2000]}
    return system, {"figures": figures, "device": system.device, "versions": harness.versions()}


def main(build: Callable[..., GpuSystem]) -> None:
    """Runs a worker: `python -m MODULE SETTINGS`, with the settings as JSON."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # The libraries print to the standard output, too.
    system, answer = first_answer(build, **json.loads(sys.argv[1]))
    print(json.dumps(answer), file=answers, flush=True)
    for line in sys.stdin if system else ():
        figures = {f"{name}_s": seconds_per_call(getattr(system, name), float(line))
                   for name in ("train", "log_prob", "sample")}
        print(json.dumps(figures), file=answers, flush=True)
