# SPDX-License-Identifier: Apache-2.0
"""Command line of the programs for vectors, and the measurement of their speed.

`python -m benchmarks.programs.our_vectors speed '{"kind": "realnvp", "size": 2}'` prints figures as JSON.
`train VECTORS RESULT SETTINGS` trains and evaluates, see `vector_training`. Only NumPy is imported, as the environments
of the peers have little more.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks import harness
from benchmarks.programs import vector_training
from benchmarks.programs.vector_system import VectorSystem


def measure(build: Callable[..., VectorSystem], size: int, batch_size: int = 512, **settings: Any) -> dict[str, float]:
    """Returns the figures of a system on normal vectors, because the time of a step does not depend on them.

    Args:
      build: from the first batch of vectors and settings to a system.
      size: number of elements of a vector.
      batch_size: vectors per batch.
      **settings: of `build`.
    """
    figures: dict[str, float] = {}

    def timed(name: str, function: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = function()
        figures[name] = time.perf_counter() - start
        return result

    vectors = np.random.default_rng(0).standard_normal((batch_size, size), np.float32)
    system = timed("build_s", lambda: build(vectors, **settings))
    batch = system.prepare(vectors)
    timed("first_step_s", lambda: system.step(batch, 1.0))
    for name, calls, call in (("train_step_s", 100, lambda: system.step(batch, 1.0)),
                              ("log_prob_s", 100, lambda: system.log_prob(batch)),
                              ("sample_s", 50, lambda: system.sample(batch_size))):
        for _ in range(2):  # Traces. Some compilers trace a second time.
            call()
        figures[name] = harness.median_seconds(call, calls, budget=5.0)
    return {**figures, "params_m": system.num_parameters / 1e6}


def main(build: Callable[..., VectorSystem], argv: Sequence[str] | None = None) -> None:
    """Runs the command line of a program."""
    task, *paths, settings = sys.argv[1:] if argv is None else argv
    if task == "train":
        vectors, result = paths
        vector_training.run(build, vectors, result, **json.loads(settings))
    else:
        figures = measure(build, **json.loads(settings))
        print(json.dumps({"figures": figures, "versions": harness.versions()}))
