# SPDX-License-Identifier: Apache-2.0
"""`Checkpoints`: writes and restores checkpoints, also after a kill, on a full disk and with damaged files.

A checkpoint after seven epochs consists of two files. `epoch_0007.weights.h5` holds the weights of the model and the
variables of its optimizer, in the format of Keras. `epoch_0007.json` is the record of the checkpoint. It is written
after the weights and holds a hash of each of the two files. A checkpoint is not used if its record is missing or if a
hash does not match.

A checkpoint within an epoch has a name such as `epoch_0007_step_000120`: after seven complete epochs and 120 steps of
the eighth. Its record also holds the values of the metrics.
"""

import hashlib
import json
import math
import os
import pathlib
import warnings
from collections.abc import Iterable
from typing import Any

import keras
import tensorflow as tf

from .atomic_files import replacing, reserve, write_json
from .file_checks import file_hash


class Checkpoints:
    """Writes and restores checkpoints. It keeps the newest, and the one with the fewest validation bits per dimension.

    The record of a checkpoint is a dict:

    - `epoch`: int, number of complete epochs.
    - `step`: int, number of complete steps of the next epoch; 0 at the end of an epoch.
    - `val_bits_per_dim`: float, bits per dimension of the validation split; None within an epoch.
    - `averaged`: bool, True if `val_bits_per_dim` is of the moving average of the weights, or the optimizer keeps none;
      False if it is of the weights themselves. Missing in the records of earlier versions, where it means True.
    - `metrics`: list of the values of `model.metrics_variables`; empty at the end of an epoch.
    - `sha256`: str, hash of the weights file.

    Args:
      directory: path of an existing directory for the checkpoints.
      keep: int, at least 1, number of the newest checkpoints to keep. The checkpoint with the fewest validation bits
        per dimension is kept in any case. Default 3.
    """

    def __init__(self, directory: str | os.PathLike, keep: int = 3):
        self._directory = pathlib.Path(directory)
        self._keep = keep

    def records(self) -> list[dict[str, Any]]:
        """Returns the records of all checkpoints, oldest first.

        A damaged record is left out, with a warning.

        Returns:
          A list of dicts, see `Checkpoints`.
        """
        found = []
        for path in self._directory.glob("epoch_*.json"):
            record = _read(path)
            if record is None:
                warnings.warn(f"checkpoint record {path} is damaged and is ignored", stacklevel=2)
            else:
                found.append(record)
        return sorted(found, key=_age)

    def save(self, model: keras.Model, epoch: int, val_bits_per_dim: float | None = None, step: int = 0,
             averaged: bool = True) -> None:
        """Writes a checkpoint of a model, then deletes the checkpoints that `keep` does not keep.

        Args:
          model: a compiled Keras model.
          epoch: int, number of complete epochs.
          val_bits_per_dim: float, bits per dimension of the validation split after these epochs. Default None: within
            an epoch.
          step: int, number of complete steps of the next epoch. Default 0: at the end of an epoch.
          averaged: bool, the entry `averaged` of the record. Default True.

        Raises:
          OSError: if the disk is full. Earlier checkpoints are then unchanged.
        """
        record: dict[str, Any] = {"epoch": epoch, "step": step, "val_bits_per_dim": val_bits_per_dim,
                                  "averaged": averaged,
                                  "metrics": [v.numpy().tolist() for v in model.metrics_variables] if step else []}
        path = self._weights_path(record)
        self._record_path(record).unlink(missing_ok=True)
        with replacing(path) as temporary:
            reserve(temporary, _generous_size(model))
            model.save_weights(temporary)
        record["sha256"] = file_hash(path)
        write_json({**record, "record_sha256": _record_hash(record)}, self._record_path(record))
        records = self.records()
        kept = {path for r in [*records[-self._keep:], min(records, key=_badness)]
                for path in (self._weights_path(r), self._record_path(r))}
        # In sorted order, a record is deleted before its weights. The hidden files are from a process that was killed.
        for path in sorted({*self._directory.glob("*epoch_*")} - kept):
            path.unlink()

    def restore_last(self, model: keras.Model) -> dict[str, Any] | None:
        """Loads the newest checkpoint that is not damaged into a model and its optimizer.

        The method warns of each damaged checkpoint that it finds.

        Args:
          model: a compiled Keras model.

        Returns:
          The record of the checkpoint, a dict (see `Checkpoints`), or None if there is no checkpoint.

        Raises:
          ValueError: if there are checkpoints and all of them are damaged.
        """
        return self._restore(model, self.records()[::-1])

    def restore_best(self, model: keras.Model) -> dict[str, Any] | None:
        """Loads the checkpoint with the fewest validation bits per dimension into a model and its optimizer.

        Only checkpoints at the end of an epoch have validation bits per dimension. If there are only checkpoints within
        an epoch, the method loads the newest. It skips damaged checkpoints with a warning.

        Args:
          model: a compiled Keras model.

        Returns:
          The record of the checkpoint, a dict (see `Checkpoints`), or None if there is no checkpoint.

        Raises:
          ValueError: if there are checkpoints and all of them are damaged.
        """
        records = self.records()
        return self._restore(model, sorted([r for r in records if not r["step"]], key=_badness) or records[::-1])

    def last_good(self) -> pathlib.Path | None:
        """Returns the weights file of the newest checkpoint whose validation bits per dimension are finite.

        Checkpoints within an epoch count, because they have no validation bits per dimension.

        Returns:
          A path, or None if there is no such checkpoint.
        """
        good = [r for r in self.records() if r["val_bits_per_dim"] is None or math.isfinite(r["val_bits_per_dim"])]
        return self._weights_path(good[-1]) if good else None

    def _restore(self, model: keras.Model, records: Iterable[dict[str, Any]]) -> dict[str, Any] | None:
        for record in records:
            path = self._weights_path(record)
            if path.is_file() and file_hash(path) == record["sha256"]:
                _load(model, path)
                return record
            warnings.warn(f"checkpoint {path} is damaged or missing; trying another one", stacklevel=3)
        damaged = len(list(self._directory.glob("epoch_*.json")))
        if damaged:
            raise ValueError(f"checkpoints: all {damaged} checkpoints in {self._directory} are damaged; "
                             "train again in another directory")
        return None

    def _weights_path(self, record: dict[str, Any]) -> pathlib.Path:
        return self._directory / f"{_name(record)}.weights.h5"

    def _record_path(self, record: dict[str, Any]) -> pathlib.Path:
        return self._directory / f"{_name(record)}.json"


