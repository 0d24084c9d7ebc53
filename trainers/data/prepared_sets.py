# SPDX-License-Identifier: Apache-2.0
"""Prepared sets: images from arrays and loose files, stored once as a TFDS set in a cache directory.

A set is stored in `CACHE/name/fingerprint/1.0.0`. The fingerprint is a hash of the content, so a changed source is
stored again. The files are written to a temporary directory, which is renamed when it is complete. A killed process
therefore leaves no incomplete set.
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

# The examples of a split in stored order: pairs of a key and the values of the TFDS features.
KeyedExamples: TypeAlias = list[tuple[int, dict[str, Any]]]

_VERSION = "1.0.0"  # Version of the stored layout, a part of every path: increase it when the layout changes.


def cache_dir(data_dir: str | None = None) -> pathlib.Path:
    """Returns the directory of prepared sets.

    Args:
      data_dir: the directory. Default None: `$TFP_GLOW_DATA_DIR`, or `~/.cache/tfp_glow` if that is not set.
    """
    return pathlib.Path(data_dir or os.environ.get("TFP_GLOW_DATA_DIR") or "~/.cache/tfp_glow").expanduser()


def fixed_permutation(size: int) -> np.ndarray:
    """Returns the order in which sets without an order of their own are stored.

    NumPy guarantees that the streams of `RandomState` never change. So the splits cut from the end never change.

    Args:
      size: number of examples.

    Returns:
      int64 `[size]`, a permutation of the integers from 0 to `size - 1`.
    """
    return np.random.RandomState(0).permutation(size)


def content_fingerprint(chunks: Iterable[bytes]) -> str:
    """Hashes a sequence of byte strings.

    Args:
      chunks: the byte strings; their boundaries are part of the hash.

    Returns:
      Sixteen hexadecimal digits.
    """
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(hashlib.sha256(chunk).digest())
    return digest.hexdigest()[:16]


def image_features(
    image_shape: Sequence[int | None], label_names: Sequence[str] | None
) -> tfds.features.FeaturesDict:
    """Makes the TFDS features of a prepared set.

    Args:
      image_shape: `(height, width, channels)`; height and width are None for images of different sizes.
      label_names: name of each class, or None for images without labels.

    Returns:
      The features `image`, uint8 `[H, W, C]`, and, with `label_names`, `label`.
    """
    features = {"image": tfds.features.Image(shape=tuple(image_shape))}
    if label_names is not None:
        features["label"] = tfds.features.ClassLabel(names=list(label_names))
    return tfds.features.FeaturesDict(features)


def keyed_examples(
    images: np.ndarray, labels: np.ndarray | None, num_classes: int | None, source: str
) -> KeyedExamples:
    """Makes keyed examples from arrays.

    Args:
      images: uint8 `[N, H, W, C]`.
      labels: integers `[N]`, or None for images without labels.
      num_classes: number of classes, or None for images without labels.
      source: name of the images, for error messages.

    Returns:
      The examples with the keys 0 to `N - 1`.

    Raises:
      ValueError: if images and labels differ in number, or a label is outside `[0, num_classes)`.
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
    """Opens a prepared set, and stores it first if it is not in the cache directory.

    Args:
      name: TFDS name of the set.
      fingerprint: fingerprint of its content.
      features: its TFDS features.
      make_splits: callable that returns the keyed examples of each split. It is called only if the set is not stored
        yet.
      data_dir: the cache directory. Default None: see `cache_dir`.

    Returns:
      A read-only TFDS builder. Its examples have the order of `make_splits()`.

    Raises:
      ValueError: if the cache directory is not writable.
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
            raise ValueError(f"data: cannot store {name} in {cache}: {error}") from error
    return tfds.builder_from_directory(home / _VERSION)


def _write(
    name: str,
    fingerprint: str,
    features: tfds.features.FeaturesDict,
    splits: dict[str, KeyedExamples],
    directory: str,
) -> None:
    # TFDS prints the directory it writes to. Standard output is for results, and the directory is renamed afterwards.
    with contextlib.redirect_stdout(io.StringIO()):
        tfds.dataset_builders.store_as_tfds_dataset(
            name=name,
            version=_VERSION,
            config=tfds.core.BuilderConfig(name=fingerprint, version=_VERSION),
            features=features,
            split_datasets=splits,
            data_dir=directory,
            disable_shuffling=True,  # Splits are cut from the end, so the order must be the given one.
        )


def _move_into_place(source: pathlib.Path, target: pathlib.Path) -> None:
    try:
        os.rename(source, target)
    except OSError:
        if not (target / _VERSION).is_dir():  # Otherwise another process stored the same set in the meantime.
            raise
