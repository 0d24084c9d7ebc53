# SPDX-License-Identifier: Apache-2.0
"""Times calls of an exported SavedModel against the same calls in process: `python -m benchmarks.exported [ROUNDS]`.

For a small Glow and a tiny one, prints the median seconds of `FlowModel`'s graph functions, of the signatures that
`tf.saved_model.load` gives, and their ratio. The two take turns, so that a change of the machine's speed meets both.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import statistics
import sys
import tempfile
import time
from typing import NamedTuple

import tensorflow as tf

import tfp_glow
from benchmarks.harness import show


class Case(NamedTuple):
    """A Glow, and the batch that it is called on."""

    name: str
    shape: tuple
    num_levels: int
    num_steps: int
    width: int
    batch: int
    calls: int  # a round


CASES = (Case("small", (32, 32, 3), 3, 8, 128, 32, 1), Case("tiny", (8, 8, 1), 2, 4, 32, 32, 20))


def medians(functions, rounds, calls):
    """The median seconds of a call of each function, of rounds of some calls in which they take turns."""
    times = {name: [] for name in functions}
    for number in range(rounds + 2):
        order = list(functions) if number % 2 else list(reversed(functions))
        for name in order:
            start = time.perf_counter()
            for _ in range(calls):
                functions[name]()
            times[name].append((time.perf_counter() - start) / calls)
    return {name: statistics.median(seconds[2:]) for name, seconds in times.items()}  # The first two warm up.


def compare(case, rounds):
    """Prints the medians of a case, and returns the ratios exported / in process, by signature."""
    model = tfp_glow.FlowModel(tfp_glow.glow(case.shape, case.num_levels, case.num_steps, case.width, seed=0))
    images = tf.random.stateless_uniform((case.batch, *case.shape), (0, 0), maxval=256.0)
    model.initialize(images)
    zero, number, temperature = tf.constant(0), tf.constant(case.batch), tf.constant(0.7)
    ratios = {}
    with tempfile.TemporaryDirectory() as directory:
        signatures = tf.saved_model.load(tfp_glow.export_saved_model(model, f"{directory}/1")).signatures
        pairs = {
            "log_prob": {
                "in_process": lambda: model.functions.log_prob(images, zero).numpy(),
                "exported": lambda: signatures["log_prob"](images=images)["log_prob"].numpy()},
            "sample": {
                "in_process": lambda: model.functions.sample(number, temperature, zero).numpy(),
                "exported": lambda: signatures["sample"](
                    number=number, temperature=temperature, seed=zero)["images"].numpy()},
        }
        for signature, functions in pairs.items():
            found = medians(functions, rounds, case.calls)
            for name, seconds in found.items():
                show(f"{case.name}_{signature}_{name}_s", seconds)
            ratios[signature] = found["exported"] / found["in_process"]
            show(f"{case.name}_{signature}_ratio", ratios[signature])
    return ratios


if __name__ == "__main__":
    for each in CASES:
        compare(each, rounds=int(sys.argv[1]) if len(sys.argv) > 1 else 30)