def restore_metrics(model: keras.Model, record: dict[str, Any]) -> None:
    """Sets the metrics of a model to their values at a checkpoint within an epoch.

    Args:
      model: a Keras model with the same metrics as the model of the checkpoint.
      record: dict, the record of the checkpoint, see `Checkpoints`. Its entry `metrics` holds the values.
    """
    for variable, value in zip(model.metrics_variables, record["metrics"], strict=True):
        variable.assign(keras.ops.convert_to_tensor(value, dtype=variable.dtype))


def _generous_size(model: keras.Model) -> int:
    """Computes an upper bound, in bytes, of the size of the weights file of a compiled model.

    The bound is the size of the values of all variables, plus 2 KiB of HDF5 headers per variable.
    """
    variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    return sum(math.prod(v.shape) * tf.as_dtype(v.dtype).size + 2**11 for v in variables)


def _name(record: dict[str, Any]) -> str:
    return f"epoch_{record['epoch']:04d}" + (f"_step_{record['step']:06d}" if record["step"] else "")


def _age(record: dict[str, Any]) -> tuple[int, int]:
    return record["epoch"], record["step"]


def _badness(record: dict[str, Any]) -> tuple[float, int, int]:
    value = record["val_bits_per_dim"]
    return (math.inf if value is None or not math.isfinite(value) else value, *_age(record))


def _read(path: pathlib.Path) -> dict[str, Any] | None:
    """Returns the record that a file holds, or None if the file is damaged."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        stored_hash = record.pop("record_sha256")
    except (ValueError, TypeError, AttributeError, LookupError):
        return None
    return record if stored_hash == _record_hash(record) else None


def _record_hash(record: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _load(model: keras.Model, path: pathlib.Path) -> None:
    """Loads an intact weights file. It can only fail to fit the model if another version of the code wrote it."""
    try:
        with warnings.catch_warnings():
            # Keras only warns if the number of variables of the optimizer differs, and leaves them as they are.
            warnings.filterwarnings("error", "Skipping variable loading for optimizer")
            model.load_weights(path)
    except (ValueError, KeyError, UserWarning) as error:
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise ValueError(f"checkpoints: {path} does not fit the model of this version of the package; train again in "
                         f"another directory, or use the version that wrote it: {reason}") from error
