# SPDX-License-Identifier: Apache-2.0
"""RealNVP and MAF on densities in the plane that are known: `python -m benchmarks.plane`.

Trains both presets on every target by the trainer itself (runs that are there are gone on with), measures on the test
points how far the learned density is from the true one, and puts table and figure into the project's README.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import sys

import numpy as np

from benchmarks import plane_figure, trained
from benchmarks.report import table
from trainers import data
from trainers.reporting import png_files
from trainers.runs import trained_models
from trainers.data.plane_densities import DENSITIES

KNOWN = [name for name, density in DENSITIES.items() if density.log_density]
PRESETS = ("toy_realnvp", "toy_maf")
TITLES = {"toy_realnvp": "RealNVP", "toy_maf": "MAF"}


def parse_arguments(argv=None):
    parser = trained.parser_of(__doc__, "plane.json")
    parser.add_argument("--targets", nargs="+", choices=KNOWN, default=KNOWN, help="only these")
    parser.add_argument("--presets", nargs="+", default=PRESETS, help="what to train")
    parser.add_argument("--figure", default=trained.ROOT / "docs" / "plane.png", help="the PNG to write")
    return parser.parse_args(argv)


def distance(model, target, split="test"):
    """How far a model's density is from a toy target's, in nats, by the points of one of its splits.

    Returns:
      A dict: `nats`, the mean of `-log q(x)`; `gap`, that less the true entropy, with the error of the sample's own
      surprise; `kl`, the mean of `log p(x) - log q(x)`, the same in expectation with an error many times smaller; and
      both standard errors.
    """
    points = data.load(f"toy:{target}")
    events = points.arrays[split]
    learned = model.log_prob(events).numpy().astype(np.float64)
    true = DENSITIES[target].log_density(events.astype(np.float64))
    root = np.sqrt(len(events))
    return {"nats": float(-learned.mean()), "entropy": points.true_entropy, "num_examples": len(events),
            "gap": float(-learned.mean() - points.true_entropy), "gap_error": float(learned.std() / root),
            "kl": float(np.mean(true - learned)), "kl_error": float(np.std(true - learned) / root)}


def markdown(record):
    """The table: a row a target, with the figures of each preset."""
    measured = record["measured"]
    presets = list(dict.fromkeys(row["preset"] for row in measured))
    by_pair = {(row["target"], row["preset"]): row for row in measured}
    head = ["target", "true entropy, nats"]
    for preset in presets:
        name = TITLES.get(preset, preset)
        head += [f"{name}: KL", "NLL - entropy", "training, s"]
    rows = []
    for target in dict.fromkeys(row["target"] for row in measured):
        cells = [f"`toy:{target}`", f"{by_pair[target, presets[0]]['entropy']:.4f}"]
        for preset in presets:
            row = by_pair[target, preset]
            kl = f"{row['kl']:.4f} ± {row['kl_error']:.4f}"
            cells += [f"**{kl}**" if row["kl"] <= 0.02 else kl, f"{row['gap']:.4f} ± {row['gap_error']:.4f}",
                      f"{row['seconds']:.0f}"]
        rows.append(cells)
    number = measured[0]["num_examples"]
    return f"{table(head, rows)}\n\nOn {number:,} test points; in bold what is at most 0.02 nats. {record['setting']}"


def main(argv=None):
    args = parse_arguments(argv)
    measured, shown = [], {}
    for target in args.targets:
        for preset in args.presets:
            directory = args.runs / "plane" / f"{target}_{preset}"
            run = trained.finished_run(preset, f"toy:{target}", directory)
            model, _ = trained_models.load(run)
            row = {"target": target, "preset": preset, **distance(model, target),
                   "seconds": trained.training_seconds(run)}
            measured.append(row)
            shown.setdefault(target, {})[TITLES.get(preset, preset)] = model
        record = {"setting": trained.setting(), "measured": measured}
        trained.publish(record, args.results, markdown(record), args.readme, "plane")
        png_files.save_png(plane_figure.of_few_colors(plane_figure.figure(shown)), args.figure)


if __name__ == "__main__":
    sys.exit(main())
