# SPDX-License-Identifier: Apache-2.0
"""How a TFDS builder becomes an `ImageData`."""

import functools

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from trainers.data.crop_and_resize import Frame, WHOLE
from trainers.data.image_data import ImageData, SPLITS

_OTHER_NAMES = {"val": "validation", "valid": "validation", "dev": "validation"}
_CACHE_BYTES = 2**30  # splits up to this size, decoded, stay in memory
_PROBE = 64  # how many images are looked at when the catalogue does not state their size


def from_builder(
    builder: tfds.core.DatasetBuilder,
    name: str,
    num_levels: int = 256,
    frame: Frame = WHOLE,
    validation_is_test: bool = False,
    attribute: str | None = None,
) -> ImageData:
    """Reads a prepared TFDS builder as an `ImageData`.

    Args:
      builder: a builder with one uint8 image feature and, perhaps, one class label or a dict of attributes.
      name: short name of the set, used in messages too.
      num_levels: how many grey levels a pixel can take.
      frame: how images are cropped and resized.
      validation_is_test: whether a set that has a validation but no test split is tested on the former.
      attribute: the attribute that labels the images, instead of the class label.

    Returns:
      An `ImageData`; splits of at most 1 GiB are kept decoded, cropped and resized in memory once they have been read.

    Raises:
      ValueError: if the set has no such feature, no train split, too few images or, without a crop or a resize, images
        of several sizes.
    """
    features = builder.info.features
    image_key = _only_key(features, "image", tfds.features.Image)
    label_key = _only_key(features, "label", tfds.features.ClassLabel)
    group, attributes = _attributes(features)
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
    if validation_is_test and "test" not in stored and "validation" in stored:
        stored["test"] = stored.pop("validation")
    splits = _carve({split: examples for split, examples in stored.items() if len(examples)}, name)

    def decode(example):
        if attribute:
            label = tf.cast(example[group][attribute], tf.int64)
        else:
            label = example[label_key] if label_key else tf.zeros([], tf.int64)
        return features[image_key].decode_example(example[image_key]), label

    shape = tuple(features[image_key].shape)
    if None in shape:
        shape = _probe_shape(splits["train"].map(decode), name, frame)
    height, width = frame.size(*shape[:2], f"an image of {name}")
    channels = shape[2]

    def finish(example):
        image, label = decode(example)
        return tf.ensure_shape(frame(image), (height, width, channels)), label

    decoded = {k: v.map(finish, num_parallel_calls=tf.data.AUTOTUNE) for k, v in splits.items()}
    for split, examples in decoded.items():
        if len(examples) * height * width * channels <= _CACHE_BYTES:
            decoded[split] = examples.cache()
    label_names = tuple(features[label_key].names) if label_key else None
    if attribute:
        label_names = (f"not {attribute}", attribute)
    relabel = functools.partial(from_builder, builder, name, num_levels, frame, validation_is_test)
    return ImageData(name, (height, width, channels), num_levels, label_names, decoded, attributes, relabel)


def _only_key(features, preferred, kind):
    """The key of the one feature of this kind, or of several the preferred one, or None."""
    keys = [key for key, feature in features.items() if isinstance(feature, kind)]
    return preferred if preferred in keys else keys[0] if len(keys) == 1 else None


def _attributes(features):
    """The key of the first dict of yes-or-no features, as celeb_a's `attributes`, and their names."""
    for key, feature in features.items():
        if isinstance(feature, tfds.features.FeaturesDict) and all(f.np_dtype == np.bool_ for f in feature.values()):
            return key, tuple(feature)
    return None, ()


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


def _probe_shape(examples, name, frame):
    """The shape of the first images, for a set whose catalogue entry does not state it; one shape, unless framed."""
    shapes = sorted({tuple(image.shape) for image, _ in examples.take(_PROBE)})
    if len(shapes) > 1 and not frame.side:
        raise ValueError(f"data: images of {name} must all be one size, unless they get it by --crop or --resize; "
                         f"found {shapes[0]} and {shapes[1]}")
    return min(shapes, key=lambda shape: min(shape[:2]))
