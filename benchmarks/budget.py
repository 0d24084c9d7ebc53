# SPDX-License-Identifier: Apache-2.0
"""Several flows, the same images and the same minutes of training: `python -m benchmarks.budget`.

    python -m benchmarks.budget --systems Glow Jet --data=tfds:cifar10 --minutes=30 --section=cifar10 \\
      --results=benchmarks/results/cifar10.json

Each system is a process in its own environment, one after the other, on all cores. `RUNS/budget` keeps the results, and
the command does not repeat them. With `--search_minutes`, short trainings of each system choose its learning rate and
batch size on validation images first. If the long training ends early, because no loss is finite any more, the settings
of the next best trial follow.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import dataclasses
import functools
import json
import math
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import harness
from benchmarks.programs.timed_training import NUM_MIDWAY
from benchmarks.report import publish, table
from trainers import data, presets
from trainers._command_line import gains_from_parts
from trainers.data import pipeline
from trainers.training.precision import bfloat16_is_slow

_NORMFLOWS = {"weight_decay": 1e-5, "channels_last": True}
# Environment, program, images per step, settings of the program. Systems of this package have a preset instead.
PEERS: dict[str, tuple[str, str, int, dict[str, Any]]] = {
    "normflows": ("normflows", "normflows_glow", 128, _NORMFLOWS),
    "normflows, Adam": ("normflows", "normflows_glow", 128, {**_NORMFLOWS, "optimizer": "Adam"}),
    "normflows, Adam, bfloat16": ("normflows", "normflows_glow", 128, {
        **_NORMFLOWS, "optimizer": "Adam", "autocast": True}),
    "tfb.Glow": ("tfp", "tfb_glow", 64, {"optimizer": "Adam"}),
}
START = (32, 2e-3)  # Batch size and learning rate of the first trial of a search.
MOVES = ((1.0, 2.0), (1.0, 0.5), (0.5, 1.0), (2.0, 1.0))  # Factors of both for the next trial.
SMALLEST_BATCH = 16  # The shorter a trial, the smaller its best batch; that of the training is not so small.
NUM_SEARCH = 1000  # Validation images that judge a trial.
# The presets of this package, which divide batches among cores.
OURS = {"ours, plain": "fashion_mnist_glow", "ours, best": "fashion_mnist_best",
        "ours, couplings": "fashion_mnist_coupling", "ours, PixelCNN": "fashion_mnist_pixelcnn",
        "Glow": "cifar10_glow", "couplings": "cifar10_coupling", "Jet": "cifar10_jet", "PixelCNN": "cifar10_pixelcnn"}
CHANGED_FLOWS = {"ours, plain": {"coupling": "affine"}}  # The couplings of the paper, which the peers have too.
SYSTEMS = (*PEERS, *OURS)
_FASHION_MNIST = [name for name in SYSTEMS if OURS.get(name, "fashion_mnist").startswith("fashion_mnist")
                  and "bfloat16" not in name]


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = harness.parser_of(__doc__, "budget.json")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=_FASHION_MNIST, help="systems to train")
    parser.add_argument("--minutes", type=float, default=20.0, help="minutes of training for each system")
    parser.add_argument("--data", default="idx:/usr/share/datasets/fashion-mnist", help="SPEC of the images")
    parser.add_argument("--limit", type=int, help="number of validation images and of test images; None for all")
    parser.add_argument("--seed", type=int, default=0, help="random seed of weights, data order and noise")
    parser.add_argument("--size_of", default="fashion_mnist_glow", choices=[
        name for name, preset in presets.PRESETS.items() if preset.flow["flow"] == "glow"],
        help="preset whose levels, steps and width the peers have")
    parser.add_argument("--search_minutes", type=float, default=0.0,
                        help="minutes of each trial of a learning rate and a batch size; 0 for no trials")
    harness.define_at_once(parser)
    parser.add_argument("--section", default="budget", help="name of the markers in the README")
    args = parser.parse_args(argv)
    if not args.minutes > 0.0:
        parser.error(f"--minutes: must be positive; received {args.minutes:g}")
    if not args.search_minutes >= 0.0:
        parser.error(f"--search_minutes: must not be negative; received {args.search_minutes:g}")
    if args.limit is not None and args.limit < 1:
        parser.error(f"--limit: must be positive; received {args.limit}")
    args.work = args.runs.resolve() / "budget"
    return args


def settings_of(args: argparse.Namespace, name: str, chosen: Mapping[str, Any] | None = None,
                trial: bool = False) -> dict[str, Any]:
    """Returns all that a result depends on, except code and machine.

    Args:
      args: the command line.
      name: name of the system.
      chosen: learning rate and batch size; None for those of the preset, or for the documented ones of a peer.
      trial: True for a trial of a search. It has no average of weights, which lags by more steps than the trial has.
    """
    settings = {key: getattr(args, key) for key in ("data", "minutes", "limit", "seed")}
    if trial:
        settings.update(minutes=args.search_minutes, limit=NUM_SEARCH, one_core=args.at_once > 1)
    chosen = dict(chosen or {})
    if name in PEERS:
        *_, batch_size, system = PEERS[name]
        flow = presets.get(args.size_of).flow
        size = {key: flow[key] for key in ("num_levels", "num_steps", "width")}
        settings.update(batch_size=chosen.pop("batch_size", batch_size), system={**size, **system, **chosen})
    else:
        preset = OURS[name]
        fields = {**fields_of(presets.get(preset)), "flip": False, **chosen}  # The peers do not flip images.
        changes = CHANGED_FLOWS.get(name, {})
        fields["flow"] = {**fields["flow"], **changes}
        if trial:
            fields["ema_momentum"] = None
        divide = not settings.get("one_core") and gains_from_parts(fields["flow"], fields["batch_size"])
        settings.update(batch_size=fields["batch_size"], preset=preset, changes=changes,
                        system={"preset": fields, "divide": divide})
    return json.loads(json.dumps(settings))


def fields_of(preset: presets.Preset) -> dict[str, Any]:
    """Returns the fields of a preset, with networks in float32 if this machine is slow in bfloat16, as in training."""
    fields = dataclasses.asdict(preset)
    if fields["flow"].get("network_dtype") == "mixed_bfloat16" and bfloat16_is_slow():
        fields["flow"]["network_dtype"] = "float32"
    return fields


def result_path(args: argparse.Namespace, name: str, chosen: Mapping[str, Any] | None = None) -> Path:
    return args.work / f"{'_'.join([name.replace(', ', '_'), *map(str, (chosen or {}).values())])}.json"


def result_of(path: Path, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """Returns the result in a file, or None if there is none of these settings."""
    result = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"settings": {}}
    return result if _without_epochs(result["settings"]) == _without_epochs(settings) else None


def _without_epochs(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns settings without the epochs of a preset: here the minutes end a training."""
    copied = json.loads(json.dumps(settings))
    copied.get("system", {}).get("preset", {}).pop("epochs", None)
    return copied


