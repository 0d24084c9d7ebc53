# SPDX-License-Identifier: Apache-2.0
"""A baseline for the bits per dimension of images: independent pixels, each with its own histogram."""

from collections.abc import Iterable

import numpy as np

from tfp_glow._types import TensorLike


def histogram_bits_per_dim(train: Iterable[TensorLike], test: Iterable[TensorLike], image_shape: tuple[int, ...],
                           num_levels: int, smoothing: float = 1.0) -> float:
    """Computes the bits per dimension of test images under one histogram per pixel and channel.

    The model treats all values of an image as independent. The probability that value number `i` of an image is `v` is
    `p_i(v) = (n_i(v) + smoothing) / (N + smoothing * num_levels)`. Here `n_i(v)` is the number of training images in
    which value number `i` is `v`, and `N` is the number of training images.

    Args:
      train: iterable of batches of training images, integers `[batch, *image_shape]`.
      test: iterable of batches of test images, integers `[batch, *image_shape]`.
      image_shape: `(height, width, channels)` of one image.
      num_levels: int, number of gray levels. Values are in `[0, num_levels)`.
      smoothing: float, positive, added to each count (Laplace smoothing). Default 1.0.

    Returns:
      The mean of `-log2 p_i(v)` over all values of all test images, a float.

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
