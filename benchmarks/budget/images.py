# SPDX-License-Identifier: Apache-2.0
"""The images of the comparison as one file that every environment can read."""

import os

import numpy as np

from trainers import data
from trainers.data import pipeline


def write(spec, path, limit=None, splits=("train", "validation", "test")):
    """Writes the trainer's own splits of a SPEC as uint8 `[N, H, W, C]`; `limit` is of validation and test images."""
    source = data.load(spec)
    images = {split: np.concatenate([batch.numpy() for batch in pipeline.dataset(
        source, split, 1000, shuffle=False, labels=False)]) for split in splits}
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, **{split: array if split == "train" else array[:limit] for split, array in images.items()})
    os.replace(partial, path)
