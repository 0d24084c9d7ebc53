# SPDX-License-Identifier: Apache-2.0
"""`ImageData`: the shape, labels and splits of an image set."""

import dataclasses
from collections.abc import Callable, Mapping

import tensorflow as tf

SPLITS = ("train", "validation", "test")


@dataclasses.dataclass(frozen=True, eq=False)
class ImageData:
    """An image set: integer images of one size, in three disjoint splits.

    The train and test splits of a set are used as they are. A missing test split is the last tenth of train, at least
    one image. A missing validation split is the last tenth of the remaining train images. Sets of the TFDS catalog
    with a validation split and no test split, such as ImageNet, use the validation split as test split. The papers
    do so, too.

    Attributes:
      name: short name, for titles and file names.
      image_shape: `(height, width, channels)`.
      num_levels: number of gray levels of a pixel; pixels are integers in `[0, num_levels)`.
      label_names: name of each class, or None if the set has no labels.
      attribute_names: name of each yes-or-no attribute of the images, see `labeled_by`. Default: none.
    """

    name: str
    image_shape: tuple[int, int, int]
    num_levels: int
    label_names: tuple[str, ...] | None
    _splits: Mapping[str, tf.data.Dataset] = dataclasses.field(repr=False)
    attribute_names: tuple[str, ...] = dataclasses.field(default=(), repr=False)
    _relabel: Callable[[str], "ImageData"] | None = dataclasses.field(default=None, repr=False)

    @property
    def num_classes(self) -> int | None:
        """Number of classes, or None if the set has no labels."""
        return None if self.label_names is None else len(self.label_names)

    @property
    def event_shape(self) -> tuple[int, int, int]:
        """`image_shape`, under the name that `VectorData` has too."""
        return self.image_shape

    @property
    def description(self) -> str:
        """The kind of example, for titles, such as `"images 8x8x1"`."""
        return f"images {'x'.join(map(str, self.image_shape))}"

    @property
    def true_entropy(self) -> None:
        """None: the true density of images is unknown."""
        return None

    @property
    def num_bits(self) -> int:
        """Bits per pixel value: the smallest b with `2**b >= num_levels`."""
        return (self.num_levels - 1).bit_length()

    def num_examples(self, split: str) -> int:
        """Returns the number of images in a split.

        Args:
          split: `"train"`, `"validation"` or `"test"`.

        Raises:
          ValueError: if `split` is another string.
        """
        return int(self.examples(split).cardinality())

    def examples(self, split: str) -> tf.data.Dataset:
        """Returns the examples of a split in stored order.

        Args:
          split: `"train"`, `"validation"` or `"test"`.

        Returns:
          A `tf.data.Dataset` of pairs: a uint8 image `[H, W, C]` and an int64 label `[]`. The label is 0 in a set
          without labels.

        Raises:
          ValueError: if `split` is another string.
        """
        if split not in self._splits:
            raise ValueError(f"split: must be one of {', '.join(SPLITS)}; got {split!r}")
        return self._splits[split]

    def labeled_by(self, attribute: str) -> "ImageData":
        """Labels the images by an attribute.

        Args:
          attribute: one of `attribute_names`, such as `"Smiling"`.

        Returns:
          An `ImageData` of the same images. The label is 1 for images with the attribute and 0 for the others.

        Raises:
          ValueError: if the set does not have the attribute.
        """
        if attribute not in self.attribute_names or self._relabel is None:
            known = ", ".join(self.attribute_names) or "none"
            raise ValueError(f"attribute: must be one of the attributes of {self.name} ({known}); got {attribute!r}")
        return self._relabel(attribute)