def finished(args: argparse.Namespace, choices: Mapping[str, Sequence[Mapping[str, Any]]] | None = None
             ) -> dict[str, dict]:
    """Returns the results of these settings that exist, by system; `choices` has the settings of searches.

    The result of a system is that of its first choice that did not give up. `failed` has those before.
    """
    found = {}
    for name in SYSTEMS:
        failed: list[dict[str, Any]] = []
        for chosen in (choices or {}).get(name, [{}]):
            result = result_of(result_path(args, name, chosen), settings_of(args, name, chosen))
            if not result:
                break
            found[name] = {**result, **({"failed": list(failed)} if failed else {})}
            if not result["gave_up"]:
                break
            failed.append({**chosen, "minutes": result["seconds"] / 60})
    return found


def write_images(args: argparse.Namespace, path: Path, search: bool = False) -> None:
    """Writes the splits as uint8 `[N, H, W, C]` to an `.npz` file, which every environment can read.

    A search has no test images and few validation images.
    """
    source, limit = data.load(args.data), NUM_SEARCH if search else args.limit
    splits = ("train", "validation") if search else ("train", "validation", "test")
    images = {split: np.concatenate([batch.numpy() for batch in pipeline.dataset(
        source, split, 1000, shuffle=False, labels=False)]) for split in splits}
    np.savez(path, **{split: array if split == "train" else array[:limit] for split, array in images.items()})


def run(args: argparse.Namespace, name: str, settings: Mapping[str, Any], images: Path, result: Path,
        prefix: Sequence[str] = ()) -> None:
    """Trains and evaluates a system in a process of its own."""
    environment, program = PEERS[name][:2] if name in PEERS else ("ours", "our_flow")
    print(f"{name}: {result.name}", flush=True)
    done = harness.run_module(harness.python_of(environment, args), f"programs.{program}", "train", images, result,
                              json.dumps(settings), prefix=prefix)
    if done.returncode:
        sys.exit(f"{name} ended with an error; see above.")


