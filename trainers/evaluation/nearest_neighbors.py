# SPDX-License-Identifier: Apache-2.0
"""The training images nearest to a model's samples: has it learned them by heart?"""

import numpy as np
from sklearn.neighbors import NearestNeighbors


def nearest(images, among, number):
    """The images nearest to each of some others, by the Euclidean distance of their pixels.

    Args:
      images: `[N, H, W, C]`.
      among: `[M, H, W, C]`, to be searched, all of them.
      number: how many neighbours of each; at most `M`.

    Returns:
      `(neighbours, distances)`: images `[N, number, H, W, C]`, the nearest first, and floats `[N, number]` in pixel
      units.

    >>> neighbours, distances = nearest(np.full((1, 1, 1, 1), 5), np.array([1, 4, 9]).reshape(3, 1, 1, 1), 2)
    >>> neighbours.ravel(), distances.ravel()
    (array([4, 1]), array([1., 4.]))
    """
    among = np.asarray(among)
    search = NearestNeighbors(n_neighbors=number, algorithm="brute").fit(_flat(among))
    distances, places = search.kneighbors(_flat(images))
    return among[places], distances


def _flat(images):
    images = np.asarray(images)
    return images.reshape(len(images), -1).astype(np.float32)
