# SPDX-License-Identifier: Apache-2.0
"""Peers on known densities in the plane, beside the flows of `benchmarks.plane`: `python -m benchmarks.plane_peers`.

The peers have the points of `benchmarks.plane` and its measure of distance, and all train for the same seconds. A
search on validation points chooses the size and the learning rate of each. `RUNS/plane_peers` keeps the results, and
the command does not repeat them.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks import harness
from benchmarks.plane import KNOWN, distance
from benchmarks.report import publish, table
from benchmarks.vector_trials import (
    BAYESFLOW,
    Candidate,
    normflows,
    search,
    train,
    write_standardized,
    zuko,
)
from trainers import data

_NSF = {"hidden_sizes": (64, 64, 64), "bound": 8.0, "clip_norm": 1.0}  # One residual block of width 64.
PEERS = {
    # The flow of `toy_nsf`, and an autoregressive one. The presets have trainings of their own, with validations.
    "NSF, this package": Candidate("ours", "our_vectors", (
        {"kind": "nsf_coupling", "num_layers": 4, "num_bins": 32, "unconditional": False, **_NSF},
        {"kind": "nsf_autoregressive", "num_layers": 3, "num_bins": 16, **_NSF}), (1.5e-3, 3e-3)),
    **BAYESFLOW,
    "zuko, NSF": zuko("nsf_autoregressive"),
    # The example of splines has 16 layers with two residual blocks of width 128.
    "normflows, spline": normflows("nsf_autoregressive", ((16, (128,) * 5), (8, (128,) * 3))),
}
BATCH = 512


def points_of(args: argparse.Namespace, target: str) -> tuple[Path, float]:
    """Writes the points of a target. Returns their file and the logarithm of the volume of a standardized unit."""
    path = args.work / f"{target}.npz"
    return path, write_standardized(data.load(f"toy:{target}").arrays, path)


def search_of(args: argparse.Namespace, name: str) -> dict[str, Any]:
    """Returns the result of the search of a peer, whose trials have a part of the seconds."""
    def run(target: str, index: int, trial: Mapping[str, Any]) -> dict[str, Any]:
        settings = {"system": trial, "seconds": args.search_seconds, "batch_size": BATCH}
        return train(args, PEERS[name], points_of(args, target)[0],
                     args.work / "search" / f"{_slug(name)}_{target}_{index}.json", settings)

    return search(name, PEERS[name], args.search_targets, run)


def measured(args: argparse.Namespace, target: str, name: str, system: Mapping[str, Any]) -> dict[str, Any]:
    """Trains a peer on a target and measures its distance on the test points."""
    points, log_volume = points_of(args, target)
    result = args.work / f"{_slug(name)}_{target}.json"
    settings = {"system": system, "seconds": args.seconds, "batch_size": BATCH, "test": True}
    trained = train(args, PEERS[name], points, result, settings)
    learned = tf.constant(np.load(result.with_suffix(".npy")) - log_volume)
    kept = {key: trained[key] for key in ("params", "steps", "seconds", "cores", "not_finite", "versions")}
    return {"target": target, "peer": name, **distance(SimpleNamespace(log_prob=lambda _: learned), target), **kept}


def _slug(name: str) -> str:
    return name.replace(", ", "_").replace(" ", "_")


def markdown(record: Mapping[str, Any]) -> str:
    """Returns the table: a row per target, with the distance of each flow of this package and of each peer."""
    ours = {(row["target"], row["preset"]): row for row in record["ours"]}
    peers = {(row["target"], row["peer"]): row for row in record["measured"]}
    presets, names = (list(dict.fromkeys(key for _, key in found)) for found in (ours, peers))
    best = {target: min([row["kl"] for found in (ours, peers) for (of, _), row in found.items()
                         if of == target and np.isfinite(row["kl"])], default=None) for target, _ in peers}

    def cell(row: Mapping[str, Any] | None, target: str, with_seconds: bool = False) -> str:
        if row is None:
            return "-"
        text = f"{row['kl']:.4f} ± {row['kl_error']:.4f}"
        text = f"**{text}**" if row["kl"] == best[target] else text
        return f"{text} in {row['seconds']:.0f} s" if with_seconds else text

    rows = [(f"`toy:{target}`", *(cell(ours.get((target, preset)), target, True) for preset in presets),
             *(cell(peers.get((target, name)), target) for name in names)) for target in best]
    chosen = [f"{name}: {json.dumps(found['settings'])}" for name, found in record["searches"].items()]
    number = record["measured"][0]["num_examples"]
    return "\n\n".join([
        table(("KL, nats", *(f"`{preset}`" for preset in presets), *names), rows),
        f"On {number:,} test points, with standard errors; bold: the least. The presets trained as `trainers.train` "
        "trains them, in the seconds of their cells. The other flows trained in one loop whose clock counts the steps, "
        f"for {record['seconds']:g} seconds. Their searches had {record['search_seconds']:g} seconds for each of "
        f"{record['num_trials']} trials on {' and '.join(record['search_targets'])}, judged by validation points. "
        f"{harness.allotment(record)}",
        "The searches chose:\n\n" + "\n".join(f"- {line}" for line in chosen),
        harness.describe(record["machine"], record["versions"])])


def main(argv: Sequence[str] | None = None) -> None:
    parser = harness.parser_of(__doc__, "plane_peers.json")
    parser.add_argument("--targets", nargs="+", choices=KNOWN, default=KNOWN, help="targets to learn")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS), help="peers to train")
    parser.add_argument("--seconds", type=float, default=120.0, help="seconds of training for each peer and target")
    parser.add_argument("--search_targets", nargs="+", choices=KNOWN, default=["checkerboard", "two_moons"],
                        help="targets of the search")
    parser.add_argument("--search_seconds", type=float, default=40.0, help="seconds of training for each trial")
    harness.define_at_once(parser)
    parser.add_argument("--ours", type=Path, default=harness.ROOT / "benchmarks" / "results" / "plane.json",
                        help="results of benchmarks.plane")
    args = parser.parse_args(argv)
    args.work = args.runs.resolve() / "plane_peers"
    ours = json.loads(args.ours.read_text())["measured"]
    record = {"machine": harness.machine(), "versions": {}, "seconds": args.seconds,
              "at_once": args.at_once, "search_seconds": args.search_seconds, "search_targets": args.search_targets,
              "num_trials": max(len(PEERS[name].trials) for name in args.peers),
              "ours": [{key: row[key] for key in ("target", "preset", "kl", "kl_error", "seconds")} for row in ours],
              "searches": {}, "measured": []}
    found = harness.side_by_side(args, lambda name: search_of(args, name), args.peers)
    record["searches"] = dict(zip(args.peers, found, strict=True))

    def run(case: tuple[str, str]) -> dict[str, Any]:
        return measured(args, *case, record["searches"][case[1]]["settings"])

    for row in harness.side_by_side(args, run, itertools.product(args.targets, args.peers)):
        record["versions"].update(row.pop("versions"))
        record["measured"].append(row)
        print(f"{row['peer']}, {row['target']}: KL {row['kl']:.4f} ± {row['kl_error']:.4f}", flush=True)
        publish(args, record, markdown(record), "plane_peers")


if __name__ == "__main__":
    main()
