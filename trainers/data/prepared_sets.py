# SPDX-License-Identifier: Apache-2.0
"""Prepared sets: images of arrays and loose files, stored once in a cache directory in the format of TFDS.

A set is stored in `CACHE/NAME/FINGERPRINT/1.0.0`. The fingerprint is a hash of the content, so a set whose source has
changed is stored again. The files are written to a temporary directory, which is renamed when it is complete. A
process that is killed therefore leaves no incomplete set.

The file `CACHE/NAME/FINGERPRINT/files.json` lists size, time and hash of each stored file. A set with a lost, truncated
or changed file is stored again from its source, with a warning.
"""

import contextlib
import errno
import hashlib
import io
import json
import os
import pathlib
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import tensorflow_datasets as tfds

from . import record_files

try:
    import fcntl
except ImportError:  # Windows has no fcntl: there, directories of killed processes stay.
    fcntl = None  # type: ignore[assignment]

# The examples of a split in stored order: pairs of an integer key and a dict of the values of the TFDS features.
KeyedExamples: TypeAlias = list[tuple[int, dict[str, Any]]]

_VERSION = "1.0.0"  # Version of the stored format, a part of every path. Increase it when the format changes.
_LIST_NAME = "files.json"
_SCRATCH_PREFIX = ".incomplete-"
_HASHED_BYTES = 2**26  # The hashes of a set up to this size are compared at every call.
_LEFTOVER_SECONDS = 3600.0
_DISK_FULL_CODES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def cache_dir(data_dir: str | None = None) -> pathlib.Path:
    """Returns the cache directory, in which prepared sets are stored.

    Args:
      data_dir: str, the directory; a leading `~` is the home directory. Default None: `$TFP_GLOW_DATA_DIR`, or
        `~/.cache/tfp_glow` if this variable is not set.

    Returns:
      A `pathlib.Path`. The directory may not exist yet.
    """
    return pathlib.Path(os.path.expanduser(data_dir or os.environ.get("TFP_GLOW_DATA_DIR") or "~/.cache/tfp_glow"))


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
    verify: bool = False,
) -> tfds.core.DatasetBuilder:
    """Opens a prepared set; stores the set first if it is not in the cache directory.

    If a stored file is lost, truncated or changed, the function warns and stores the set again. Of a set with more than
    64 MiB, it compares the hash of a file only if the time of the file has changed.

    Args:
      name: str, TFDS name of the set.
      fingerprint: str, hash of the content of the set, see `content_fingerprint`.
      features: `tfds.features.FeaturesDict` of the examples, see `image_features`.
      make_splits: callable without arguments that returns a dict from the names of the splits to lists of examples, see
        `keyed_examples`. It is called only if the set must be stored.
      data_dir: str, the cache directory. Default None: `$TFP_GLOW_DATA_DIR`, or `~/.cache/tfp_glow` if this variable is
        not set.
      verify: bool. If True, the hashes of all files are compared. Default False.

    Returns:
      A read-only `tfds.core.DatasetBuilder`. Its examples are in the order of the lists.

    Raises:
      ValueError: if the set cannot be written to the cache directory, for example because the disk is full.
    """
    cache = cache_dir(data_dir)
    home = cache / name / fingerprint
    damage = None
    if _exists(home):
        damage = find_damage(home, verify)
        if damage is None:
            try:
                return tfds.builder_from_directory(home / _VERSION)
            except Exception as error:  # TFDS raises many classes here, also for a set of a newer version of TFDS.
                damage = f"TFDS cannot open it: {_first_line(error)}"
        warnings.warn(f"data: the prepared set in {home} is damaged and is stored again from its source: {damage}",
                      stacklevel=2)
    splits = make_splits()
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(cache)
        with _scratch_directory(cache) as scratch:
            _write(name, fingerprint, features, splits, str(scratch))
            _check_written(scratch / name / fingerprint)
            _list_files(scratch / name / fingerprint)
            _move_into_place(scratch / name / fingerprint, home, scratch / "damaged")
        return tfds.builder_from_directory(home / _VERSION)
    # A full disk is an OSError of Python, or an error of TensorFlow or TFDS of one of many classes.
    except Exception as error:
        raise ValueError(f"data: cannot store {name} in {cache}: {_reason(error)}; set TFP_GLOW_DATA_DIR to a writable "
                         "directory with enough free space") from error


