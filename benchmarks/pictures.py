# SPDX-License-Identifier: Apache-2.0
"""Pictures of a trained model for the docs: `python -m benchmarks.pictures --name=cifar10_glow --data=tfds:cifar10`.

Writes samples at several temperatures, interpolations between test images, test images moved along the directions of
classes and with other latents of the top level, one picture of samples and interpolations, and, with the directory of
its training, samples after some of the epochs. Of a class-conditional model it writes samples of each class.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL.Image

import tfp_glow
from benchmarks.harness import ROOT
from trainers import data
from trainers.data import pipeline
from trainers.evaluation import latent_paths
from trainers.reporting import png_files
from trainers.runs.run_directory import RunDirectory

_TEMPERATURES = (0.6, 0.7, 0.8, 0.9, 1.0)
_PICTURES = ("samples", "between", "top", "towards", "large")
_COLUMNS, _ROWS = 9, 8
_WIDTH = 900
_NUM_DIRECTION = 5000  # Training images whose latents give the directions of the classes.


def enlarged(picture: PIL.Image.Image, width: int = _WIDTH) -> PIL.Image.Image:
    """Enlarges a picture by the greatest whole number with which it is at most `width` pixels wide."""
    factor = max(1, width // picture.width)
    return picture.resize((factor * picture.width, factor * picture.height), PIL.Image.Resampling.NEAREST)


def after_epochs(run: RunDirectory, rows: int) -> PIL.Image.Image:
    """Returns the first samples after 1, 2, 4, ... epochs and after the last one, from top to bottom.

    Args:
      run: the directory of a training.
      rows: number of rows of samples of each epoch.
    """
    last = run.config()["epochs"]
    epochs = [*(2**k for k in range(last.bit_length()) if 2**k < last), last]
    pictures = [PIL.Image.open(run.sample_path(epoch)) for epoch in epochs]
    height = round(pictures[0].height * rows / 8)  # The grids have 8 rows.
    strips = [np.asarray(picture)[:height] for picture in pictures]
    return PIL.Image.fromarray(np.concatenate(strips))


def towards_classes(model: tfp_glow.FlowModel, source: data.ImageData, images: np.ndarray) -> np.ndarray:
    """Returns each image, moved away from a class on the left and towards it on the right, `[N, columns, ...]`.

    The first image moves along the direction of the first class, and so on.
    """
    batches, left = [], _NUM_DIRECTION
    for batch in pipeline.dataset(source, "train", 250, shuffle=False):
        batches.append(batch)
        left -= 250
        if left <= 0:
            break
    directions = latent_paths.class_directions(model, batches, range(len(images)))
    return np.concatenate([latent_paths.manipulate(model, image[np.newaxis], 1.5 * direction, _COLUMNS)
                           for image, direction in zip(images, directions, strict=True)])


def of_classes(model: tfp_glow.FlowModel, num_classes: int, temperature: float) -> np.ndarray:
    """Returns samples of all classes from the same latents, for several latents, `[latents, class, ...]`."""
    labels = np.arange(num_classes, dtype="int32")
    return np.stack([np.concatenate([model.sample(1, temperature=temperature, seed=seed, condition=label)
                                     for label in labels]) for seed in range(_ROWS)])


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", default="cifar10_glow", help="name of the trained model")
    parser.add_argument("--data", default="tfds:cifar10", help="SPEC of the images")
    parser.add_argument("--run_dir", type=Path, help="directory of its training")
    parser.add_argument("--out", help="start of the names of the files; docs/NAME by default")
    parser.add_argument("--only", nargs="+", choices=_PICTURES, default=_PICTURES, help="pictures to draw")
    parser.add_argument("--temperature", type=float, default=0.8,
                        help="temperature of the samples in `large`, and of those of classes")
    args = parser.parse_args(argv)
    out = args.out or str(ROOT / "docs" / args.name)
    model, source = tfp_glow.load_pretrained(args.name), data.load(args.data)
    if not isinstance(source, data.ImageData):
        parser.error(f"--data: must have images; received {args.data}")

    def draw(parts: Sequence[np.ndarray], name: str, columns: int = _COLUMNS) -> None:
        grid = png_files.image_grid(np.concatenate(parts), source.num_levels, columns)
        png_files.save_png(enlarged(grid), f"{out}_{name}.png")

    if model.condition_spec is not None:
        number = len(source.label_names)
        draw(list(of_classes(model, number, args.temperature)), "samples", number)
        return
    images = next(iter(pipeline.dataset(source, "test", 2 * _ROWS, shuffle=False, labels=False))).numpy()
    if "samples" in args.only:
        draw([model.sample(_COLUMNS, temperature=temperature, seed=1).numpy() for temperature in _TEMPERATURES],
             "samples")
    between = functools.cache(lambda: latent_paths.interpolate(model, images[::2], images[1::2], _COLUMNS))
    if "between" in args.only:
        draw(list(between()), "between")
    if "top" in args.only:
        draw(list(latent_paths.interpolate(model, images[::2], images[1::2], _COLUMNS,
                                           changed=latent_paths.of_level(model, "top"))), "top")
    if "towards" in args.only:
        draw(list(towards_classes(model, source, images[:_ROWS])), "towards")
    if "large" in args.only:
        large = model.sample(3 * _COLUMNS, temperature=args.temperature, seed=1).numpy()
        draw([large, *between()[[0, 5, 6]]], "large")
    if args.run_dir:
        png_files.save_png(enlarged(after_epochs(RunDirectory(args.run_dir), 1)), f"{out}_epochs.png")


if __name__ == "__main__":
    main()
