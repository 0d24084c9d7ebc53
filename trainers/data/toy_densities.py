# SPDX-License-Identifier: Apache-2.0
"""The data sets `toy:NAME`: samples of the densities in `trainers.data.plane_densities`, with fixed seeds."""

import numpy as np

from .plane_densities import DENSITIES
from .vector_data import VectorData

NUM_EXAMPLES = {"train": 100_000, "validation": 10_000, "test": 50_000}


def load(name: str) -> VectorData:
    """Draws the splits of a toy density of two variables.

    The train, validation and test splits have 100,000, 10,000 and 50,000 vectors. Their seeds are fixed:
    `numpy.random.RandomState(k)` for k = 0, 1, 2. NumPy guarantees that these random numbers stay the same in all
    versions, so the vectors never change.

    Args:
      name: str, `"two_moons"`, `"rings"`, `"pinwheel"`, `"checkerboard"`, `"eight_gaussians"`, `"two_spirals"`,
        `"banana"`, `"wave"` or `"swirl"`.

    Returns:
      A `VectorData` with `event_shape` (2,). Its `true_entropy` is None for `"pinwheel"` and `"two_spirals"`, whose
      log-densities have no closed form.

    Raises:
      ValueError: if `name` is another string.
    """
    if name not in DENSITIES:
        raise ValueError(f"data: toy density must be one of {', '.join(DENSITIES)}; got {name!r}")
    density = DENSITIES[name]
    arrays = {
        split: density.sample(np.random.RandomState(number), size).astype(np.float32)
        for number, (split, size) in enumerate(NUM_EXAMPLES.items())
    }
    return VectorData(name, arrays, density.entropy if density.log_density else None)