def find_damage(home: str | os.PathLike, verify: bool = True) -> str | None:
    """Compares the files of a prepared set with the list of them.

    Args:
      home: path of the directory `CACHE/NAME/FINGERPRINT` of the set.
      verify: bool. If True, the hashes of all files are compared. If False, the hash of a file is compared only if its
        time has changed, or if the set has at most 64 MiB. Default True.

    Returns:
      A str that describes the first damaged file, or None if all files are intact.
    """
    home = pathlib.Path(home)
    path = home / _LIST_NAME
    try:
        files = json.loads(path.read_text(encoding="utf-8"))["files"]
        entries = [(home / _VERSION / name, int(entry["size"]), int(entry["time"]), str(entry["sha256"]))
                   for name, entry in files.items()]
    except FileNotFoundError:
        return f"{path} is missing"
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return f"{path} is damaged"
    hash_all = verify or sum(size for _, size, _, _ in entries) <= _HASHED_BYTES
    touched = False
    for file, size, file_time, sha256 in entries:
        try:
            status = file.stat()
            if status.st_size != size:
                return f"{file} has {status.st_size} bytes instead of {size}"
            touched |= status.st_mtime_ns != file_time
            if (hash_all or status.st_mtime_ns != file_time) and _sha256(file) != sha256:
                return f"the content of {file} has changed"
        except FileNotFoundError:
            return f"{file} is missing"
        except OSError as error:
            return f"{file} cannot be read: {error.strerror}"
    if touched:  # The files were copied, for example. The next call need not compare the hashes.
        with contextlib.suppress(OSError):
            _list_files(home)
    return None


def damage_message(builder: tfds.core.DatasetBuilder) -> str | None:
    """Reads all files of a prepared set. If a file is damaged, the next call of `open_or_prepare` stores the set again.

    Args:
      builder: the builder that `open_or_prepare` returned.

    Returns:
      A str, an error message that names the damaged file and the remedy, or None if all files are intact.
    """
    home = pathlib.Path(builder.data_path).parent
    damage = find_damage(home)
    if damage is None:
        return None
    with contextlib.suppress(OSError):  # Without its list of files, a set counts as damaged.
        (home / _LIST_NAME).unlink()
    return (f"data: the prepared set in {home} is damaged: {damage}; run the same command again, which stores the set "
            "again from its source")


def _exists(home: pathlib.Path) -> bool:
    return os.path.exists(home / _VERSION) or os.path.exists(home / _LIST_NAME)


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


def _check_written(home: pathlib.Path) -> None:
    """Reads a new set, because a file on a full disk may be truncated without an error."""
    damage = record_files.find_damage(tfds.builder_from_directory(home / _VERSION))
    if damage:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), damage)


def _list_files(home: pathlib.Path) -> None:
    """Writes the list of the files of a prepared set: size in bytes, time of the last change and hash of each file."""
    files = {}
    for path in sorted((home / _VERSION).iterdir()):
        status = path.stat()
        files[path.name] = {"size": status.st_size, "time": status.st_mtime_ns, "sha256": _sha256(path)}
    temporary = home / f".partial.{os.getpid()}.{_LIST_NAME}"
    try:
        temporary.write_text(json.dumps({"files": files}, indent=1) + "\n", encoding="utf-8")
        os.replace(temporary, home / _LIST_NAME)
    finally:
        temporary.unlink(missing_ok=True)


def _sha256(path: pathlib.Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()


def _move_into_place(source: pathlib.Path, target: pathlib.Path, aside: pathlib.Path) -> None:
    """Renames `source` to `target`; a damaged set in the place of `target` is moved to `aside` first."""
    if _exists(target):
        if find_damage(target) is None:
            return  # Another process has stored the same set.
        with contextlib.suppress(FileNotFoundError):
            os.rename(target, aside)
    try:
        os.rename(source, target)
    except OSError:
        if find_damage(target) is not None:  # Otherwise another process has stored the same set.
            raise


@contextlib.contextmanager
def _scratch_directory(cache: pathlib.Path) -> Iterator[pathlib.Path]:
    """Creates a temporary directory that this process locks, and deletes it at the end of the `with` statement."""
    with tempfile.TemporaryDirectory(prefix=_SCRATCH_PREFIX, dir=cache, ignore_cleanup_errors=True) as scratch:
        descriptor = os.open(scratch, os.O_RDONLY) if fcntl else None
        try:
            if descriptor is not None:
                with contextlib.suppress(OSError):  # Some network file systems have no locks.
                    fcntl.flock(descriptor, fcntl.LOCK_SH)
            yield pathlib.Path(scratch)
        finally:
            if descriptor is not None:
                os.close(descriptor)


def _remove_leftovers(cache: pathlib.Path) -> None:
    """Deletes temporary directories that killed processes left: older than an hour and not locked."""
    if not fcntl:
        return
    for path in cache.glob(f"{_SCRATCH_PREFIX}*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime < _LEFTOVER_SECONDS:
                continue
            descriptor = os.open(path, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(descriptor)


def _reason(error: BaseException) -> str:
    """Returns the message of a full disk if it caused the error; otherwise the first line of the error."""
    cause: BaseException | None = error
    while cause is not None:
        for code in _DISK_FULL_CODES:
            if getattr(cause, "errno", None) == code or os.strerror(code) in str(cause):
                return os.strerror(code)
        if "Not enough disk space" in str(cause):  # TFDS compares the free space with the space that it requires.
            return os.strerror(errno.ENOSPC)
        cause = cause.__cause__ or cause.__context__
    return _first_line(error)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
