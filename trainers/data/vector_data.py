# SPDX-License-Identifier: Apache-2.0
"""`VectorData`: the size, statistics and splits of a set of float vectors."""

import dataclasses
import functools
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from trainers.data.image_data import SPLITS


@dataclasses.dataclass(frozen=True, eq=False)
class VectorData:
    """A set of vectors of one size from a continuous density, in three disjoint splits.

    It has the properties of `ImageData` that the trainers use; the ones that only images have are None.

    Attributes:
      name: short name, for titles and file names.
      arrays: float32 `[N, size]` per split.
      entropy: callable that computes the entropy in nats of the density behind the vectors. Default None: the entropy
        is unknown.
      num_levels: None, as vectors have no gray levels.
      num_bits: None, as vectors have no pixels.
      label_names: None, as vectors have no labels.

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
        """`(size,)`."""
        return (self.arrays["train"].shape[1],)

    @property
    def description(self) -> str:
        """The kind of example, for titles, such as `"vectors of 2 numbers"`."""
        return f"vectors of {self.event_shape[0]} numbers"

    @functools.cached_property
    def true_entropy(self) -> float | None:
        """Entropy of the true density in nats, or None if it is unknown.

        It is the lower bound of the expected negative log-likelihood of every model.
        """
        return None if self.entropy is None else self.entropy()

    @functools.cached_property
    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each column over the training split."""
        train = self.arrays["train"].astype(np.float64)
        return tuple(train.mean(axis=0).tolist()), tuple(train.std(axis=0).tolist())

    def num_examples(self, split: str) -> int:
        """Returns the number of vectors in a split.

        Args:
          split: `"train"`, `"validation"` or `"test"`.

        Raises:
          ValueError: if there is no such split.
        """
        return int(self.examples(split).cardinality())

    def examples(self, split: str) -> tf.data.Dataset:
        """Returns the examples of a split in stored order.

        Args:
          split: `"train"`, `"validation"` or `"test"`.

        Returns:
          A `tf.data.Dataset` of pairs: a float32 vector `[size]` and the int64 label 0.

        Raises:
          ValueError: if there is no such split.
        """
        if split not in self.arrays:
            raise ValueError(f"split: must be one of {', '.join(SPLITS)}; got {split!r}")
        vectors = self.arrays[split]
        return tf.data.Dataset.from_tensor_slices((vectors, np.zeros(len(vectors), np.int64)))
