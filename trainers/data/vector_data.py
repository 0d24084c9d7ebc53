# SPDX-License-Identifier: Apache-2.0
"""What a trainer knows of a set of vectors: float events, in three splits."""

import dataclasses
import functools
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from trainers.data.image_data import SPLITS


@dataclasses.dataclass(frozen=True, eq=False)
class VectorData:
    """Vectors of one size, points of a continuous density, in three splits that never overlap.

    Stands where an `ImageData` does; what only images have is None.

    Attributes:
      name: short name, for titles and file names.
      arrays: float32 `[N, size]` of each split.
      entropy: gives the entropy of the density that the vectors were drawn from, in nats; None where it is not known.
    """

    name: str
    arrays: Mapping[str, np.ndarray] = dataclasses.field(repr=False)
    entropy: Callable[[], float] | None = None
    num_levels: None = dataclasses.field(default=None, init=False, repr=False)
    num_bits: None = dataclasses.field(default=None, init=False, repr=False)
    label_names: None = dataclasses.field(default=None, init=False, repr=False)

    @property
    def event_shape(self) -> tuple[int]:
        """`(size,)`."""
        return self.arrays["train"].shape[1:]

    @property
    def description(self) -> str:
        """The kind of example, for titles: `"vectors of 2 numbers"`."""
        return f"vectors of {self.event_shape[0]} numbers"

    @functools.cached_property
    def true_entropy(self) -> float | None:
        """Entropy of the true density in nats, which no model's expected negative log-likelihood is below, or None."""
        return self.entropy and self.entropy()

    @functools.cached_property
    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each number over the training split."""
        train = self.arrays["train"].astype(np.float64)
        return tuple(train.mean(axis=0).tolist()), tuple(train.std(axis=0).tolist())

    def num_examples(self, split: str) -> int:
        """The number of vectors in `split`; raises `ValueError` if there is no such split."""
        return int(self.examples(split).cardinality())

    def examples(self, split: str) -> tf.data.Dataset:
        """The examples of `split` in stored order: (float32 `[size]`, int64 0)."""
        if split not in self.arrays:
            raise ValueError(f"split: must be one of {', '.join(SPLITS)}; got {split!r}")
        vectors = self.arrays[split]
        return tf.data.Dataset.from_tensor_slices((vectors, np.zeros(len(vectors), np.int64)))
