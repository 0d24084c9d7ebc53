# SPDX-License-Identifier: Apache-2.0
"""Pictures of a model that `benchmarks.budget` trained: `python -m benchmarks.pictures --data=tfds:cifar10`.

Writes samples at several temperatures, interpolations between test images, and a picture of both for the README.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import PIL.Image

from benchmarks.harness import ROOT
from trainers import data
from trainers.data import pipeline
from trainers.evaluation import latent_paths
from trainers.reporting import png_files

_TEMPERATURES = (0.6, 0.7, 0.8, 0.9, 1.0)
_COLUMNS = 9


def enlarged(picture: PIL.Image.Image, width: int) -> PIL.Image.Image:
    """Enlarges a picture by the greatest whole number with which it is at most `width` pixels wide."""
    factor = max(1, width // picture.width)
    return picture.resize((factor * picture.width, factor * picture.height), PIL.Image.Resampling.NEAREST)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--model", type=Path, default=ROOT / "runs" / "budget" / "Glow.keras", help="the model's file")
    parser.add_argument("--data", default="tfds:cifar10", help="SPEC of the images")
    parser.add_argument("--out", default=str(ROOT / "docs" / "cifar10"), help="start of the names of the files")
    args = parser.parse_args(argv)
    model = keras.saving.load_model(args.model, compile=False)
    source = data.load(args.data)
    images = next(iter(pipeline.dataset(source, "test", 16, shuffle=False, labels=False))).numpy()
    samples = [model.sample(_COLUMNS, temperature=temperature, seed=1).numpy() for temperature in _TEMPERATURES]
    between = latent_paths.interpolate(model, images[::2], images[1::2], _COLUMNS)

    def draw(parts: Sequence[np.ndarray], name: str) -> None:
        grid = png_files.image_grid(np.concatenate(parts), source.num_levels, _COLUMNS)
        png_files.save_png(enlarged(grid, 900), f"{args.out}_{name}.png")

    draw(samples, "samples")
    draw(list(between), "between")
    draw([samples[2], *between[[0, 5, 6]]], "large")


if __name__ == "__main__":
    main()
