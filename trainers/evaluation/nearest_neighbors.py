# SPDX-License-Identifier: Apache-2.0
"""Nearest neighbors of images, which show whether samples are copies of training images."""

import numpy as np
from sklearn.neighbors import NearestNeighbors

from tfp_glow._types import TensorLike


def find_nearest(images: TensorLike, candidates: TensorLike, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Finds the candidates that are nearest to each image, by the Euclidean distance of pixel values.

    The search is exact: it computes the distances between all images and all candidates.

    Args:
      images: array `[N, height, width, channels]` of integers or floats.
      candidates: array `[M, height, width, channels]` of integers or floats.
      number: int, number of neighbors per image, from 1 to `M`.

    Returns:
      A pair `(neighbors, distances)`. `neighbors`, `[N, number, height, width, channels]`, holds the nearest candidates
      of each image, nearest first. `distances`, `[N, number]`, holds their distances from the image.

    Raises:
      ValueError: if `number` is not from 1 to `M`.

    Example:
      >>> candidates = np.array([1, 4, 9]).reshape(3, 1, 1, 1)
      >>> neighbors, distances = find_nearest(np.full((1, 1, 1, 1), 5), candidates, 2)
      >>> neighbors.ravel(), distances.ravel()
      (array([4, 1]), array([1., 4.]))
    """
    candidates = np.asarray(candidates)
    search = NearestNeighbors(n_neighbors=number, algorithm="brute").fit(_flatten(candidates))
    distances, indices = search.kneighbors(_flatten(images))
    return candidates[indices], distances


def _flatten(images: TensorLike) -> np.ndarray:
    images = np.asarray(images)
    return images.reshape(len(images), -1).astype(np.float32)
