# SPDX-License-Identifier: Apache-2.0
"""The five systems on the digits, with one budget: `python -m benchmarks.systems`.

Trains the presets `digits_*`, or resumes their runs, and puts the table of test split and sampling into the README.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import math
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import harness
from benchmarks.report import publish, table
from benchmarks.trained_runs import finished_run
from trainers import data
from trainers.evaluation import histogram_baseline, scores

SYSTEMS = {"Glow": "digits_glow", "RealNVP": "digits_realnvp", "NICE": "digits_nice", "MAF": "digits_maf",
           "IAF": "digits_iaf"}
NUM_SAMPLES = 100


def markdown(record: Mapping[str, Any]) -> str:
    """Returns the table: a row of histograms, and a row per system."""
    rows: list[tuple] = [("a histogram for each pixel by itself (Laplace-smoothed, fitted to the training images)",
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


def main(argv: Sequence[str] | None = None) -> None:
    parser = harness.parser_of(__doc__, "systems.json", "docs/results.md")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS), help="systems to train")
    parser.add_argument("--suffix", default="", help="suffix of the names of the presets, such as _smoke")
    args, digits, measured = parser.parse_args(argv), data.load("digits"), {}
    for name in args.systems:
        preset = SYSTEMS[name] + args.suffix
        run, model, seconds = finished_run(args, preset, "digits", preset)
        config, result = run.config(), run.result() or {}
        train, test = (scores.split_batches(config, digits, split, 256) for split in ("train", "test"))
        model.sample(NUM_SAMPLES, seed=0)  # Traces.
        measured[name] = {
            "preset": preset, "test_bits_per_dim": scores.bits_per_dim(model, test)[0],
            "val_bits_per_dim": result["val_bits_per_dim"], "best_epoch": result["best_epoch"],
            "epochs": config["epochs"], "training_seconds": seconds,
            "parameters": sum(math.prod(v.shape) for v in model.trainable_variables),
            "sampling_seconds": harness.median_seconds(
                lambda model=model: model.sample(NUM_SAMPLES, seed=0).numpy(), 9)}
        histogram = histogram_baseline.histogram_bits_per_dim(train, test, digits.event_shape, config["num_levels"])
        record = {"setting": harness.describe(harness.machine(), harness.versions()), "histogram": histogram,
                  "measured": measured}
        publish(args, record, markdown(record), "systems")


if __name__ == "__main__":
    main()
