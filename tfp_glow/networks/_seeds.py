# SPDX-License-Identifier: Apache-2.0
"""Seed generators that the initializers of one network share."""

import keras
import numpy as np

from tfp_glow._types import SeedLike


def as_seed_generator(seed: SeedLike) -> keras.random.SeedGenerator:
    """Returns a seed generator for all initializers of one network.

    Initializers with the same integer seed draw the same numbers. Initializers that share a generator draw different
    numbers.

    Args:
      seed: an int; None, which means Keras's global seed; or a `keras.random.SeedGenerator`, which is returned
        unchanged.

    Returns:
      A `keras.random.SeedGenerator`.

    Raises:
      ValueError: if `seed` is neither an int, None nor a `keras.random.SeedGenerator`.
    """
    if isinstance(seed, keras.random.SeedGenerator):
        return seed
    return keras.random.SeedGenerator(int(seed) if isinstance(seed, np.integer) else seed)
