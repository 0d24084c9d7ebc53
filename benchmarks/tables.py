# SPDX-License-Identifier: Apache-2.0
"""Test log-likelihood of flows on real tables of numbers, here and in the peers: `python -m benchmarks.tables`.

All flows have the same splits, the same loop and as many trials. Early stopping and the search read validation vectors
only. `RUNS/tables` keeps the results, and the command does not repeat them.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import harness
from benchmarks.report import publish, table
from benchmarks.vector_sets import SETS
from benchmarks.vector_trials import (
    BAYESFLOW,
    Candidate,
    normflows,
    search,
    train,
    write_standardized,
    zuko,
)

_RATES = (5e-4, 2e-3)


def _ours(kind: str, layers: int, sizes: Sequence[Sequence[int]], **more: Any) -> Candidate:
    return Candidate("ours", "our_vectors", tuple(
        {"kind": kind, "num_layers": layers, "hidden_sizes": tuple(hidden), **more} for hidden in sizes), _RATES)


_HIDDEN = ((128, 128), (32, 32))
_RESIDUAL = ((64,) * 5, (16,) * 5)  # Two residual blocks.
FLOWS = {
    "`realnvp_vector`": _ours("realnvp", 10, _HIDDEN),
    "`maf`": _ours("maf", 5, _HIDDEN, batch_norm=True),
    "`nsf`, coupling": _ours("nsf_coupling", 5, _RESIDUAL, linear="lu"),
    "`nsf`, autoregressive": _ours("nsf_autoregressive", 5, _RESIDUAL, linear="lu"),
    **BAYESFLOW,
    "zuko, MAF": zuko("maf", [(5, hidden) for hidden in _HIDDEN], _RATES),
    "zuko, NSF": zuko("nsf_autoregressive", ((3, (64, 64)), (3, (16, 16))), _RATES),
    "normflows, MAF": normflows("maf", [(5, hidden) for hidden in _HIDDEN]),
    "normflows, spline coupling": normflows("nsf_coupling", [(5, hidden) for hidden in _RESIDUAL]),
    "normflows, spline autoregressive": normflows("nsf_autoregressive", [(5, hidden) for hidden in _RESIDUAL]),
}
# Vectors per step, and epochs without a better validation that end a training.
TRAINING = {"breast_cancer": (100, 30), "photographs": (512, 5)}


def evaluate(args: argparse.Namespace, name: str, chosen: str, vectors: Path) -> dict[str, Any]:
    """Searches settings for a flow on a set, trains it with these and evaluates it on the test vectors."""
    batch_size, patience = TRAINING[chosen]
    slug = "".join(letter if letter.isalnum() else "_" for letter in name)

    def run(of: str, index: int | str, trial: Mapping[str, Any], test: bool = False) -> dict[str, Any]:
        settings = {"system": trial, "seconds": args.seconds, "batch_size": batch_size, "patience": patience,
                    "test": test}
        return train(args, FLOWS[name], vectors, args.work / f"{of}_{slug}_{index}.json", settings)

    found = search(f"{name} on {chosen}", FLOWS[name], [chosen], run)
    result = run(chosen, "test", found["settings"], test=True)
    log_densities = np.load(args.work / f"{chosen}_{slug}_test.npy")
    return {"flow": name, "set": chosen, "test": float(log_densities.mean()),
            "test_error": float(log_densities.std() / np.sqrt(len(log_densities))), "search": found, **result}


def markdown(record: Mapping[str, Any]) -> str:
    """Returns for each set a table with a row per flow."""
    sections = []
    for chosen, sizes in record["sets"].items():
        rows = [row for row in record["measured"] if row["set"] == chosen]
        if not rows:
            continue
        best = max(row["test"] for row in rows)

        def score(row: Mapping[str, Any], best: float = best) -> str:
            text = f"{row['test']:.2f} ± {row['test_error']:.2f}"
            return f"**{text}**" if row["test"] == best else text

        sections += [
            f"### `{chosen}`: {sizes['train']:,} vectors of {sizes['size']} numbers for training, "
            f"{sizes['validation']:,} for validation, {sizes['test']:,} for test",
            table(("", "test, nats", "validation, nats", "best epoch", "training, s", "parameters"), [
                (row["flow"], score(row), f"{row['validation']:.2f}", row["best_epoch"], f"{row['seconds']:.0f}",
                 f"{row['params']:,}") for row in rows])]
    return "\n\n".join([
        "Mean log-density per vector with its standard error, in nats. Vectors are standardized by the training split; "
        f"bold: the greatest. Each of {record['num_trials']} trials trained for at most {record['seconds']:g} seconds. "
        f"{harness.allotment(record)}",
        *sections, harness.describe(record["machine"], record["versions"])])


def main(argv: Sequence[str] | None = None) -> None:
    parser = harness.parser_of(__doc__, "tables.json")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), help="sets to learn")
    parser.add_argument("--flows", nargs="+", choices=FLOWS, default=list(FLOWS), help="flows to train")
    parser.add_argument("--seconds", type=float, default=60.0, help="greatest number of seconds of one training")
    harness.define_at_once(parser)
    args = parser.parse_args(argv)
    args.work = args.runs.resolve() / "tables"
    record: dict[str, Any] = {
        "machine": harness.machine(), "versions": {}, "seconds": args.seconds, "at_once": args.at_once,
        "num_trials": max(len(FLOWS[name].trials) for name in args.flows), "sets": {}, "measured": []}
    for chosen in args.sets:
        splits, vectors = SETS[chosen](), args.work / f"{chosen}.npz"
        write_standardized(splits, vectors)
        record["sets"][chosen] = {"size": splits["train"].shape[1], **{k: len(rows) for k, rows in splits.items()}}

        def run(name: str, chosen: str = chosen, vectors: Path = vectors) -> dict[str, Any]:
            return evaluate(args, name, chosen, vectors)

        for row in harness.side_by_side(args, run, args.flows):
            record["versions"].update(row.pop("versions"))
            record["measured"].append(row)
            print(f"{row['flow']} on {chosen}: {row['test']:.3f} ± {row['test_error']:.3f} nats", flush=True)
            publish(args, record, markdown(record), "tables")


if __name__ == "__main__":
    main()
