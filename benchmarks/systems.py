# SPDX-License-Identifier: Apache-2.0
"""The five systems on the digits, under one budget: `python -m benchmarks.systems`.

Trains the presets `digits_*` by the trainer itself (runs that are there are gone on with), evaluates each on the test
split, times its sampling, and puts the table into the project's README.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import math
import sys

from benchmarks import trained
from benchmarks.harness import median_seconds
from benchmarks.report import table
from trainers import data
from trainers.evaluation import histogram_baseline, scores
from trainers.runs import trained_models

SYSTEMS = {"Glow": "digits_glow", "RealNVP": "digits_realnvp", "NICE": "digits_nice", "MAF": "digits_maf",
           "IAF": "digits_iaf"}
NUM_SAMPLES = 100
BATCH = 256


def parse_arguments(argv=None):
    parser = trained.parser_of(__doc__, "systems.json")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS), help="only these")
    parser.add_argument("--suffix", default="", help="of the presets' names, such as _smoke")
    return parser.parse_args(argv)


def measure(run, digits):
    """The figures of a finished run, as a dict."""
    config = run.config()
    model, _ = trained_models.load(run)
    bits, _ = scores.bits_per_dim(model, scores.split_batches(config, digits, "test", BATCH))

    def sample():
        return model.sample(NUM_SAMPLES, seed=0).numpy()

    sample()  # Traced here.
    return {"test_bits_per_dim": bits, "val_bits_per_dim": run.result()["val_bits_per_dim"],
            "best_epoch": run.result()["best_epoch"], "epochs": config["epochs"],
            "training_seconds": trained.training_seconds(run),
            "parameters": sum(math.prod(v.shape) for v in model.trainable_variables),
            "sampling_seconds": median_seconds(sample, 9)}


def histogram_bits(run, digits):
    """What the histograms of single pixels need on the test split."""
    config = run.config()
    train, test = (scores.split_batches(config, digits, split, BATCH) for split in ("train", "test"))
    return histogram_baseline.histogram_bits_per_dim(train, test, digits.image_shape, config["num_levels"])


def markdown(record):
    """The table: a row a system, after that of the histograms."""
    rows = [("a histogram for each pixel by itself (Laplace-smoothed, fitted to the training images)",
             f"{record['histogram']:.3f}", *[""] * 5)]
    best = min(row["test_bits_per_dim"] for row in record["measured"].values())
    for name in filter(record["measured"].get, SYSTEMS):
        row = record["measured"][name]
        bits = f"{row['test_bits_per_dim']:.3f}"
        rows.append((f"{name}, `{row['preset']}`", f"**{bits}**" if row["test_bits_per_dim"] == best else bits,
                     f"{row['val_bits_per_dim']:.3f}", f"{row['best_epoch']} of {row['epochs']}",
                     f"{row['training_seconds']:.0f}", f"{row['parameters']:,}", f"{row['sampling_seconds']:.2g}"))
    head = ("on the 297 test images", "bits/dim", "on validation", "best epoch", "training, s", "parameters",
            f"sampling {NUM_SAMPLES}, s")
    return f"{table(head, rows)}\n\n{record['setting']}"


def main(argv=None):
    args = parse_arguments(argv)
    digits = data.load("digits")
    measured = {}
    for name in args.systems:
        preset = SYSTEMS[name] + args.suffix
        run = trained.finished_run(preset, "digits", args.runs / preset)
        measured[name] = {"preset": preset, **measure(run, digits)}
        record = {"setting": trained.setting(), "histogram": histogram_bits(run, digits), "measured": measured}
        trained.publish(record, args.results, markdown(record), args.readme, "systems")


if __name__ == "__main__":
    sys.exit(main())
