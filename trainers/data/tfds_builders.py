# SPDX-License-Identifier: Apache-2.0
"""Conversion of a TFDS builder to an `ImageData`."""

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from trainers.data.crop_and_resize import ORIGINAL_SIZE, CropAndResize
from trainers.data.image_data import SPLITS, ImageData

_OTHER_NAMES = {"val": "validation", "valid": "validation", "dev": "validation"}
_CACHE_BYTES = 2**30  # Decoded splits up to this size stay in memory.
_NUM_PROBED = 64  # Number of images whose size is read if the catalog does not give it.


def image_data_from_builder(
    builder: tfds.core.DatasetBuilder,
    name: str,
    num_levels: int = 256,
    crop_and_resize: CropAndResize = ORIGINAL_SIZE,
    validation_is_test: bool = False,
    attribute: str | None = None,
) -> ImageData:
    """Makes an `ImageData` from a prepared TFDS builder.

    Splits of at most 1 GiB are kept in memory after the first read, decoded, cropped and resized.

    Args:
      builder: a builder with one uint8 image feature and, optionally, one class label or a dict of attributes.
      name: short name of the set, also for error messages.
      num_levels: number of gray levels of a pixel. Default 256.
      crop_and_resize: crop and resize of each image. Default: none.
      validation_is_test: whether the validation split becomes the test split of a set without a test split. Default
        False.
      attribute: name of the attribute that labels the images. Default None: the class label, if the set has one.

    Returns:
      An `ImageData`.

    Raises:
      ValueError: if the set has no 8-bit image feature, no train split or too few images; if the crop is larger than
        an image; or if the images differ in size without crop and resize.
    """
    features = builder.info.features
    image_key = _only_key(features, "image", tfds.features.Image)
    label_key = _only_key(features, "label", tfds.features.ClassLabel)
    attributes_key, attributes = _attributes(features)
    if image_key is None or np.dtype(features[image_key].np_dtype) != np.uint8:
        raise ValueError(f"data: {name} has no 8-bit image feature; its features are {', '.join(features)}")

    # Images stay encoded until the splits are cut, because skipping an encoded image is cheap.
    # A builder under `tfds.testing.mock_data` may list no split; it then accepts every split name.
    stored = {
        _OTHER_NAMES.get(split, split): builder.as_dataset(
            split=split, decoders={image_key: tfds.decode.SkipDecoding()}, shuffle_files=False
        )
        for split in list(builder.info.splits) or ("train", "test")
    }
    if validation_is_test and "test" not in stored and "validation" in stored:
        stored["test"] = stored.pop("validation")
    splits = _cut_missing_splits({split: examples for split, examples in stored.items() if len(examples)}, name)

    def decode(example: dict[str, Any]) -> tuple[tf.Tensor, tf.Tensor]:
        if attribute and attributes_key:
            label = tf.cast(example[attributes_key][attribute], tf.int64)
        else:
            label = example[label_key] if label_key else tf.zeros([], tf.int64)
        return features[image_key].decode_example(example[image_key]), label

    shape = tuple(features[image_key].shape)
    if None in shape:
        shape = _probe_shape(splits["train"].map(decode), name, crop_and_resize)
    height, width, channels = shape
    height, width = crop_and_resize.output_size(height, width, f"an image of {name}")

    def finish(example: dict[str, Any]) -> tuple[tf.Tensor, tf.Tensor]:
        image, label = decode(example)
        return tf.ensure_shape(crop_and_resize(image), (height, width, channels)), label

    decoded = {k: v.map(finish, num_parallel_calls=tf.data.AUTOTUNE) for k, v in splits.items()}
    for split, examples in decoded.items():
        if len(examples) * height * width * channels <= _CACHE_BYTES:
            decoded[split] = examples.cache()
    label_names = tuple(features[label_key].names) if label_key else None
    if attribute:
        label_names = (f"not {attribute}", attribute)
    relabel = functools.partial(
        image_data_from_builder, builder, name, num_levels, crop_and_resize, validation_is_test)
    return ImageData(name, (height, width, channels), num_levels, label_names, decoded, attributes, relabel)


def _only_key(features: tfds.features.FeaturesDict, preferred: str, kind: type) -> str | None:
    """Returns the key of the only feature of this kind; `preferred` if it is one of several; otherwise None."""
    keys = [key for key, feature in features.items() if isinstance(feature, kind)]
    return preferred if preferred in keys else keys[0] if len(keys) == 1 else None


def _attributes(features: tfds.features.FeaturesDict) -> tuple[str | None, tuple[str, ...]]:
    """Returns the key and the names of the first dict of Boolean features, such as `attributes` of celeb_a."""
    for key, feature in features.items():
        if isinstance(feature, tfds.features.FeaturesDict) and all(f.np_dtype == np.bool_ for f in feature.values()):
            return key, tuple(feature)
    return None, ()


def _cut_missing_splits(stored: Mapping[str, tf.data.Dataset], name: str) -> dict[str, tf.data.Dataset]:
    """Returns the three splits; missing ones are cut from the end of train."""
    if "train" not in stored:
        raise ValueError(f"data: {name} has no train images; it has {', '.join(stored) or 'no images'}")
    splits = dict(stored)
    for missing in [split for split in ("test", "validation") if split not in stored]:
        size = len(splits["train"])
        kept = size - max(1, size // 10)
        if not kept:
            raise ValueError(f"data: {name} has too few train images to cut a {missing} split from them: {size}")
        splits[missing] = splits["train"].skip(kept)
        splits["train"] = splits["train"].take(kept)
    return {split: splits[split] for split in SPLITS}


def _probe_shape(examples: tf.data.Dataset, name: str, crop_and_resize: CropAndResize) -> tuple[int, int, int]:
    """Returns the shape of the first images with the shortest side; without crop and resize, requires one shape."""
    shapes = sorted({tuple(image.shape) for image, _ in examples.take(_NUM_PROBED)})
    if len(shapes) > 1 and not crop_and_resize.output_side:
        raise ValueError(f"data: images of {name} must have the same size unless --crop or --resize is given; "
                         f"found {shapes[0]} and {shapes[1]}")
    return min(shapes, key=lambda shape: min(shape[:2]))
