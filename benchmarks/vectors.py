# SPDX-License-Identifier: Apache-2.0
"""Speed of flows over vectors in four libraries: `python -m benchmarks.vectors [--full]`; see the README here.

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
from benchmarks.vector_tables import KINDS, markdown


class Program(NamedTuple):
    """A program to measure: its environment, its module, its settings, and the threads of each TensorFlow operation."""

    environment: str
    module: str
    settings: dict[str, Any] = {}
    threads: str | None = None
    kinds: tuple[str, ...] = tuple(KINDS)
    is_variant: bool = False


_COUPLINGS = ("realnvp", "nsf_coupling")
_EAGER_STEP = {"jit": False, "compiled": True}
# The first program of a library is the one of its documentation. Variants are measured with --full, once.
PROGRAMS = {
    "ours": Program("ours", "our_vectors"),
    "ours, undivided": Program("ours", "our_vectors", {"divide": False}),
    "BayesFlow, TensorFlow": Program("bayesflow_tensorflow", "bayesflow_vectors", kinds=_COUPLINGS),
    "BayesFlow, TensorFlow, tf.function": Program(
        "bayesflow_tensorflow", "bayesflow_vectors", _EAGER_STEP, kinds=_COUPLINGS),
    "BayesFlow, TensorFlow, tf.function, one thread": Program(
        "bayesflow_tensorflow", "bayesflow_vectors", _EAGER_STEP, "1", _COUPLINGS, True),
    "BayesFlow, JAX": Program("bayesflow_jax", "bayesflow_vectors", kinds=_COUPLINGS),
    "BayesFlow, JAX, jax.jit": Program("bayesflow_jax", "bayesflow_vectors", {"compiled": True}, kinds=_COUPLINGS),
    "normflows": Program("normflows", "normflows_vectors"),
    "normflows, one thread": Program("normflows", "normflows_vectors", {"threads": 1}, is_variant=True),
    "normflows, torch.compile": Program("normflows", "normflows_vectors", {"compiled": True}, is_variant=True),
    "zuko": Program("normflows", "zuko_vectors"),
    "zuko, one thread": Program("normflows", "zuko_vectors", {"threads": 1}, is_variant=True),
    "zuko, torch.compile": Program("normflows", "zuko_vectors", {"compiled": True}, is_variant=True),
}


class Case(NamedTuple):
    """A process to start: a program with a kind of flow and a size of vectors."""

    program: str
    kind: str
    size: int


def cases_of_round(number: int, kinds: Sequence[str], sizes: Sequence[int], full: bool) -> list[Case]:
    """Returns the cases of a round, which alternates between programs so that all share a slow minute of the machine.

    With `full`, the first round measures the variants of settings too.
    """
    return [Case(name, kind, size) for kind in kinds for size in sizes for name, program in PROGRAMS.items()
            if kind in program.kinds and (not program.is_variant or full and number == 0)]


def settings_of(case: Case, batch_size: int) -> dict[str, Any]:
    """Returns the settings of the program of a case."""
    num_layers, hidden_sizes = KINDS[case.kind].num_layers, KINDS[case.kind].hidden_sizes
    return {"kind": case.kind, "size": case.size, "num_layers": num_layers, "hidden_sizes": hidden_sizes,
            "batch_size": batch_size, **_unconditioned(case), **PROGRAMS[case.program].settings}


def _unconditioned(case: Case) -> dict[str, Any]:
    """Returns what leaves out the parts of BayesFlow's flow that the others do not have."""
    if PROGRAMS[case.program].module != "bayesflow_vectors":
        return {}
    return {"use_actnorm": False, "permutation": None, "subnet": {"activation": "relu", "dropout": None}}


def measure(case: Case, args: argparse.Namespace) -> dict[str, Any]:
    """Runs a case in a process of its own and returns its figures and versions, or its error."""
    program = PROGRAMS[case.program]
    done = harness.run_module(
        harness.python_of(program.environment, args), f"programs.{program.module}", "speed",
        json.dumps(settings_of(case, args.batch)), prefix=shlex.split(args.prefix), threads=program.threads,
        capture_output=True)
    if done.returncode:
        return {"figures": {}, "error": f"exit code {done.returncode}: {done.stderr.strip()[-2000:]}"}
    return json.loads(done.stdout.splitlines()[-1])


def measure_round(number: int, args: argparse.Namespace, record: dict[str, Any]) -> None:
    """Measures a round and adds it to the record."""
    cases = [case for case in cases_of_round(number, args.kinds, args.sizes, args.full)
             if case.program in args.programs]
    harness.add_round(cases, lambda case: measure(case, args), record, f"round {number + 1}/{args.rounds}")


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    def numbers(text: str) -> list[int]:
        return sorted(map(int, text.split(",")))

    parser = harness.parser_of(__doc__, "vectors.json")
    parser.add_argument("--full", action="store_true", help="measure the variants of settings of the peers too, once")
    parser.add_argument("--rounds", type=int, default=3, help="number of rounds in which the programs take turns")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="kinds of flows")
    parser.add_argument("--sizes", type=numbers, default=[2, 16, 64], help="numbers of elements of a vector")
    parser.add_argument("--batch", type=int, default=512, help="vectors per batch")
    parser.add_argument("--programs", nargs="+", choices=PROGRAMS, default=list(PROGRAMS), help="programs to measure")
    parser.add_argument("--prefix", default="", help="command before each program, such as 'taskset -c 0,1'")
    parser.add_argument("--add", action="store_true", help="add rounds to those of --results; 0 rounds only report")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_arguments(argv)
    record = {"machine": harness.machine(), "versions": {}, "batch": args.batch, "rounds": 0, "measurements": []}
    if args.add:
        record = json.loads(args.results.read_text())
    for environment in sorted({PROGRAMS[name].environment for name in args.programs}):
        harness.python_of(environment, args)  # An environment that is missing is made before anything is timed.
    for number in range(args.rounds):
        measure_round(number, args, record)
        report.publish(args, record, markdown(record), "vectors")
    if not args.rounds:
        report.publish(args, record, markdown(record), "vectors")
    failed = sorted({m["program"] for m in record["measurements"] if "error" in m})
    if failed:
        sys.exit(f"These programs have errors, see {args.results}: {', '.join(failed)}.")


if __name__ == "__main__":
    main()
