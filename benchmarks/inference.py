# SPDX-License-Identifier: Apache-2.0
"""Latency of log_prob and sampling of Glow at several batch sizes: `python -m benchmarks.inference`.

Ours run in process and as a SavedModel, beside normflows and `tfb.Glow`. Each measurement is a process of its own, and
the programs take turns, round after round.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks import harness, report
from benchmarks.run import PROGRAMS as TRAINED
from benchmarks.run import Program
from benchmarks.speed_tables import median

PROGRAMS = {
    "ours": TRAINED["ours, stored"],
    "ours, bfloat16": TRAINED["ours, bfloat16"],
    "ours, SavedModel": Program("ours", "our_exported"),
    "ours, SavedModel, bfloat16": Program("ours", "our_exported", {"network_dtype": "mixed_bfloat16"}),
    **{name: TRAINED[name] for name in (
        "normflows, channels last", "normflows, channels last, bfloat16", "tfb.Glow")},
}
# glibc keeps freed memory with these settings. Without them, normflows takes 58 to 101 ms for 32 images, from process
# to process; for our programs they make no difference.
KEEP_MEMORY = ("env", "MALLOC_MMAP_THRESHOLD_=4000000000", "MALLOC_TRIM_THRESHOLD_=8000000000",
               "MALLOC_TOP_PAD_=200000000")
TASKS = {"log_prob": "log_prob", "sample": "sampling"}


class Case(NamedTuple):
    """A process to start: a program."""

    program: str


def measure(case: Case, args: argparse.Namespace) -> dict[str, Any]:
    """Runs a case in a process of its own and returns its figures and versions, or its error."""
    program = PROGRAMS[case.program]
    settings = {"num_steps": args.depth, "width": args.width, "batch_sizes": args.batches, **program.settings}
    done = harness.run_module(harness.python_of(program.environment, args), f"programs.{program.module}", "inference",
                              json.dumps(settings), prefix=KEEP_MEMORY, capture_output=True)
    if done.returncode:
        return {"figures": {}, "error": f"exit code {done.returncode}: {done.stderr.strip()[-2000:]}"}
    return json.loads(done.stdout)


def markdown(record: Mapping[str, Any]) -> str:
    """Returns a table of medians, in brackets how many times faster than the peer of the same precision."""
    columns = [(task, batch) for task in TASKS for batch in record["batches"]]

    def seconds(program: str, task: str, batch: int) -> float | None:
        figure = f"{task}_{batch}_s"
        return median({m["round"]: m["figures"][figure] for m in record["measurements"]
                       if m["program"] == program and figure in m["figures"]})

    def cell(program: str, task: str, batch: int) -> str:
        own = seconds(program, task, batch)
        peer = "normflows, channels last, bfloat16" if "bfloat16" in program else "normflows, channels last"
        other = seconds(peer, task, batch)
        if own is None:
            return "-"
        return f"{1000 * own:.3g}" + ("" if peer == program or other is None else f" ({other / own:.2f})")

    programs = dict.fromkeys(m["program"] for m in record["measurements"])
    return "\n\n".join([
        f"{harness.describe(record['machine'], record['versions'])} Glow on 32x32x3 images, 3 levels, "
        f"K = {record['depth']}, width {record['width']}. Medians over {record['rounds']} rounds; in brackets how many "
        "times faster than normflows, channels last, in the same precision. All programs keep freed memory, by "
        "settings of glibc's allocator: without them, normflows took 58 to 101 ms for 32 images.",
        report.table(("ms", *(f"{TASKS[task]}, batch {batch}" for task, batch in columns)),
                     [(program, *(cell(program, *column) for column in columns)) for program in programs])])


def main(argv: Sequence[str] | None = None) -> None:
    parser = harness.parser_of(__doc__, "inference.json")
    parser.add_argument("--rounds", type=int, default=3, help="number of rounds in which the programs take turns")
    parser.add_argument("--depth", type=int, default=8, help="K, steps of flow per level")
    parser.add_argument("--width", type=int, default=128, help="width of the coupling networks")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 32, 1024], help="batch sizes")
    parser.add_argument("--programs", nargs="+", choices=PROGRAMS, default=list(PROGRAMS), help="programs to measure")
    args = parser.parse_args(argv)
    record: dict[str, Any] = {"machine": harness.machine(), "versions": {}, "depth": args.depth, "width": args.width,
                              "batches": args.batches, "rounds": 0, "measurements": []}
    for number in range(args.rounds):
        harness.add_round([Case(name) for name in args.programs], lambda case: measure(case, args), record,
                          f"round {number + 1}/{args.rounds}")
        report.publish(args, record, markdown(record), "inference")


if __name__ == "__main__":
    main()
