# SPDX-License-Identifier: Apache-2.0
"""What every timed program prints, and how: ours and the peers' alike, each in an environment of its own.

Only the standard library is imported, as the peers' environments have nothing of ours.
"""

import re
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

SHAPE = (32, 32, 3)
NUM_LEVELS = 3


class Program(NamedTuple):
    """A built model on one batch; every call returns when its work is done."""

    params: int
    state_bytes: Callable  # of parameters and optimizer slots, once there was a step
    step: Callable
    log_prob: Callable
    sample: Callable
    round_trip: Callable  # largest absolute error of an image encoded and decoded again, in units of [0, 1)


def run(build):
    """Runs `K WIDTH BATCH [memory] [options]` from the command line and prints one figure a line.

    `memory` trains for a few steps and does nothing else, so that the peak is that of training.
    """
    num_steps, width, batch, options = *map(int, sys.argv[1:4]), set(sys.argv[4:])
    only_memory = "memory" in options
    show("base_rss_gb", peak_rss_gb())
    program = timed("build_s", lambda: build(num_steps, width, batch, options - {"memory"}))
    show("params", program.params)
    timed("first_step_s", program.step)
    if only_memory:
        for _ in range(3):
            program.step()
    else:
        show("train_step_s", median_seconds(program.step, 10))
        program.log_prob()
        show("log_prob_s", median_seconds(program.log_prob, 7))
        program.sample()
        show("sample_s", median_seconds(program.sample, 7))
        show("round_trip_max_abs", program.round_trip())
    show("state_gb", program.state_bytes() / 1e9)
    show("peak_rss_gb", peak_rss_gb())


def show(name, value):
    print(name, value, flush=True)


def timed(name, function):
    start = time.perf_counter()
    result = function()
    show(name, time.perf_counter() - start)
    return result


def median_seconds(function, runs, budget=20.0):
    """Median of up to `runs` calls; of fewer, but at least 3, when they take more than `budget` seconds."""
    times = []
    while len(times) < runs and (len(times) < 3 or sum(times) < budget):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def peak_rss_gb():
    """Peak resident memory of this process."""
    status = Path("/proc/self/status")
    if status.exists():  # `getrusage` would count what the parent had before `exec`.
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) * 1024 / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e9  # macOS counts bytes.
