# SPDX-License-Identifier: Apache-2.0
"""What a trainer knows of an image set."""

import dataclasses
from collections.abc import Callable, Mapping

import tensorflow as tf

SPLITS = ("train", "validation", "test")


@dataclasses.dataclass(frozen=True, eq=False)
class ImageData:
    """An image set: integer images of one size, in three splits that never overlap.

    A set's own train and test splits are used as they are. A missing test split is the last tenth of
    train (at least one image), a missing validation split the last tenth of what then remains. Sets of the
    TFDS catalogue with a validation but no test split, such as ImageNet, are tested on the former, as in the papers.

    Attributes:
      name: short name, for titles and file names.
      image_shape: `(height, width, channels)`.
      num_levels: how many grey levels a pixel can take; pixels are the integers `[0, num_levels)`.
      label_names: the name of each class, or None if the set has no labels.
      attribute_names: what else is known of each image, as yes or no; see `labelled_by`.
    """

    name: str
    image_shape: tuple[int, int, int]
    num_levels: int
    label_names: tuple[str, ...] | None
    _splits: Mapping[str, tf.data.Dataset] = dataclasses.field(repr=False)
    attribute_names: tuple[str, ...] = dataclasses.field(default=(), repr=False)
    _relabel: Callable | None = dataclasses.field(default=None, repr=False)

    @property
    def num_classes(self) -> int | None:
        """The number of classes, or None if the set has no labels."""
        return None if self.label_names is None else len(self.label_names)

    @property
    def event_shape(self) -> tuple[int, int, int]:
        """`image_shape`, by the name that all kinds of data have in common."""
        return self.image_shape

    @property
    def description(self) -> str:
        """The kind of example, for titles: `"images 8x8x1"`."""
        return f"images {'x'.join(map(str, self.image_shape))}"

    @property
    def true_entropy(self) -> None:
        """Nobody knows that of images."""
        return None

    @property
    def num_bits(self) -> int:
        """The fewest bits that hold a pixel: the smallest b with `2**b >= num_levels`."""
        return (self.num_levels - 1).bit_length()

    def num_examples(self, split: str) -> int:
        """The number of images in `split`; raises `ValueError` if there is no such split."""
        return int(self.examples(split).cardinality())

    def examples(self, split: str) -> tf.data.Dataset:
        """The examples of `split` in stored order: (uint8 `[H, W, C]`, int64 `[]`); without labels, 0."""
        if split not in self._splits:
            raise ValueError(f"split: must be one of {', '.join(SPLITS)}; got {split!r}")
        return self._splits[split]

    def labelled_by(self, attribute: str) -> "ImageData":
        """The same images, labelled 1 where they have an attribute, such as `"Smiling"`, and 0 where not."""
        if attribute not in self.attribute_names:
            known = ", ".join(self.attribute_names) or "none"
            raise ValueError(f"attribute: must be one that {self.name} has, of {known}; got {attribute!r}")
        return self._relabel(attribute)
