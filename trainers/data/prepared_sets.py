# SPDX-License-Identifier: Apache-2.0
"""Arrays and loose files, stored once as a TFDS set in a cache directory.

A set lives in `CACHE/name/fingerprint/1.0.0`, where the fingerprint is a hash of the content, so a
changed source is stored anew. It is written beside its place and renamed into it when complete, so a
killed run leaves nothing that a later one would take for a set.
"""

import contextlib
import hashlib
import io
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import tensorflow_datasets as tfds

_VERSION = "1.0.0"  # of the stored layout; part of every path, so raise it when the layout changes


def cache_dir(data_dir: str | None = None) -> pathlib.Path:
    """The directory of stored sets: `data_dir`, or `$TFP_GLOW_DATA_DIR`, or `~/.cache/tfp_glow`."""
    return pathlib.Path(data_dir or os.environ.get("TFP_GLOW_DATA_DIR") or "~/.cache/tfp_glow").expanduser()


def permutation(size: int) -> np.ndarray:
    """The fixed order in which sets without an order of their own are stored, int64 `[size]`.

    Legacy `RandomState` streams are frozen by NumPy, so the tails cut from this order never change.
    """
    return np.random.RandomState(0).permutation(size)


def fingerprint(chunks: Iterable[bytes]) -> str:
    """Sixteen hex digits that name this sequence of byte strings."""
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(hashlib.sha256(chunk).digest())
    return digest.hexdigest()[:16]


def features(image_shape: Sequence[int], label_names: Sequence[str] | None) -> tfds.features.FeaturesDict:
    """The TFDS features of a stored set: `image`, uint8 `[H, W, C]`, and, given names, `label`."""
    spec = {"image": tfds.features.Image(shape=tuple(image_shape))}
    if label_names is not None:
        spec["label"] = tfds.features.ClassLabel(names=list(label_names))
    return tfds.features.FeaturesDict(spec)


def array_examples(
    images: np.ndarray, labels: np.ndarray | None, num_classes: int | None, source: str
) -> list[tuple[int, dict]]:
    """The keyed examples of uint8 images `[N, H, W, C]` and integer labels `[N]` or None.

    Raises:
      ValueError: naming `source`, if the counts differ or a label is outside `[0, num_classes)`.
    """
    if labels is None:
        return [(key, {"image": image}) for key, image in enumerate(images)]
    if len(labels) != len(images):
        raise ValueError(f"data: {source} has {len(images)} images but {len(labels)} labels")
    outside = labels[(labels < 0) | (labels >= num_classes)]
    if outside.size:
        raise ValueError(f"data: labels of {source} must be in [0, {num_classes}); got {outside[0]}")
    pairs = zip(images, labels, strict=True)
    return [(key, {"image": image, "label": int(label)}) for key, (image, label) in enumerate(pairs)]


def stored(
    name: str,
    key: str,
    spec: tfds.features.FeaturesDict,
    splits: Callable[[], dict[str, list[tuple[int, dict]]]],
    data_dir: str | None = None,
) -> tfds.core.DatasetBuilder:
    """The TFDS builder of a set that is stored on first use.

    Args:
      name: TFDS name of the set.
      key: fingerprint of its content.
      spec: its TFDS features.
      splits: called only if the set is not stored yet; gives the keyed examples of each split, stored in
        this order.
      data_dir: see `cache_dir`.

    Returns:
      A read-only builder.

    Raises:
      ValueError: if the cache directory cannot be written.
    """
    cache = cache_dir(data_dir)
    home = cache / name / key
    if not (home / _VERSION).is_dir():
        examples = splits()
        try:
            home.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".incomplete-", dir=cache) as scratch:
                _write(name, key, spec, examples, scratch)
                _move(pathlib.Path(scratch) / name / key, home)
        except OSError as error:
            raise ValueError(f"data: cannot store {name} in {cache}: {error}") from error
    return tfds.builder_from_directory(home / _VERSION)


def _write(name, key, spec, examples, directory):
    # TFDS prints where it writes; standard output is for results, and that place is about to be renamed.
    with contextlib.redirect_stdout(io.StringIO()):
        tfds.dataset_builders.store_as_tfds_dataset(
            name=name,
            version=_VERSION,
            config=tfds.core.BuilderConfig(name=key, version=_VERSION),
            features=spec,
            split_datasets=examples,
            data_dir=directory,
            disable_shuffling=True,  # the order is ours, so that the tails cut from it are known
        )


def _move(source, target):
    try:
        os.rename(source, target)
    except OSError:
        if not (target / _VERSION).is_dir():  # else another process was first; its set is the same
            raise
