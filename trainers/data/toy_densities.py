# SPDX-License-Identifier: Apache-2.0
"""`toy:NAME`: densities in the plane, drawn with fixed seeds; see `trainers.data.densities`."""

import numpy as np

from trainers.data.plane_densities import DENSITIES
from trainers.data.vector_data import VectorData

NUM_EXAMPLES = {"train": 100_000, "validation": 10_000, "test": 50_000}


def load(name: str) -> VectorData:
    """Draws the splits of a toy density.

    Split number k of train, validation, test has the points of `numpy.random.RandomState(k)`, whose streams NumPy has
    frozen, so they never change.

    Args:
      name: one of `trainers.data.densities.DENSITIES`.

    Returns:
      A `VectorData` with `event_shape` (2,), and `true_entropy` where the density is known.

    Raises:
      ValueError: if there is no such density.
    """
    if name not in DENSITIES:
        raise ValueError(f"data: unknown toy density {name!r}; known are {', '.join(DENSITIES)}")
    density = DENSITIES[name]
    arrays = {
        split: density.sample(np.random.RandomState(number), size).astype(np.float32)
        for number, (split, size) in enumerate(NUM_EXAMPLES.items())
    }
    return VectorData(name, arrays, density.entropy if density.log_density else None)
