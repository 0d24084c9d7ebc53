# SPDX-License-Identifier: Apache-2.0
"""Real sets of vectors that scikit-learn ships, with fixed splits."""

import numpy as np
from sklearn import datasets

SIDE = 8


def breast_cancer() -> dict[str, np.ndarray]:
    """Returns 30 measurements of cell nuclei for 569 tumors, in a fixed random order: 70% train, 15% and 15%."""
    rows = datasets.load_breast_cancer().data
    rows = rows[np.random.RandomState(0).permutation(len(rows))]
    return dict(zip(("train", "validation", "test"), np.split(rows, [398, 483]), strict=True))


def photographs() -> dict[str, np.ndarray]:
    """Returns patches of two photographs, prepared as BSDS300 is: 63 numbers for 8x8 gray pixels.

    Pixels get uniform noise and are scaled to [0, 1]. Each patch loses its mean, and then its last pixel. Columns 0 to
    447 of the photographs are for training, 448 to 543 for validation, and 544 to 639 for test. Patches for training
    overlap; those for validation and test do not.

    References:
      Papamakarios, Pavlakou and Murray, *Masked autoregressive flow*, 2017, appendix D, for BSDS300.
    """
    random = np.random.RandomState(0)
    images = [image @ np.array([0.299, 0.587, 0.114]) for image in datasets.load_sample_images().images]
    columns = {"train": (0, 448, 2), "validation": (448, 544, SIDE), "test": (544, 640, SIDE)}
    return {split: np.concatenate([_patches(image[:, start:end], stride, random) for image in images])
            for split, (start, end, stride) in columns.items()}


def _patches(image: np.ndarray, stride: int, random: np.random.RandomState) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(image, (SIDE, SIDE))[::stride, ::stride]
    patches = np.floor(windows.reshape(-1, SIDE * SIDE))
    patches = (patches + random.uniform(size=patches.shape)) / 256.0
    return (patches - patches.mean(axis=1, keepdims=True))[:, :-1]


SETS = {"breast_cancer": breast_cancer, "photographs": photographs}
