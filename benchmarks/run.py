# SPDX-License-Identifier: Apache-2.0
"""Speed and memory of Glow in three libraries: `python -m benchmarks.run [--full]`; see the README beside this file.

Each measurement is a process of its own. TensorFlow is not imported here, nor anything else that would take memory or
processor time from what is measured.
"""

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from benchmarks import harness, report
from benchmarks.speed_tables import MAIN_DEPTH, markdown


class Program(NamedTuple):
    """A program to measure: its environment, its module and its settings."""

    environment: str
    module: str
    settings: dict[str, Any] = {}


_KINDS = {"stored": {}, "reversible": {"backprop": "reversible"}, "bfloat16": {"network_dtype": "mixed_bfloat16"}}
PROGRAMS = {
    **{f"ours, {kind}": Program("ours", "our_flow", {**settings, "divide": True}) for kind, settings in _KINDS.items()},
    "ours, stored, undivided": Program("ours", "our_flow"),
    "normflows": Program("normflows", "normflows_glow"),
    "normflows, channels last": Program("normflows", "normflows_glow", {"channels_last": True}),
    "normflows, channels last, bfloat16": Program(
        "normflows", "normflows_glow", {"channels_last": True, "autocast": True}),
    "normflows, channels last, compiled": Program(
        "normflows", "normflows_glow", {"channels_last": True, "compiled": True}),
    "tfb.Glow": Program("tfp", "tfb_glow"),
}
_ONLY_FULL = {"normflows", "normflows, channels last, compiled"}


class Case(NamedTuple):
    """A process to start: a program with K steps of flow per level and a width."""

    program: str
    depth: int
    width: int


def cases_of_round(number: int, widths: Sequence[int], depths: Sequence[int], full: bool) -> list[Case]:
    """Returns the cases of a round, which alternates between programs so that all share a slow minute of the machine.

    Each round measures all programs at the main depth. The first one measures the other depths too; without `full`,
    only with the two kinds of backpropagation of this package.
    """
    main = MAIN_DEPTH if MAIN_DEPTH in depths else depths[0]
    return [Case(name, depth, width) for width in widths for depth in (depths if number == 0 else [main])
            for name in PROGRAMS if full or name not in _ONLY_FULL and (
                depth == main or name in ("ours, stored", "ours, reversible"))]


def measure(case: Case, args: argparse.Namespace) -> dict[str, Any]:
    """Runs a case in a process of its own and returns its figures and versions, or its error."""
    program = PROGRAMS[case.program]
    settings = {"num_steps": case.depth, "width": case.width, "batch_size": args.batch, **program.settings}
    done = harness.run_module(
        harness.python_of(program.environment, args), f"programs.{program.module}", "speed", json.dumps(settings),
        prefix=shlex.split(args.prefix), capture_output=True)
    if done.returncode:
        return {"figures": {}, "error": f"exit code {done.returncode}: {done.stderr.strip()[-2000:]}"}
    return json.loads(done.stdout)


def measure_round(number: int, args: argparse.Namespace, record: dict[str, Any]) -> None:
    """Measures a round and adds it to the record."""
    cases = [case for case in cases_of_round(number, args.widths, args.depths, args.full)
             if case.program in args.programs]
    harness.add_round(cases, lambda case: measure(case, args), record, f"round {number + 1}/{args.rounds}")


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    def numbers(text: str) -> list[int]:
        return sorted(map(int, text.split(",")))

    parser = harness.parser_of(__doc__, "speed.json")
    parser.add_argument("--full", action="store_true", help="measure width 512 too, and all programs at all depths")
    parser.add_argument("--rounds", type=int, default=3, help="number of rounds in which the programs take turns")
    parser.add_argument("--widths", type=numbers, help="widths; None for 128, or with --full 128,512")
    parser.add_argument("--depths", type=numbers, default=[4, 8, 16, 32], help="values of K")
    parser.add_argument("--batch", type=int, default=32, help="images per batch")
    parser.add_argument("--programs", nargs="+", choices=PROGRAMS, default=list(PROGRAMS), help="programs to measure")
    parser.add_argument("--prefix", default="", help="command before each program, such as 'taskset -c 0,1'")
    parser.add_argument("--add", action="store_true", help="add rounds to those of --results; 0 rounds only report")
    args = parser.parse_args(argv)
    args.widths = args.widths or ([128, 512] if args.full else [128])
    return args


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_arguments(argv)
    record = {"machine": harness.machine(), "versions": {}, "batch": args.batch, "rounds": 0, "measurements": []}
    if args.add:
        record = json.loads(args.results.read_text())
    for number in range(args.rounds):
        measure_round(number, args, record)
        report.publish(args, record, markdown(record), "speed")
    if not args.rounds:
        report.publish(args, record, markdown(record), "speed")
    failed = sorted({m["program"] for m in record["measurements"] if "error" in m})
    if failed:
        sys.exit(f"These programs have errors, see {args.results}: {', '.join(failed)}.")


if __name__ == "__main__":
    main()
