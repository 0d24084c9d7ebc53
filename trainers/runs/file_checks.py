# SPDX-License-Identifier: Apache-2.0
"""Checks of the files of a run directory: the form of JSON files, and checksums of the exported model."""

import hashlib
import json
import math
import pathlib
import zipfile
from collections.abc import Callable, Iterable, Mapping
from typing import Any


def is_int(value: Any, minimum: int = 0) -> bool:
    """Returns True if a JSON value is an int of at least `minimum`.

    Args:
      value: a JSON value. `True` and `False` are no ints.
      minimum: int, the least allowed value. Default 0.
    """
    return isinstance(value, int) and not isinstance(value, bool) and value >= minimum


def is_number(value: Any) -> bool:
    """Returns True if a JSON value is a number. NaN and infinity are numbers.

    Args:
      value: a JSON value. `True` and `False` are no numbers.
    """
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_shape(value: Any) -> bool:
    return isinstance(value, list) and 0 < len(value) <= 3 and all(is_int(side, 1) for side in value)


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _is_size(value: Any) -> bool:
    return value is None or all(is_int(size, 1) for size in (value if isinstance(value, list) else [value]))


def _is_flow(value: Any) -> bool:
    return (isinstance(value, dict) and isinstance(value.get("flow"), str)
            and _is_shape(value.get("image_shape", value.get("event_shape")))
            and all(map(_is_size, (value.get(name) for name in _SIZES))))


def _optional(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or check(value)


def _count(value: Any) -> bool:
    return is_int(value, 1)


def _momentum(value: Any) -> bool:
    return is_number(value) and 0 <= value < 1


def _positive(value: Any) -> bool:
    return is_number(value) and 0 < value < math.inf


def _of(kind: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kind)


_SIZES = ("width", "num_levels", "num_scales", "num_steps", "num_blocks", "num_couplings", "num_layers",
          "hidden_sizes", "top_sizes", "num_components", "num_bits", "num_classes")
_TRAINING: dict[str, Callable[[Any], bool]] = {
    "batch_size": _count, "optimizer": _of(str), "learning_rate": _positive, "warmup_epochs": is_int,
    "schedule": _of(str), "ema_momentum": _optional(_momentum), "clip_norm": _optional(_positive),
    "init_batch_size": _count, "flip": _of(bool), "pixel_noise": _momentum, "temperature": is_number}
_CONFIG: dict[str, Callable[[Any], bool]] = {
    "preset": _of(str), "data": _of(str), "crop": _optional(_count), "resize": _optional(_count),
    "data_levels": _optional(_count), "num_levels": _optional(_count), "num_bits": _optional(_count), "flow": _is_flow,
    "dequantizer": _optional(_is_flow), "epochs": _count, "steps_per_epoch": _count, "seed": is_int}
_RESULT: dict[str, Callable[[Any], bool]] = {
    "epochs": _count, "best_epoch": is_int, "val_bits_per_dim": is_number, "saved_model": _count}


def check_config(value: Any) -> None:
    """Checks that a JSON value has the form of the configuration of a run.

    Args:
      value: the content of `config.json`.

    Raises:
      ValueError: if an entry that other modules read is missing or has another type. The message names the entry.
    """
    _check_entries(value, _CONFIG, "")
    _check_entries(value.get("training"), _TRAINING, "training.")
    if "label_names" in value and not _is_names(value["label_names"]):
        raise ValueError(f"its entry label_names is {_shown(value['label_names'])}")


def check_result(value: Any) -> None:
    """Checks that a JSON value has the form of `result.json`.

    Args:
      value: the content of the file.

    Raises:
      ValueError: if an entry is missing or has another type. The message names the entry.
    """
    _check_entries(value, _RESULT, "")
    if not is_int(value.get("skipped_steps", 0)):
        raise ValueError(f"its entry skipped_steps is {_shown(value['skipped_steps'])}")


def is_history_line(value: Any) -> bool:
    """Returns True if a JSON value has the form of a line of `history.jsonl`.

    Args:
      value: the content of the line.
    """
    return isinstance(value, dict) and is_int(value.get("epoch"), 1) and all(map(is_number, value.values()))


def read_json(path: pathlib.Path, check: Callable[[Any], None]) -> Any:
    """Returns the content of a JSON file.

    Args:
      path: path of the file.
      check: function that raises a `ValueError` if the content does not have the required form.

    Raises:
      ValueError: if the file is not JSON, or `check` raises an error.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        check(value)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path.name}: {path} is damaged: {error}") from error
    return value


def checksums(directory: pathlib.Path, paths: Iterable[pathlib.Path]) -> dict[str, str]:
    """Computes the SHA-256 hashes of files.

    Args:
      directory: a directory that contains the files.
      paths: paths of the files. For a directory, the hashes are those of all files in it, except `assets.extra/`,
        where TensorFlow Serving and its users put files later.

    Returns:
      A dict from the path of each file, relative to `directory`, to its hash.
    """
    files = (file for path in paths for file in ([path] if path.is_file() else sorted(path.rglob("*")))
             if file.is_file() and "assets.extra" not in file.relative_to(directory).parts)
    return {file.relative_to(directory).as_posix(): file_hash(file) for file in files}


def changed_files(directory: pathlib.Path, expected: Mapping[str, str]) -> list[str]:
    """Returns the files that are missing or have another hash than expected.

    Args:
      directory: a directory that contains the files.
      expected: dict from the path of each file, relative to `directory`, to its SHA-256 hash.

    Returns:
      A list of relative paths.
    """
    return [name for name, value in expected.items()
            if not (directory / name).is_file() or file_hash(directory / name) != value]


def file_hash(path: pathlib.Path) -> str:
    """Returns the SHA-256 hash of a file as a hexadecimal string.

    Args:
      path: path of the file.
    """
    sha256 = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(2**20):
            sha256.update(block)
    return sha256.hexdigest()


def is_intact_archive(path: pathlib.Path) -> bool:
    """Returns True if a file is a `.keras` archive whose members have the checksums that the archive stores.

    Args:
      path: path of the file, which may be absent.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return {"config.json", "model.weights.h5"} <= set(archive.namelist()) and archive.testzip() is None
    except Exception:  # A damaged archive raises errors of many classes, such as BadZipFile and NotImplementedError.
        return False


def _check_entries(value: Any, checks: Mapping[str, Callable[[Any], bool]], prefix: str) -> None:
    if not isinstance(value, dict):
        raise ValueError(f"it must be a JSON object; got {_shown(value)}" if not prefix else
                         f"its entry {prefix.rstrip('.')} is {_shown(value)}")
    for name, check in checks.items():
        if name not in value and not check(None):
            raise ValueError(f"its entry {prefix}{name} is missing")
        if not check(value.get(name)):
            raise ValueError(f"its entry {prefix}{name} is {_shown(value[name])}")


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
