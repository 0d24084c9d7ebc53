# SPDX-License-Identifier: Apache-2.0
"""`image_data_from_builder` and `image_data_from_files`: convert a TFDS builder or lists of files to an `ImageData`."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from .crop_and_resize import ORIGINAL_SIZE, CropAndResize
from .damaged_files import one_line_if_damaged
from .image_data import SPLITS, ImageData

_OTHER_NAMES = {"val": "validation", "valid": "validation", "dev": "validation"}
_CACHE_BYTES = 2**30  # Decoded splits up to this size stay in memory.
_NUM_PROBED = 64  # Number of images whose size is read if the features of the builder do not contain the size.


def image_data_from_builder(
    builder: tfds.core.DatasetBuilder,
    name: str,
    num_levels: int = 256,
    crop_and_resize: CropAndResize = ORIGINAL_SIZE,
    validation_is_test: bool = False,
    attribute: str | None = None,
    find_damage: Callable[[], str | None] | None = None,
) -> ImageData:
    """Converts a TFDS builder, whose data is on disk, to an `ImageData`.

    The splits are read by their names; `val`, `valid` and `dev` are other names of `validation`. A missing test split
    is cut from the end of the training images: their last tenth, at least one image. Then a missing validation split is
    cut from the end of the remaining training images in the same way. The images of a split are decoded, cropped and
    resized when they are read. A split of at most 1 GiB stays in memory after it has been read once.

    Args:
      builder: `tfds.core.DatasetBuilder`. Its features must contain one uint8 `tfds.features.Image`. If there are
        several, the feature `image` is used. A `tfds.features.ClassLabel` becomes the label: the only one, or the
        feature `label`. A dict of Boolean features becomes the attributes of the images.
      name: str, short name of the set, for the `ImageData` and for error messages.
      num_levels: int, number of gray levels: channel values are integers in `[0, num_levels)`. Default 256.
      crop_and_resize: `CropAndResize` that is applied to each image. Default: images stay as they are.
      validation_is_test: bool. If True and the builder has no test split, its validation split becomes the test split,
        and a new validation split is cut from the training images. Default False.
      attribute: str, name of the Boolean feature that becomes the label: 0 for False, 1 for True. Default None: the
        class label is the label, and an image without class label has the label 0.
      find_damage: callable for `ImageData.find_damage`. Default None: it finds none.

    Returns:
      An `ImageData`.

    Raises:
      ValueError: if the builder has no uint8 image feature, no training images, or too few training images for three
        splits; if the crop is larger than an image; or if the images differ in size without crop and resize.
      AssertionError: by TFDS, if the data of the builder is not on disk.
    """
    features = builder.info.features
    image_key = _only_key(features, "image", tfds.features.Image)
    if image_key is None or np.dtype(features[image_key].np_dtype) != np.uint8:
        raise ValueError(f"data: {name} has no 8-bit image feature; its features are {', '.join(features)}")

    # Images stay encoded until the splits are cut, because skipping an encoded image is cheap.
    # A builder under `tfds.testing.mock_data` may list no split. It then accepts every split name.
    stored: dict[str, tf.data.Dataset] = {}
    for split in list(builder.info.splits) or ("train", "test"):
        examples = builder.as_dataset(
            split=split, decoders={image_key: tfds.decode.SkipDecoding()}, shuffle_files=False)
        standard = _OTHER_NAMES.get(split, split)
        if not len(examples):
            continue
        if standard in stored:
            raise ValueError(f"data: {name} has two splits for {standard}, one of them {split}")
        stored[standard] = examples
    if validation_is_test and "test" not in stored and "validation" in stored:
        stored["test"] = stored.pop("validation")
    return _image_data(
        _cut_missing_splits(stored, name), features, name, num_levels, crop_and_resize, attribute, find_damage,
        relabel=functools.partial(
            image_data_from_builder, builder, name, num_levels, crop_and_resize, validation_is_test,
            find_damage=find_damage))


def image_data_from_files(
    splits: Mapping[str, Sequence[tuple[str, int]]],
    features: tfds.features.FeaturesDict,
    name: str,
    crop_and_resize: CropAndResize = ORIGINAL_SIZE,
    find_damage: Callable[[], str | None] | None = None,
) -> ImageData:
    """Returns a set of PNG and JPEG files that are read in place, each time they are needed.

    Missing splits are cut from the training images as in `image_data_from_builder`.

    Args:
      splits: mapping from `"train"`, and optionally `"validation"` and `"test"`, to pairs of the path of a file and its
        label, in stored order.
      features: `tfds.features.FeaturesDict` with the entries `image` and `label`.
      name: str, short name of the set, for the `ImageData` and for error messages.
      crop_and_resize: `CropAndResize` that is applied to each image. Default: images stay as they are.
      find_damage: callable for `ImageData.find_damage`. Default None: it finds none.

    Returns:
      An `ImageData` with 256 gray levels.

    Raises:
      ValueError: if there are no training images, or too few for three splits; if the crop is larger than an image; or
        if the images differ in size without crop and resize.
    """
    stored = {
        split: tf.data.Dataset.from_tensor_slices({
            "image": [path for path, _ in files], "label": np.array([label for _, label in files], np.int64)})
        for split, files in splits.items() if files}
    # Splits are cut from the lists of files: an image that is skipped is not read.
    stored = {
        split: examples.map(lambda example: {**example, "image": tf.io.read_file(example["image"])},
                            num_parallel_calls=tf.data.AUTOTUNE)
        for split, examples in _cut_missing_splits(stored, name).items()}
    return _image_data(stored, features, name, 256, crop_and_resize, None, find_damage)


def _image_data(
    splits: Mapping[str, tf.data.Dataset],
    features: tfds.features.FeaturesDict,
    name: str,
    num_levels: int,
    crop_and_resize: CropAndResize,
    attribute: str | None = None,
    find_damage: Callable[[], str | None] | None = None,
    relabel: Callable[[str], ImageData] | None = None,
) -> ImageData:
    """Returns the `ImageData` of splits with encoded images: decodes, crops and resizes them when they are read."""
    image_key = _only_key(features, "image", tfds.features.Image) or "image"
    label_key = _only_key(features, "label", tfds.features.ClassLabel)
    attributes_key, attributes = _attributes(features)

    def decode(example: dict[str, Any]) -> tuple[tf.Tensor, tf.Tensor]:
        if attribute and attributes_key:
            label = tf.cast(example[attributes_key][attribute], tf.int64)
        else:
            label = example[label_key] if label_key else tf.zeros([], tf.int64)
        return features[image_key].decode_example(example[image_key]), label

    shape = tuple(features[image_key].shape)
    if None in shape:
        with one_line_if_damaged(find_damage):
            shape = _probe_shape(splits["train"].map(decode), name, crop_and_resize)
    height, width, channels = shape
    if channels not in (1, 3):
        raise ValueError(f"data: {name} has images of {channels} channels; they must have 1 or 3, because samples are "
                         "saved as pictures")
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
    return ImageData(
        name, (height, width, channels), num_levels, label_names, decoded, attributes, relabel, find_damage)


def _only_key(features: tfds.features.FeaturesDict, preferred: str, kind: type) -> str | None:
    """Returns the key of the only feature of a class, `preferred` if there are several, or None."""
    keys = [key for key, feature in features.items() if isinstance(feature, kind)]
    return preferred if preferred in keys else keys[0] if len(keys) == 1 else None


def _attributes(features: tfds.features.FeaturesDict) -> tuple[str | None, tuple[str, ...]]:
    """Returns the key of the first dict of Boolean features and its names, such as `attributes` of `celeb_a`.

    Without such a dict it returns `(None, ())`.
    """
    for key, feature in features.items():
        if isinstance(feature, tfds.features.FeaturesDict) and all(f.np_dtype == np.bool_ for f in feature.values()):
            return key, tuple(feature)
    return None, ()


def _cut_missing_splits(stored: Mapping[str, tf.data.Dataset], name: str) -> dict[str, tf.data.Dataset]:
    """Returns the splits train, validation and test; a missing split is cut from the end of train."""
    if "train" not in stored:
        raise ValueError(f"data: {name} has no train images; its splits with images: {', '.join(stored) or 'none'}")
    splits = dict(stored)
    for missing in [split for split in ("test", "validation") if split not in stored]:
        size = len(splits["train"])
        kept = size - max(1, size // 10)
        if not kept:
            raise ValueError(f"data: {name} has too few train images to cut a {missing} split from them; got {size}")
        splits[missing] = splits["train"].skip(kept)
        splits["train"] = splits["train"].take(kept)
    return {split: splits[split] for split in SPLITS}


def _probe_shape(examples: tf.data.Dataset, name: str, crop_and_resize: CropAndResize) -> tuple[int, int, int]:
    """Returns the image shape of the first examples, `(height, width, channels)`.

    If the shapes differ, it is the shape with the shortest side, because this side limits the crop.

    Raises:
      ValueError: if the shapes differ without crop and resize.
    """
    shapes = sorted({tuple(image.shape) for image, _ in examples.take(_NUM_PROBED)})
    if len(shapes) > 1 and not crop_and_resize.output_side:
        raise ValueError(f"data: images of {name} must have the same size unless "
                         f"{crop_and_resize.condition_for_sizes}; found {shapes[0]} and {shapes[1]}")
    return min(shapes, key=lambda shape: min(shape[:2]))
