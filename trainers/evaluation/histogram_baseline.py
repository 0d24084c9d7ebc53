# SPDX-License-Identifier: Apache-2.0
"""A baseline for images: independent pixels, each with its own histogram."""

from collections.abc import Iterable

import numpy as np

from tfp_glow._types import TensorLike


def histogram_bits_per_dim(train: Iterable[TensorLike], test: Iterable[TensorLike], image_shape: tuple[int, ...],
                           num_levels: int, smoothing: float = 1.0) -> float:
    """Computes the bits per dimension of a model that treats pixels as independent, with one histogram per pixel.

    The probability of value `v` at pixel `i` is `p_i(v) = (n_i(v) + s) / (N + s V)`. Here `n_i(v)` counts the training
    images that have value `v` at pixel `i`, `N` is the number of training images, `V` is the number of gray levels, and
    `s` is Laplace smoothing.

    Args:
      train: batches of integer images `[batch, *image_shape]`, which are counted.
      test: batches of integer images `[batch, *image_shape]`, which are scored.
      image_shape: shape of one image.
      num_levels: number of gray levels. Pixels are in `[0, num_levels)`.
      smoothing: number that is added to every count.

    Returns:
      The mean of `-log2 p` over all pixels of `test`.

    Example:
      >>> zeros = np.zeros((2, 1, 1, 1), int)
      >>> round(histogram_bits_per_dim([zeros], [zeros], (1, 1, 1), 2), 4)  # -log2(3/4)
      0.415
    """
    size = int(np.prod(image_shape))
    pixels = np.arange(size)
    counts = np.zeros((size, num_levels))
    num_images = 0
    for images in train:
        flat = np.asarray(images).reshape(-1, size).astype(np.int64)
        counts += np.bincount((flat + pixels * num_levels).ravel(), minlength=counts.size).reshape(counts.shape)
        num_images += len(flat)
    bits = -np.log2((counts + smoothing) / (num_images + smoothing * num_levels))
    means = [bits[pixels, np.asarray(images).reshape(-1, size).astype(np.int64)].mean(axis=1) for images in test]
    return float(np.concatenate(means).mean())
