# SPDX-License-Identifier: Apache-2.0
"""Several flows, the same images and the same minutes of training: `python -m benchmarks.budget`.

    python -m benchmarks.budget --systems Glow Jet --data=tfds:cifar10 --minutes=30 --section=cifar10 \\
      --results=benchmarks/results/cifar10.json

Each system is a process in its own environment, one after the other, on all cores. `RUNS/budget` keeps the results, and
the command does not repeat them.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import dataclasses
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import harness
from benchmarks.programs.timed_training import NUM_MIDWAY
from benchmarks.report import publish, table
from trainers import data, presets
from trainers._command_line import is_convolutional
from trainers.data import pipeline

_SIZE = {"num_levels": 2, "num_steps": 8, "width": 96}
_NORMFLOWS = {**_SIZE, "weight_decay": 1e-5, "channels_last": True}
# Environment, program, images per step, settings of the program. Systems of this package have a preset instead.
PEERS = {
    "normflows": ("normflows", "normflows_glow", 128, _NORMFLOWS),
    "normflows, Adam": ("normflows", "normflows_glow", 128, {**_NORMFLOWS, "optimizer": "Adam"}),
    "tfb.Glow": ("tfp", "tfb_glow", 64, {**_SIZE, "optimizer": "Adam"}),
}
# The presets of this package, which divide batches among cores.
OURS = {"ours, plain": "fashion_mnist_glow", "ours, best": "fashion_mnist_best", "Glow": "cifar10_glow",
        "Jet": "cifar10_jet"}
SYSTEMS = (*PEERS, *OURS)
_FASHION_MNIST = [name for name in SYSTEMS if OURS.get(name, "fashion_mnist").startswith("fashion_mnist")]


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = harness.parser_of(__doc__, "budget.json")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=_FASHION_MNIST, help="systems to train")
    parser.add_argument("--minutes", type=float, default=20.0, help="minutes of training for each system")
    parser.add_argument("--data", default="idx:/usr/share/datasets/fashion-mnist", help="SPEC of the images")
    parser.add_argument("--limit", type=int, help="number of validation images and of test images; None for all")
    parser.add_argument("--seed", type=int, default=0, help="random seed of weights, data order and noise")
    parser.add_argument("--section", default="budget", help="name of the markers in the README")
    args = parser.parse_args(argv)
    if not args.minutes > 0.0:
        parser.error(f"--minutes: must be positive; received {args.minutes:g}")
    args.work = args.runs.resolve() / "budget"
    return args


def settings_of(args: argparse.Namespace, name: str) -> dict[str, Any]:
    """Returns all that a result depends on, except code and machine."""
    settings = {key: getattr(args, key) for key in ("data", "minutes", "limit", "seed")}
    if name in PEERS:
        settings.update(batch_size=PEERS[name][2], system=PEERS[name][3])
    else:
        preset = OURS[name]
        fields = dataclasses.asdict(presets.get(preset))
        settings.update(batch_size=fields["batch_size"], preset=preset, system={
            "preset": fields, "divide": is_convolutional(fields["flow"])})
    return json.loads(json.dumps(settings))


def result_path(args: argparse.Namespace, name: str) -> Path:
    return args.work / f"{name.replace(', ', '_')}.json"


def finished(args: argparse.Namespace) -> dict[str, dict]:
    """Returns the results of these settings that exist, by system."""
    paths = {name: result_path(args, name) for name in SYSTEMS}
    found = {name: json.loads(path.read_text(encoding="utf-8")) for name, path in paths.items() if path.exists()}
    return {name: result for name, result in found.items() if result["settings"] == settings_of(args, name)}


def write_images(args: argparse.Namespace, path: Path) -> None:
    """Writes the splits as uint8 `[N, H, W, C]` to an `.npz` file, which every environment can read."""
    source = data.load(args.data)
    images = {split: np.concatenate([batch.numpy() for batch in pipeline.dataset(
        source, split, 1000, shuffle=False, labels=False)]) for split in ("train", "validation", "test")}
    np.savez(path, **{split: array if split == "train" else array[:args.limit] for split, array in images.items()})


def run(args: argparse.Namespace, name: str) -> None:
    """Trains and evaluates a system in a process of its own."""
    environment, program = PEERS[name][:2] if name in PEERS else ("ours", "our_flow")
    settings = settings_of(args, name)
    print(f"{name}:", flush=True)
    done = harness.run_module(harness.python_of(environment, args), f"programs.{program}", "train",
                              args.work / "images.npz", result_path(args, name), json.dumps(settings))
    if done.returncode:
        sys.exit(f"{name} ended with an error; see above.")


def bits(number: float | None) -> str:
    return "-" if number is None else f"{number:.3f}"


def midway(result: Mapping[str, Any]) -> dict[int, float]:
    """Returns bits/dim of validation images during training, by full minutes."""
    return {int(point["minutes"]): point["validation"] for point in result["curve"] if point["validation"] is not None}


def remark(name: str, result: Mapping[str, Any]) -> str:
    """Returns a sentence on the steps without a finite loss."""
    end = (f"; after {result['seconds'] / 60:.1f} minutes there were no others, which ended the training."
           if result["gave_up"] else ", and left the weights unchanged." if result["skipped"] else ".")
    return f"{name}: {result['not_finite']} steps had no finite loss{end}"


def markdown(record: Mapping[str, Any]) -> str:
    """Returns the table with a row per system, remarks on steps that failed, and the setting."""
    measured = record["measured"]
    best = min((r["test"] for r in measured.values() if r["test"] is not None), default=math.inf)
    times = sorted({minute for result in measured.values() for minute in midway(result)})
    rows = []
    for name, result in measured.items():
        preset, test = result["settings"].get("preset"), bits(result["test"])
        rows.append((f"{name}, `{preset}`" if preset else name, f"**{test}**" if result["test"] == best else test,
                     bits(result["validation"]), *(bits(midway(result).get(minute)) for minute in times),
                     f"{result['steps']:,} of {result['batch_size']}", f"{result['images_per_second']:.0f}",
                     f"{result['cores']:.2f}", f"{result['params']:,}"))
    head = ("bits/dim", "test", "validation", *(f"after {minute} min" for minute in times), "steps", "images/s",
            "cores busy", "parameters")
    settings = next(iter(measured.values()))["settings"]
    images = f"{settings['limit']:,}" if settings["limit"] else "all"
    versions = {name: version for result in measured.values() for name, version in result["versions"].items()}
    setting = (f"{harness.describe(record['machine'], versions)} {settings['minutes']:g} minutes of training each, "
               f"seed {settings['seed']}; {images} images of validation and test at the end, the first {NUM_MIDWAY:,} "
               "of validation midway.")
    remarks = [remark(name, result) for name, result in measured.items() if result["not_finite"]]
    return "\n\n".join([table(head, rows), *remarks, setting])


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_arguments(argv)
    args.work.mkdir(parents=True, exist_ok=True)
    left = [name for name in args.systems if name not in finished(args)]
    if left:
        write_images(args, args.work / "images.npz")
    for name in left or [None]:
        if name:
            run(args, name)
        record = {"machine": harness.machine(), "measured": finished(args)}
        publish(args, record, markdown(record), args.section)


if __name__ == "__main__":
    main()
