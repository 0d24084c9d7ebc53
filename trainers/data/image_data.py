# SPDX-License-Identifier: Apache-2.0
"""What a trainer knows of an image set, and how a TFDS builder becomes one."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

SPLITS = ("train", "validation", "test")
_OTHER_NAMES = {"val": "validation", "valid": "validation", "dev": "validation"}
_CACHE_BYTES = 2**30  # splits up to this size, decoded, stay in memory
_PROBE = 64  # how many images are looked at when the catalogue does not state their size


@dataclasses.dataclass(frozen=True, eq=False)
class ImageData:
    """An image set: integer images of one size, in three splits that never overlap.

    A set's own train and test splits are used as they are. A missing test split is the last tenth of
    train (at least one image), a missing validation split the last tenth of what then remains.

    Attributes:
      name: short name, for titles and file names.
      image_shape: `(height, width, channels)`.
      num_levels: how many grey levels a pixel can take; pixels are the integers `[0, num_levels)`.
      label_names: the name of each class, or None if the set has no labels.
    """

    name: str
    image_shape: tuple[int, int, int]
    num_levels: int
    label_names: tuple[str, ...] | None
    _splits: Mapping[str, tf.data.Dataset] = dataclasses.field(repr=False)

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


def from_builder(builder: tfds.core.DatasetBuilder, name: str, num_levels: int = 256) -> ImageData:
    """Reads a prepared TFDS builder as an `ImageData`.

    Args:
      builder: a builder with one uint8 image feature and, perhaps, one class label.
      name: short name of the set, used in messages too.
      num_levels: how many grey levels a pixel can take.

    Returns:
      An `ImageData`; splits of at most 1 GiB are kept decoded in memory once they have been read.

    Raises:
      ValueError: if the set has no such feature, no train split, too few images or images of several sizes.
    """
    features = builder.info.features
    image_key = _only_key(features, "image", tfds.features.Image)
    label_key = _only_key(features, "label", tfds.features.ClassLabel)
    if image_key is None or np.dtype(features[image_key].np_dtype) != np.uint8:
        raise ValueError(f"data: {name} has no 8-bit image feature; its features are {', '.join(features)}")

    # Images stay encoded until the splits are carved: to skip an encoded image costs next to nothing.
    # A builder under `tfds.testing.mock_data` may list no split and then accepts any.
    stored = {
        _OTHER_NAMES.get(split, split): builder.as_dataset(
            split=split, decoders={image_key: tfds.decode.SkipDecoding()}, shuffle_files=False
        )
        for split in list(builder.info.splits) or ("train", "test")
    }
    splits = _carve({split: examples for split, examples in stored.items() if len(examples)}, name)

    def decode(example):
        label = example[label_key] if label_key else tf.zeros([], tf.int64)
        return features[image_key].decode_example(example[image_key]), label

    decoded = {k: v.map(decode, num_parallel_calls=tf.data.AUTOTUNE) for k, v in splits.items()}
    shape = tuple(features[image_key].shape)
    if None in shape:
        shape = _probe_shape(decoded["train"], name)
        decoded = {k: v.map(lambda x, y: (tf.ensure_shape(x, shape), y)) for k, v in decoded.items()}
    height, width, channels = shape
    for split, examples in decoded.items():
        if len(examples) * height * width * channels <= _CACHE_BYTES:
            decoded[split] = examples.cache()
    label_names = tuple(features[label_key].names) if label_key else None
    return ImageData(name, (height, width, channels), num_levels, label_names, decoded)


def _only_key(features, preferred, kind):
    """The key of the one feature of this kind, or of several the preferred one, or None."""
    keys = [key for key, feature in features.items() if isinstance(feature, kind)]
    return preferred if preferred in keys else keys[0] if len(keys) == 1 else None


def _carve(stored, name):
    """The three splits, the missing ones cut from the tail of train."""
    if "train" not in stored:
        raise ValueError(f"data: {name} has no train images; it has {', '.join(stored) or 'no images'}")
    splits = dict(stored)
    for missing in [split for split in ("test", "validation") if split not in stored]:
        size = len(splits["train"])
        kept = size - max(1, size // 10)
        if not kept:
            raise ValueError(f"data: {name} has too few train images to cut a {missing} split from: {size}")
        splits[missing] = splits["train"].skip(kept)
        splits["train"] = splits["train"].take(kept)
    return {split: splits[split] for split in SPLITS}


def _probe_shape(examples, name):
    """The one shape of the first images, for a set whose catalogue entry does not state it."""
    shapes = sorted({tuple(image.shape) for image, _ in examples.take(_PROBE)})
    if len(shapes) > 1:
        raise ValueError(f"data: images of {name} must all be one size; found {shapes[0]} and {shapes[1]}")
    return shapes[0]
