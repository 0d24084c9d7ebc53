# SPDX-License-Identifier: Apache-2.0
"""Speed and memory of Glow on a GPU, here and in normflows: `python -m benchmarks.gpu`; see the README beside it.

Each program has a process per case. All of them compile first. Then they take turns, and only one of them uses the GPU
at a time. TensorFlow is not imported here.
"""

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks import harness, report
from benchmarks.speed_tables import ratio


class Program(NamedTuple):
    """A program to measure: its library, how it runs there, the precision of its networks, and its settings."""

    library: str
    how: str
    precision: str
    settings: dict[str, Any]


PROGRAMS = {f"{library}, {how}, {precision}": Program(library, how, precision, {**settings, "network_dtype": dtype})
            for library, ways, bfloat16 in (
                ("ours", {"graph": {}, "XLA": {"jit_compile": True}}, "mixed_bfloat16"),
                ("normflows", {"eager": {}, "torch.compile": {"compiled": True}}, "bfloat16"))
            for how, settings in ways.items()
            for precision, dtype in (("float32", "float32"), ("bfloat16", bfloat16))}
FIGURES = {"train_s": "training step, ms", "log_prob_s": "log_prob, ms", "sample_s": "sampling, ms",
           "peak_gb": "peak memory of training, GB"}
TIMED = ("train_s", "log_prob_s", "sample_s")


class Worker:
    """The process of a program and a case. A thread waits until it has compiled.

    Attributes:
      program: name of the program.
      case: width and batch size.
      compiled: the first answer, or None until it comes.
    """

    def __init__(self, program: str, case: dict[str, int], args: argparse.Namespace):
        self.program, self.case = program, case
        self.compiled: dict[str, Any] | None = None
        library, _, _, settings = PROGRAMS[program]
        self._process = subprocess.Popen(
            [harness.python_of(library, args), "-m", f"benchmarks.programs.gpu_{library}",
             json.dumps({"num_steps": args.depth, "batch_size": case["batch"], "width": case["width"], **settings})],
            cwd=harness.ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=args.log)
        self._thread = threading.Thread(target=self._collect, daemon=True)
        self._thread.start()

    def _collect(self) -> None:
        line = self._process.stdout.readline()
        if line:
            self.compiled = json.loads(line)
        print(f"{self.program}, {self.case}: {(line or 'no answer')[:200].strip()}", flush=True)

    def wait(self, seconds: float) -> dict[str, Any]:
        """Waits until the case has compiled and returns the first answer. Ends the process if it takes longer."""
        self._thread.join(max(0.0, seconds))
        if self.compiled is None:
            self.end()
        return self.compiled or {"figures": {}, "error": "The process ended, or compiled longer than --patience."}

    def measure(self, budget: float) -> dict[str, float]:
        """Returns the figures, or none if the case was not compiled."""
        if self.compiled is None or "error" in self.compiled:
            return {}
        self._process.stdin.write(f"{budget}\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline() or "{}")

    def end(self) -> None:
        """Ends the process."""
        self._process.kill()


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Returns the record of all measurements."""
    cases = [{"width": width, "batch": batch} for width in args.widths for batch in args.batches]
    workers = [Worker(program, case, args) for case in cases for program in args.programs]
    record: dict[str, Any] = {"machine": harness.machine(), "versions": {}, "depth": args.depth, "rounds": args.rounds,
                              "measurements": []}

    def add(worker: Worker, number: int, **measured: Any) -> None:
        record["measurements"].append({"program": worker.program, "case": worker.case, "round": number, **measured})

    try:
        deadline = time.monotonic() + args.patience
        for worker in workers:
            first = worker.wait(deadline - time.monotonic())
            record["versions"].update(first.pop("versions", {}))
            record["device"] = first.pop("device", record.get("device"))
            add(worker, 0, **first)
        for number, worker in itertools.product(range(args.rounds), workers):
            add(worker, number, figures=worker.measure(args.budget))
    finally:
        for worker in workers:
            worker.end()
    return record


def by_round(record: Mapping[str, Any], figure: str, program: str, case: Mapping[str, int]) -> dict[int, float]:
    """Returns a figure of each round that has it."""
    return {m["round"]: m["figures"][figure] for m in record["measurements"]
            if m["program"] == program and m["case"] == case and figure in m["figures"]}


def markdown(record: Mapping[str, Any]) -> str:
    """Returns the setting, and for each case a table of medians and one of ratios between the fastest programs."""
    setting = harness.describe(record["machine"], record["versions"])
    sections = [f"{record['device']}; {setting} Glow on 32x32x3 images, 3 levels, K = {record['depth']}. Medians over "
                "rounds; in brackets the ratio of each round."]
    cases = list({tuple(m["case"].items()): m["case"] for m in record["measurements"]}.values())
    for case in sorted(cases, key=lambda case: tuple(case.values())):
        medians = {(program, figure): statistics.median(values.values()) for program in PROGRAMS for figure in FIGURES
                   if (values := by_round(record, figure, program, case))}
        rows = [(program, *(report.show(value and value * (1000.0 if figure in TIMED else 1.0))
                            for figure in FIGURES for value in [medians.get((program, figure))]))
                for program in PROGRAMS if any((program, figure) in medians for figure in FIGURES)]
        ratios = []
        for figure, precision in itertools.product(TIMED, ("float32", "bfloat16")):
            fastest = [min((program for program, (library, _, dtype, _) in PROGRAMS.items()
                            if (library, dtype) == (wanted, precision) and (program, figure) in medians),
                           key=lambda program, figure=figure: medians[program, figure], default=None)
                       for wanted in ("ours", "normflows")]
            if None not in fastest:
                ours, peer = (by_round(record, figure, program, case) for program in fastest)
                ratios.append((FIGURES[figure].removesuffix(", ms"), *fastest, ratio(peer, ours)))
        sections += [f"### Width {case['width']}, batch {case['batch']}", report.table(("", *FIGURES.values()), rows),
                     report.table(("times faster", "ours", "than", ""), ratios)]
    return "\n\n".join(sections)


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    def numbers(text: str) -> list[int]:
        return sorted(map(int, text.split(",")))

    parser = harness.parser_of(__doc__, "gpu.json")
    parser.add_argument("--rounds", type=int, default=3, help="number of rounds in which the programs take turns")
    parser.add_argument("--depth", type=int, default=8, help="K, the steps of flow per level")
    parser.add_argument("--widths", type=numbers, default=[128, 512], help="widths of the coupling networks")
    parser.add_argument("--batches", type=numbers, default=[32, 256], help="images per batch")
    parser.add_argument("--programs", nargs="+", choices=PROGRAMS, default=list(PROGRAMS), help="programs to measure")
    parser.add_argument("--budget", type=float, default=0.5, help="seconds per figure, case and round")
    parser.add_argument("--patience", type=float, default=600.0, help="seconds in which all cases must compile")
    parser.add_argument("--log", type=argparse.FileType("w"), help="file for messages; None to print them")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_arguments(argv)
    record = measure(args)
    report.publish(args, record, markdown(record), "gpu")
    failed = sorted({m["program"] for m in record["measurements"] if "error" in m})
    if failed:
        sys.exit(f"These programs have errors, see {args.results}: {', '.join(failed)}.")


if __name__ == "__main__":
    main()