def search(args: argparse.Namespace, names: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Returns the trials of each system, with their bits/dim on validation images.

    A search starts at `START` and takes a move of `MOVES` whenever it is better, until none is. It never goes below
    `SMALLEST_BATCH`.
    """
    images, directory = args.work / "search.npz", args.work / "search"
    directory.mkdir(parents=True, exist_ok=True)
    prepare, lock = functools.cache(lambda: write_images(args, images, search=True)), threading.Lock()

    def validation(name: str, batch_size: int, rate: float) -> float | None:
        settings = settings_of(args, name, {"batch_size": batch_size, "learning_rate": rate}, trial=True)
        path = directory / result_path(args, name, {"batch_size": batch_size, "learning_rate": rate}).name
        if not result_of(path, settings):
            with lock:  # Only the first of the trials at a time writes the images.
                prepare()
            with harness.core_of(args) as prefix:
                run(args, name, settings, images, path, prefix)
        return json.loads(path.read_text(encoding="utf-8"))["validation"]

    def trials(name: str) -> list[dict[str, Any]]:
        tried: dict[tuple[int, float], float | None] = {START: validation(name, *START)}
        best, moved = START, True
        while moved:
            moved = False
            for sizes, rates in MOVES:
                trial = (int(best[0] * sizes), best[1] * rates)
                if trial[0] >= SMALLEST_BATCH and trial not in tried:
                    tried[trial] = validation(name, *trial)
                    if _number(tried[trial]) < _number(tried[best]):
                        best, moved = trial, True
                        break
        return [{"batch_size": size, "learning_rate": rate, "validation": value}
                for (size, rate), value in tried.items()]

    return dict(zip(names, harness.side_by_side(args, trials, names), strict=True))


def _number(bits_per_dim: float | None) -> float:
    return math.inf if bits_per_dim is None else bits_per_dim


def choices_of(trials: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns the settings of the finite trials, the fewest bits/dim first; without any, those of the system: `{}`."""
    finite = [trial for trial in trials if trial["validation"] is not None]
    finite.sort(key=lambda trial: trial["validation"])
    return [{key: value for key, value in trial.items() if key != "validation"} for trial in finite] or [{}]


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
        changes = "".join(f", {key}={value}" for key, value in result["settings"].get("changes", {}).items())
        rows.append((f"{name}, `{preset}`{changes}" if preset else name,
                     f"**{test}**" if result["test"] == best else test,
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
    searches = record.get("searches", {})
    number = record.get("at_once", 1)
    cores = f", {number} of which ran at a time, each on one core" if number > 1 else ""
    for name, trials in searches.items():
        failed = measured[name].get("failed", [])
        chosen = choices_of(trials)[len(failed)]
        if chosen:
            remarks.append(" ".join([
                f"{name}: {_described(chosen)}, the best of {len(trials)} trials of {record['search_minutes']:g} "
                f"minutes{cores}{'.' if not failed else ', except the following.'}",
                *(f"With {_described(tried)}, no step had a finite loss after {tried['minutes']:.1f} minutes."
                  for tried in failed)]))
    return "\n\n".join([table(head, rows), *remarks, setting])


def _described(chosen: Mapping[str, Any]) -> str:
    return f"batches of {chosen['batch_size']} and the learning rate {chosen['learning_rate']:g}"


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_arguments(argv)
    args.work.mkdir(parents=True, exist_ok=True)
    tried = search(args, args.systems) if args.search_minutes else {}
    choices = {name: choices_of(trials) for name, trials in tried.items()}
    images = args.work / "images.npz"
    prepare = functools.cache(lambda: write_images(args, images))
    for name in args.systems:
        for chosen in choices.get(name, [{}]):
            settings, path = settings_of(args, name, chosen), result_path(args, name, chosen)
            if not result_of(path, settings):
                prepare()
                run(args, name, settings, images, path)
            measured = finished(args, choices)
            record = {"machine": harness.machine(), "searches": {key: tried[key] for key in tried if key in measured},
                      "search_minutes": args.search_minutes, "at_once": args.at_once, "measured": measured}
            publish(args, record, markdown(record), args.section)
            if not json.loads(path.read_text(encoding="utf-8"))["gave_up"]:
                break


if __name__ == "__main__":
    main()
