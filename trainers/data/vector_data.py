# SPDX-License-Identifier: Apache-2.0
"""`VectorData`: a set of float vectors with its size, statistics and splits."""

import dataclasses
import functools
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from .image_data import SPLITS


@dataclasses.dataclass(frozen=True, eq=False)
class VectorData:
    """A set of float vectors of one size, in the disjoint splits `"train"`, `"validation"` and `"test"`.

    `VectorData` has all properties of `ImageData` that the trainers use, so the same code trains on both. The
    properties of images are None.

    Attributes:
      name: str, short name of the set, for titles and file names.
      arrays: mapping from the name of each split to its vectors, a float32 array `[N, size]`.
      entropy: callable without arguments that computes the differential entropy, in nats, of the density from which the
        vectors are drawn. Default None: the entropy is unknown.
      num_levels: None, because vectors have no gray levels. Not an argument.
      num_bits: None, because vectors have no pixels. Not an argument.
      label_names: None, because vectors have no labels. Not an argument.

    Example:

    >>> points = VectorData("points", {"train": np.array([[0.0, 1.0], [2.0, 1.0]], np.float32)})
    >>> points.event_shape, points.statistics
    ((2,), ((1.0, 1.0), (1.0, 0.0)))
    """

    name: str
    arrays: Mapping[str, np.ndarray] = dataclasses.field(repr=False)
    entropy: Callable[[], float] | None = None
    num_levels: None = dataclasses.field(default=None, init=False, repr=False)
    num_bits: None = dataclasses.field(default=None, init=False, repr=False)
    label_names: None = dataclasses.field(default=None, init=False, repr=False)

    @property
    def event_shape(self) -> tuple[int]:
        """Shape of one example: `(size,)`, the number of columns."""
        return (self.arrays["train"].shape[1],)

    @property
    def description(self) -> str:
        """A phrase for messages that names the kind and size of the examples, such as `"vectors of 2 numbers"`."""
        return f"vectors of {self.event_shape[0]} numbers"

    @functools.cached_property
    def true_entropy(self) -> float | None:
        """Differential entropy in nats of the density from which the vectors are drawn, or None if it is unknown.

        No model has a lower expected negative log-likelihood.
        """
        return None if self.entropy is None else self.entropy()

    @functools.cached_property
    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """A pair `(means, deviations)` of tuples: mean and standard deviation of each column of the training split."""
        train = self.arrays["train"].astype(np.float64)
        return tuple(train.mean(axis=0).tolist()), tuple(train.std(axis=0).tolist())

    def num_examples(self, split: str) -> int:
        """Returns the number of vectors in a split.

        Args:
          split: `"train"`, `"validation"` or `"test"`.

        Returns:
          An int.

        Raises:
          ValueError: if `arrays` has no such split.
        """
        return int(self.examples(split).cardinality())

    def examples(self, split: str) -> tf.data.Dataset:
        """Returns the vectors of a split in the order of `arrays`, with labels as `ImageData.examples` returns them.

        Args:
          split: `"train"`, `"validation"` or `"test"`.

        Returns:
          A `tf.data.Dataset` of pairs `(vector, label)`: a float32 tensor `[size]`, and 0 as an int64 scalar.

        Raises:
          ValueError: if `arrays` has no such split.
        """
        if split not in self.arrays:
            raise ValueError(f"split: must be one of {', '.join(SPLITS)}; got {split!r}")
        vectors = self.arrays[split]
        return tf.data.Dataset.from_tensor_slices((vectors, np.zeros(len(vectors), np.int64)))

    def find_damage(self) -> None:
        """None, because the vectors are in memory. `ImageData` has a method of the same name."""
        return None
