# SPDX-License-Identifier: Apache-2.0
"""A small search for the toy presets' settings, on validation points: `python -m benchmarks.plane_search`.

Trains every trial on every target (runs that are there are gone on with) and measures on the validation points how far
the learned density is from the true one; the test points are not looked at. All trials of a preset take about as long.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import dataclasses
import sys

import numpy as np

from benchmarks import plane, trained
from benchmarks.report import table
from trainers import data, presets
from trainers.distribute import strategies
from trainers.runs import trained_models
from trainers.training import training_loop
from trainers.runs.run_directory import RunDir

TARGETS = ("two_moons",)  # The hardest of those that are reached.
_TRAINING = {"optimizer": "adam", "schedule": "cosine", "warmup_epochs": 1, "temperature": 1.0}
STARTS = {
    "toy_realnvp": presets.Preset(
        {"flow": "realnvp_vector", "num_couplings": 10, "hidden_sizes": (64, 64)}, batch_size=500, epochs=26,
        **_TRAINING),
    "toy_maf": presets.Preset(
        {"flow": "maf", "num_layers": 8, "hidden_sizes": (128, 128), "batch_norm": False, "log_scale": "tanh"},
        batch_size=250, epochs=14, clip_norm=1.0, **_TRAINING),
}
# What is tried: fields of a start, or of its flow; the epochs are what three quarters of a minute allow.
TRIALS = {
    "toy_realnvp": (
        {"epochs": 26, "batch_size": 500, "learning_rate": 2e-3},
        {"epochs": 26, "batch_size": 500, "learning_rate": 2e-3, "ema_momentum": 0.999},
        {"epochs": 26, "batch_size": 500, "learning_rate": 4e-3},
        {"epochs": 34, "batch_size": 1000, "learning_rate": 4e-3},
        {"epochs": 18, "batch_size": 500, "learning_rate": 2e-3, "num_couplings": 14},
        {"epochs": 38, "batch_size": 500, "learning_rate": 2e-3, "num_couplings": 6},
    ),
    "toy_maf": (
        {"epochs": 14, "batch_size": 250, "learning_rate": 3e-3},
        {"epochs": 14, "batch_size": 250, "learning_rate": 3e-3, "ema_momentum": 0.999},
        {"epochs": 19, "batch_size": 500, "learning_rate": 3e-3},
        {"epochs": 24, "batch_size": 250, "learning_rate": 3e-3, "hidden_sizes": (64, 64)},
        {"epochs": 20, "batch_size": 250, "learning_rate": 3e-3, "num_layers": 5},
    ),
}


def parse_arguments(argv=None):
    parser = trained.parser_of(__doc__, "plane_search.json")
    parser.set_defaults(readme=trained.ROOT / "benchmarks" / "README.md")
    parser.add_argument("--presets", nargs="+", choices=list(TRIALS), default=list(TRIALS), help="only these")
    parser.add_argument("--targets", nargs="+", choices=plane.KNOWN, default=TARGETS, help="only these")
    return parser.parse_args(argv)


def varied(name, changes):
    """The start for the preset of this name, with changed fields, of its own or of its flow."""
    preset = STARTS[name]
    own = {field.name for field in dataclasses.fields(preset)}
    flow = {**preset.flow, **{key: value for key, value in changes.items() if key not in own}}
    return dataclasses.replace(preset, flow=flow, **{key: value for key, value in changes.items() if key in own})


def finished_run(name, changes, target, directory):
    """The `RunDir` of a trial on a target; trained, or gone on with, if it is not finished."""
    points, run = data.load(f"toy:{target}"), RunDir(directory)
    config = training_loop.configure(name, varied(name, changes), f"toy:{target}", points)
    run.open(config)
    with run.locked():
        if not run.is_finished():
            training_loop.train(run, config, points, strategies.choose("none"), verbose=2, events=False)
    return run


def words(changes):
    """Changes in words, for tables and directories: `epochs=12, num_couplings=8`."""
    return ", ".join(f"{key}={'x'.join(map(str, value)) if isinstance(value, (list, tuple)) else value}"
                     for key, value in changes.items())


def best(record, preset):
    """The changes, in words, of the smallest mean divergence; None if no trial was measured on all targets."""
    means = {words(row["changes"]): np.mean(row["kl"]) for row in record["measured"]
             if row["preset"] == preset and len(row["kl"]) == len(record["targets"])}
    return min(means, key=means.get) if means else None


def markdown(record):
    """The table: a row a trial, with its divergence from each target and their mean."""
    head = ["preset", "trial", "mean KL, nats", *(f"`{name}`" for name in record["targets"])]
    rows = []
    for row in record["measured"]:
        missing = len(record["targets"]) - len(row["kl"])
        mean = "-" if missing else f"{np.mean(row['kl']):.4f}"
        bold = best(record, row["preset"]) == words(row["changes"])
        rows.append([f"`{row['preset']}`", words(row["changes"]), f"**{mean}**" if bold else mean,
                     *(f"{kl:.4f}" for kl in row["kl"]), *["-"] * missing])
    return f"{table(head, rows)}\n\nOn the validation points. {record['setting']}"


def main(argv=None):
    args = parse_arguments(argv)
    record = {"setting": trained.setting(), "targets": list(args.targets), "measured": []}
    for preset in args.presets:
        for changes in TRIALS[preset]:
            row = {"preset": preset, "changes": changes, "kl": []}
            record["measured"].append(row)
            for target in args.targets:
                directory = args.runs / "plane_search" / f"{preset}, {words(changes)}" / target
                run = finished_run(preset, changes, target, directory)
                row["kl"].append(plane.distance(trained_models.load(run)[0], target, "validation")["kl"])
                trained.publish(record, args.results, markdown(record), args.readme, "plane search")


if __name__ == "__main__":
    sys.exit(main())
