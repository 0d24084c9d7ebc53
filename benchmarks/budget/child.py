# SPDX-License-Identifier: Apache-2.0
"""The process of one system: `python -m benchmarks.budget.MODULE IMAGES RESULT --settings=JSON`."""

import argparse
import datetime
import importlib.metadata
import json
import os
from pathlib import Path

import numpy as np

from benchmarks.budget import loop

STEPS_PER_LEVEL, WIDTH, NUM_LEVELS = 8, 96, 2  # of the peers: about right for some minutes on two cores

PACKAGES = ("tensorflow", "tensorflow-probability", "keras", "tf_keras", "torch", "normflows")


def parse_arguments(doc, argv=None):
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("images", type=Path, help=".npz file of train, validation and test, uint8 [N, H, W, C]")
    parser.add_argument("result", type=Path, help="JSON file to write")
    parser.add_argument("--settings", type=json.loads, required=True,
                        help="JSON: minutes, seed and, of ours, the fields of the preset; kept with the result")
    return parser.parse_args(argv)


def run(args, build, batch_size):
    """Trains and writes the result; the file is there as a whole, or not at all."""
    with np.load(args.images) as file:
        images = dict(file)
    minutes, seed = args.settings["minutes"], args.settings["seed"]
    result = loop.train(lambda first: build(first, seed), images, minutes, batch_size, seed,
                        say=lambda line: print(line, flush=True))
    result.update(settings=args.settings, date=datetime.date.today().isoformat(), versions=versions())
    partial = args.result.with_suffix(".partial")
    partial.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    os.replace(partial, args.result)


def versions():
    """Of those packages that this environment has, by name."""
    found = {dist.name.lower(): dist.version for dist in importlib.metadata.distributions()}
    return {name: found[name] for name in PACKAGES if name in found}
