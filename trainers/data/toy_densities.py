# SPDX-License-Identifier: Apache-2.0
"""`toy:NAME`: samples with fixed seeds from the densities of `trainers.data.plane_densities`."""

import numpy as np

from trainers.data.plane_densities import DENSITIES
from trainers.data.vector_data import VectorData

NUM_EXAMPLES = {"train": 100_000, "validation": 10_000, "test": 50_000}


def load(name: str) -> VectorData:
    """Samples the splits of a toy density.

    The train, validation and test splits use `numpy.random.RandomState(k)` for k = 0, 1, 2. NumPy guarantees that
    these streams never change, so the points never change.

    Args:
      name: a key of `plane_densities.DENSITIES`.

    Returns:
      A `VectorData` with `event_shape` (2,). Its `true_entropy` is None if the density has no closed form.

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
