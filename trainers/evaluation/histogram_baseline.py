# SPDX-License-Identifier: Apache-2.0
"""The figure to beat: a histogram of each pixel by itself."""

import numpy as np


def histogram_bits_per_dim(train, test, image_shape, num_levels, smoothing=1.0):
    """Bits per dimension of a model that takes pixels for independent, each with its own histogram.

    `p_i(v) = (n_i(v) + s) / (N + s V)`: `n_i(v)` of the `N` training images have value `v` at pixel `i`, there are `V`
    levels, and `s` is Laplace's smoothing.

    Args:
      train: batches of integer images `[B, *image_shape]` to count.
      test: batches of integer images to score.
      image_shape: shape of one image.
      num_levels: pixels are in `[0, num_levels)`.
      smoothing: added to every count.

    Returns:
      The mean of `-log2 p` over all pixels of `test`, a float.

    >>> zeros = np.zeros((2, 1, 1, 1), int)
    >>> histogram_bits_per_dim([zeros], [zeros], (1, 1, 1), 2)  # -log2(3/4)
    0.41503749927884376
    """
    size = int(np.prod(image_shape))
    pixels = np.arange(size)
    counts = np.zeros((size, num_levels))
    total = 0
    for images in train:
        flat = np.asarray(images).reshape(-1, size).astype(np.int64)
        counts += np.bincount((flat + pixels * num_levels).ravel(), minlength=counts.size).reshape(counts.shape)
        total += len(flat)
    bits = -np.log2((counts + smoothing) / (total + smoothing * num_levels))
    sums = [bits[pixels, np.asarray(images).reshape(-1, size).astype(np.int64)].mean(axis=1) for images in test]
    return float(np.concatenate(sums).mean())
