# SPDX-License-Identifier: Apache-2.0
"""`ImageData`: a set of integer images with its shape, class names and splits."""

import dataclasses
from collections.abc import Callable, Mapping

import tensorflow as tf

SPLITS = ("train", "validation", "test")


@dataclasses.dataclass(frozen=True, eq=False)
class ImageData:
    """A set of integer images of one size, in the disjoint splits `"train"`, `"validation"` and `"test"`.

    `trainers.data.load` returns such sets; users do not call the constructor. Splits that the source of the images has
    are used as they are. A missing test split is the last tenth of the training images, at least one image. A missing
    validation split is the last tenth of the remaining training images. One rule differs for the TFDS catalog: if a set
    has a validation split and no test split, such as ImageNet, its validation split becomes the test split.

    Attributes:
      name: str, short name of the set, for titles and file names.
      image_shape: `(height, width, channels)`, three ints; height and width are in pixels.
      num_levels: int, number of gray levels. Each channel value is an integer in `[0, num_levels)`.
      label_names: tuple of the name of each class, or None if the set has no labels. Label `k` is the class
        `label_names[k]`.
      attribute_names: tuple of the names of the attributes that each image has or does not have, such as `"Smiling"`
        in `celeb_a`. `labeled_by` returns a set with one of them as the label. Default: the empty tuple.
    """

    name: str
    image_shape: tuple[int, int, int]
    num_levels: int
    label_names: tuple[str, ...] | None
    _splits: Mapping[str, tf.data.Dataset] = dataclasses.field(repr=False)
    attribute_names: tuple[str, ...] = dataclasses.field(default=(), repr=False)
    _relabel: Callable[[str], "ImageData"] | None = dataclasses.field(default=None, repr=False)
    _find_damage: Callable[[], str | None] | None = dataclasses.field(default=None, repr=False)

    @property
    def num_classes(self) -> int | None:
        """Number of classes, an int; None if the set has no labels."""
        return None if self.label_names is None else len(self.label_names)

    @property
    def event_shape(self) -> tuple[int, int, int]:
        """Shape of one example: `image_shape`. `VectorData` has a property of the same name."""
        return self.image_shape

    @property
    def description(self) -> str:
        """A phrase for messages that names the kind and shape of the examples, such as `"images 8x8x1"`."""
        return f"images {'x'.join(map(str, self.image_shape))}"

    @property
    def true_entropy(self) -> None:
        """None, because the true density of images is unknown. `VectorData` has a property of the same name."""
        return None

    @property
    def num_bits(self) -> int:
        """Bits per channel value: the smallest integer `b` with `2**b >= num_levels`."""
        return (self.num_levels - 1).bit_length()

    def num_examples(self, split: str) -> int:
        """Returns the number of images in a split.

        Args:
          split: `"train"`, `"validation"` or `"test"`.

        Returns:
          An int.

        Raises:
          ValueError: if `split` is another string.
        """
        return int(self.examples(split).cardinality())

    def examples(self, split: str) -> tf.data.Dataset:
        """Returns the images and labels of a split, in the order in which they are stored.

        Args:
          split: `"train"`, `"validation"` or `"test"`.

        Returns:
          A `tf.data.Dataset` of pairs `(image, label)`: a uint8 tensor `[height, width, channels]` and an int64 scalar.
          All labels are 0 in a set without labels.

        Raises:
          ValueError: if `split` is another string.
        """
        if split not in self._splits:
            raise ValueError(f"split: must be one of {', '.join(SPLITS)}; got {split!r}")
        return self._splits[split]

    def labeled_by(self, attribute: str) -> "ImageData":
        """Returns a set of the same images with an attribute as their label.

        Args:
          attribute: str, one of `attribute_names`, such as `"Smiling"`.

        Returns:
          An `ImageData` with the classes `"not ATTRIBUTE"` and `"ATTRIBUTE"`. The label is 1 for images that have the
          attribute and 0 for the others.

        Raises:
          ValueError: if `attribute` is not in `attribute_names`.
        """
        if attribute not in self.attribute_names or self._relabel is None:
            known = ", ".join(self.attribute_names) or "none"
            raise ValueError(f"attribute: must be one of the attributes of {self.name} ({known}); got {attribute!r}")
        return self._relabel(attribute)

    def find_damage(self) -> str | None:
        """Reads all files of the set, to find a lost, truncated or changed file.

        Returns:
          A str, an error message that names the first damaged file and a remedy; or None if no file is damaged.
        """
        return None if self._find_damage is None else self._find_damage()
