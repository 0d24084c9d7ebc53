# SPDX-License-Identifier: Apache-2.0
"""Prepared sets: images of arrays and loose files, stored once in a cache directory in the format of TFDS.

A set is stored in `CACHE/NAME/FINGERPRINT/1.0.0`. The fingerprint is a hash of the content, so a set whose source has
changed is stored again. The files are written to a temporary directory, which is renamed when it is complete. A
process that is killed therefore leaves no incomplete set.
"""

import contextlib
import hashlib
import io
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import tensorflow_datasets as tfds

# The examples of a split in stored order: pairs of an integer key and a dict of the values of the TFDS features.
KeyedExamples: TypeAlias = list[tuple[int, dict[str, Any]]]

_VERSION = "1.0.0"  # Version of the stored format, a part of every path. Increase it when the format changes.


def cache_dir(data_dir: str | None = None) -> pathlib.Path:
    """Returns the cache directory, in which prepared sets are stored.

    Args:
      data_dir: str, the directory; a leading `~` is the home directory. Default None: `$TFP_GLOW_DATA_DIR`, or
        `~/.cache/tfp_glow` if this variable is not set.

    Returns:
      A `pathlib.Path`. The directory may not exist yet.
    """
    return pathlib.Path(data_dir or os.environ.get("TFP_GLOW_DATA_DIR") or "~/.cache/tfp_glow").expanduser()


def fixed_permutation(size: int) -> np.ndarray:
    """Returns the permutation that shuffles the examples of a set before splits are cut from their end.

    The permutation depends on `size` only, so the splits never change: NumPy guarantees that the random numbers of
    `RandomState` stay the same in all versions.

    Args:
      size: int, number of examples.

    Returns:
      An int64 array `[size]`, a permutation of the integers from 0 to `size - 1`.
    """
    return np.random.RandomState(0).permutation(size)


def content_fingerprint(chunks: Iterable[bytes]) -> str:
    """Computes a hash of a sequence of byte strings.

    Args:
      chunks: iterable of bytes. The hash also depends on the boundaries between the byte strings.

    Returns:
      A str of sixteen hexadecimal digits.
    """
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(hashlib.sha256(chunk).digest())
    return digest.hexdigest()[:16]


def image_features(
    image_shape: Sequence[int | None], label_names: Sequence[str] | None
) -> tfds.features.FeaturesDict:
    """Returns the TFDS features of a prepared set.

    Args:
      image_shape: `(height, width, channels)`. Height and width are None for images of different sizes.
      label_names: sequence of the name of each class, or None for images without labels.

    Returns:
      A `tfds.features.FeaturesDict` with the entry `image`, a uint8 image. If `label_names` is given, it also has the
      entry `label`, a class label.
    """
    features = {"image": tfds.features.Image(shape=tuple(image_shape))}
    if label_names is not None:
        features["label"] = tfds.features.ClassLabel(names=list(label_names))
    return tfds.features.FeaturesDict(features)


def keyed_examples(
    images: np.ndarray, labels: np.ndarray | None, num_classes: int | None, source: str
) -> KeyedExamples:
    """Converts arrays of images and labels to a list of keyed examples.

    Args:
      images: uint8 array `[N, height, width, channels]`.
      labels: integer array `[N]`, or None for images without labels.
      num_classes: int, number of classes, or None for images without labels.
      source: str, name of the images for error messages.

    Returns:
      A list of `N` pairs `(key, features)`. The key is the index of the image. `features` is a dict with the entry
      `image`, an array, and with the entry `label`, an int, if there are labels.

    Raises:
      ValueError: if the number of labels is not `N`, or a label is outside `[0, num_classes)`.
    """
    if labels is None or num_classes is None:
        return [(key, {"image": image}) for key, image in enumerate(images)]
    if len(labels) != len(images):
        raise ValueError(f"data: {source} has {len(images)} images but {len(labels)} labels")
    outside = labels[(labels < 0) | (labels >= num_classes)]
    if outside.size:
        raise ValueError(f"data: labels of {source} must be in [0, {num_classes}); got {outside[0]}")
    pairs = zip(images, labels, strict=True)
    return [(key, {"image": image, "label": int(label)}) for key, (image, label) in enumerate(pairs)]


def open_or_prepare(
    name: str,
    fingerprint: str,
    features: tfds.features.FeaturesDict,
    make_splits: Callable[[], dict[str, KeyedExamples]],
    data_dir: str | None = None,
) -> tfds.core.DatasetBuilder:
    """Opens a prepared set; stores the set first if it is not in the cache directory.

    Args:
      name: str, TFDS name of the set.
      fingerprint: str, hash of the content of the set, see `content_fingerprint`.
      features: `tfds.features.FeaturesDict` of the examples, see `image_features`.
      make_splits: callable without arguments that returns a dict from the names of the splits to lists of examples, see
        `keyed_examples`. It is called only if the set is not stored yet.
      data_dir: str, the cache directory. Default None: `$TFP_GLOW_DATA_DIR`, or `~/.cache/tfp_glow` if this variable is
        not set.

    Returns:
      A read-only `tfds.core.DatasetBuilder`. Its examples are in the order of the lists.

    Raises:
      ValueError: if the set cannot be written to the cache directory.
    """
    cache = cache_dir(data_dir)
    home = cache / name / fingerprint
    if not (home / _VERSION).is_dir():
        splits = make_splits()
        try:
            home.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".incomplete-", dir=cache) as scratch:
                _write(name, fingerprint, features, splits, scratch)
                _move_into_place(pathlib.Path(scratch) / name / fingerprint, home)
        except OSError as error:
            raise ValueError(f"data: cannot store {name} in {cache}: {error}; set TFP_GLOW_DATA_DIR to a writable "
                             "directory") from error
    return tfds.builder_from_directory(home / _VERSION)


def _write(
    name: str,
    fingerprint: str,
    features: tfds.features.FeaturesDict,
    splits: dict[str, KeyedExamples],
    directory: str,
) -> None:
    # TFDS prints the directory to which it writes. Standard output is for results only.
    with contextlib.redirect_stdout(io.StringIO()):
        tfds.dataset_builders.store_as_tfds_dataset(
            name=name,
            version=_VERSION,
            config=tfds.core.BuilderConfig(name=fingerprint, version=_VERSION),
            features=features,
            split_datasets=splits,
            data_dir=directory,
            disable_shuffling=True,  # Splits are cut from the end later, so the examples must keep their order.
        )


def _move_into_place(source: pathlib.Path, target: pathlib.Path) -> None:
    try:
        os.rename(source, target)
    except OSError:
        if not (target / _VERSION).is_dir():  # Otherwise another process has stored the same set.
            raise
