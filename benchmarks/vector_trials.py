# SPDX-License-Identifier: Apache-2.0
"""Flows that are trained on vectors: their trials, the search among them on validation vectors, and processes."""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import harness


class Candidate(NamedTuple):
    """A library's flow with the trials of its search.

    Attributes:
      environment: name of the environment.
      module: name of the program.
      sizes: settings of the flow, one dict per size. The first one has the defaults of the library's documentation.
      rates: learning rates. Each size is tried with each of them.
    """

    environment: str
    module: str
    sizes: tuple[dict[str, Any], ...]
    rates: tuple[float, ...]

    @property
    def trials(self) -> list[dict[str, Any]]:
        """Settings of the program, one dict per trial."""
        return [{**size, "learning_rate": rate} for size in self.sizes for rate in self.rates]


def write_standardized(arrays: Mapping[str, np.ndarray], path: Path) -> float:
    """Writes splits of vectors, standardized by the training split, as float32 to an `.npz` file.

    Returns:
      The sum of the logarithms of the training split's standard deviations. A log-density in the units of the arrays is
      the log-density in standardized units minus this number.
    """
    train = np.asarray(arrays["train"], np.float64)
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **{split: ((array - mean) / deviation).astype(np.float32) for split, array in arrays.items()})
    return float(np.log(deviation).sum())


def train(args: argparse.Namespace, candidate: Candidate, vectors: Path, result: Path,
          settings: Mapping[str, Any]) -> dict[str, Any]:
    """Trains in a process of its own, unless `result` has the settings already. Returns the result.

    Args:
      args: the command line, for `harness.python_of` and `harness.core_of`.
      candidate: the library's flow.
      vectors: `.npz` file of the splits.
      result: JSON file of the result.
      settings: arguments of `vector_training.run`.
    """
    one_core = {"one_core": True} if args.at_once > 1 else {}
    wanted = {"vectors": str(vectors), **json.loads(json.dumps(settings)), **one_core}
    kept = result.with_suffix(".settings.json")
    if not (result.exists() and kept.exists() and json.loads(kept.read_text()) == wanted):
        result.parent.mkdir(parents=True, exist_ok=True)
        python = harness.python_of(candidate.environment, args)
        with harness.core_of(args) as prefix:
            done = harness.run_module(python, f"programs.{candidate.module}", "train", vectors, result,
                                      json.dumps(settings), capture_output=True, prefix=prefix)
        if done.returncode:
            sys.exit(f"{result.stem} ended with an error:\n{done.stderr.strip()[-3000:]}")
        kept.write_text(json.dumps(wanted, indent=1) + "\n")
    return json.loads(result.read_text())


def search(name: str, candidate: Candidate, sets: Sequence[str],
           run: Callable[[str, int, dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    """Returns the settings of the trial with the best validation, and the validations of all trials.

    Args:
      name: name of the candidate, for messages.
      candidate: the library's flow.
      sets: names of the sets. The mean of their validations decides.
      run: from the name of a set, the index of a trial and its settings to a result of `train`, without test vectors.
    """
    tried = []
    for index, trial in enumerate(candidate.trials):
        results = [run(chosen, index, trial)["validation"] for chosen in sets]
        mean = None if None in results else float(np.mean(results))
        tried.append({"settings": trial, "validation": mean})
        print(f"{name}, trial {index + 1} of {len(candidate.trials)}: validation {mean}, {json.dumps(trial)}",
              flush=True)
    finite = [trial for trial in tried if trial["validation"] is not None]
    if not finite:
        sys.exit(f"{name}: no trial has a finite validation.")
    return {"settings": max(finite, key=lambda trial: trial["validation"])["settings"], "tried": tried}


def _bayesflow(kind: str, **more: Any) -> Candidate:
    defaults = {"kind": kind, "num_layers": 12, "hidden_sizes": (128, 128), "compiled": True, **more}
    return Candidate("bayesflow_jax", "bayesflow_vectors",
                     (defaults, {**defaults, "subnet": {"dropout": None}}), (5e-4, 2e-3))


# BayesFlow has its defaults: orthogonal weights, hard SiLU, dropout, actnorm and random permutations. JAX is the faster
# of its backends here.
BAYESFLOW = {"BayesFlow, affine": _bayesflow("realnvp"),
             "BayesFlow, spline": _bayesflow("nsf_coupling", num_bins=16)}


def zuko(kind: str, sizes: Sequence[tuple[int, tuple[int, ...]]] = ((3, (64, 64)), (5, (128, 128))),
         rates: tuple[float, ...] = (1e-3, 3e-3)) -> Candidate:
    """Returns zuko's flow; its defaults are three transforms and two hidden layers of 64."""
    return Candidate("normflows", "zuko_vectors", tuple(
        {"kind": kind, "num_layers": layers, "hidden_sizes": hidden} for layers, hidden in sizes), rates)


def normflows(kind: str, sizes: Sequence[tuple[int, tuple[int, ...]]],
              rates: tuple[float, ...] = (5e-4, 2e-3)) -> Candidate:
    """Returns normflows' flow with the linear maps and the weight decay of its example of splines."""
    return Candidate("normflows", "normflows_vectors", tuple(
        {"kind": kind, "num_layers": layers, "hidden_sizes": hidden, "linear": "lu", "weight_decay": 1e-5}
        for layers, hidden in sizes), rates)
