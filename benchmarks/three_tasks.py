# SPDX-License-Identifier: Apache-2.0
"""Inference, sampling and density of five systems against dimension: `python -m benchmarks.three_tasks`.

All have four layers. Grey images of side 4 to 32 are vectors of 16 to 1,024 numbers to all but Glow, whose networks
are convolutions; the others' are dense, with two hidden layers of 64. The weights are moved off their start by a little
noise. A task is serial if its network evaluations grow with the dimension, and parallel if one a layer is enough; the
evaluations are counted, and the times beside them measured. The table goes into the README of the benchmarks.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import contextlib
import functools
import sys
from unittest import mock

import numpy as np
import tensorflow as tf

import tfp_glow
from benchmarks import trained
from benchmarks.harness import median_seconds
from benchmarks.report import table
from tfp_glow.networks import ConvNet, MADE, MLP

NUM_LAYERS, HIDDEN, BATCH = 4, (64, 64), 16
SIDES = (4, 8, 16, 32)
SYSTEMS = {
    "NICE": lambda shape: tfp_glow.nice(shape, NUM_LAYERS, HIDDEN, seed=0),
    "RealNVP": lambda shape: tfp_glow.realnvp_vector(shape, NUM_LAYERS, HIDDEN, seed=0),
    "Glow": lambda shape: tfp_glow.glow(shape, num_levels=1, num_steps=NUM_LAYERS, width=32, seed=0),
    "MAF": lambda shape: tfp_glow.maf(shape, NUM_LAYERS, HIDDEN, batch_norm=False, seed=0),
    "IAF": lambda shape: tfp_glow.iaf(shape, NUM_LAYERS, HIDDEN, seed=0),
}
TASKS = {
    "inference": lambda flow, x: flow.bijector.inverse(x),
    "sampling": lambda flow, x: flow.sample(x.shape[0], seed=(1, 2)),
    "density": lambda flow, x: flow.log_prob(x),
}


def parse_arguments(argv=None):
    parser = trained.parser_of(__doc__, "three_tasks.json")
    parser.set_defaults(readme=trained.ROOT / "benchmarks" / "README.md")
    parser.add_argument("--sides", nargs="+", type=int, default=SIDES, help="of the images, even numbers")
    return parser.parse_args(argv)


def prepared(system, side):
    """A flow over images of a side, its weights off their start, and a batch of such images."""
    random = np.random.RandomState(0)
    flow = SYSTEMS[system]((side, side, 1))
    x = tf.constant(random.uniform(0.0, 256.0, (BATCH, side, side, 1)), tf.float32)
    tfp_glow.initialize(flow, x)
    for variable in flow.trainable_variables:
        variable.assign_add(0.01 * random.standard_normal(variable.shape))
    return flow, x


@contextlib.contextmanager
def counted_evaluations(kinds=(MLP, ConvNet, MADE)):
    """A context that yields a variable, to which each evaluation of a network traced in it adds one."""
    count = tf.Variable(0)

    def counting(call):
        @functools.wraps(call)
        def counted(*args, **kwargs):
            count.assign_add(1)
            return call(*args, **kwargs)
        return counted

    with contextlib.ExitStack() as stack:
        for kind in kinds:
            stack.enter_context(mock.patch.object(kind, "call", counting(kind.call)))
        yield count


def evaluations(task, flow, x):
    """How often a task evaluates each layer's network: counted while a graph of its own runs, loops and all.

    In graphs TFP evaluates a network once before it loops, for its variables' sake; TensorFlow drops that where nothing
    counts it.
    """
    with counted_evaluations() as count:
        tf.function(functools.partial(TASKS[task], flow), autograph=False)(x)
        return int(count) / NUM_LAYERS


def seconds(task, flow, x):
    """Median time of a task as a graph, on the batch."""
    run = tf.function(functools.partial(TASKS[task], flow), autograph=False)
    run(x)
    return median_seconds(lambda: run(x).numpy(), 25, budget=3.0)


def round_trip(flow, x):
    """Largest error of images encoded and decoded again, in units where pixels span [0, 1)."""
    there, back = (tf.function(way, autograph=False) for way in (flow.bijector.inverse, flow.bijector.forward))
    return float(tf.reduce_max(tf.abs(back(there(x)) - x))) / 256.0


def verdict(row):
    """Whether a task is serial or parallel, by the network evaluations at the smallest and largest dimension."""
    counts, sizes = row["evaluations"], row["dimensions"]
    if counts[0] == counts[-1] == 1:
        return "parallel"
    return "serial" if counts[-1] / counts[0] > 0.5 * sizes[-1] / sizes[0] else "unclear"


def markdown(record):
    """The table of the three tasks, and the measurements under it."""
    rows, first = record["measured"], record["measured"][0]
    verdicts = {(row["system"], row["task"]): verdict(row) for row in rows}
    overview = table(("", *TASKS), [(name, *(verdicts[name, task] for task in TASKS)) for name in SYSTEMS])
    head = ("", "task", *(f"D={size}, ms" for size in first["dimensions"]), "times longer",
            f"network evaluations a layer, D={first['dimensions'][0]} and {first['dimensions'][-1]}",
            "round trip, max abs")
    lines = [(row["system"], row["task"], *(f"{1000 * time:.3g}" for time in row["seconds"]),
              f"{row['seconds'][-1] / row['seconds'][0]:.1f}",
              f"{row['evaluations'][0]:g}, {row['evaluations'][-1]:g}",
              f"{max(row['round_trip']):.1g}" if row["task"] == "inference" else "") for row in rows]
    return f"{overview}\n\n{table(head, lines)}\n\nOf batches of {BATCH}. {record['setting']}"


def main(argv=None):
    args = parse_arguments(argv)
    measured = []
    for name in SYSTEMS:
        flows = [prepared(name, side) for side in args.sides]
        errors = [round_trip(*flow) for flow in flows]
        for task in TASKS:
            row = {"system": name, "task": task, "dimensions": [side**2 for side in args.sides],
                   "seconds": [seconds(task, *flow) for flow in flows],
                   "evaluations": [evaluations(task, *flow) for flow in flows], "round_trip": errors}
            measured.append(row)
            print(f"{name}, {task}: {', '.join(f'{1000 * s:.3g} ms' for s in row['seconds'])}", flush=True)
    record = {"setting": trained.setting(), "measured": measured}
    trained.publish(record, args.results, markdown(record), args.readme, "three tasks")


if __name__ == "__main__":
    sys.exit(main())
