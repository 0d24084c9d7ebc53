# SPDX-License-Identifier: Apache-2.0
"""Checkpoints that survive a kill at any moment, a full disk, and a damaged file.

A checkpoint is Keras's `epoch_0007.weights.h5`, of the model and its optimizer, and `epoch_0007.json`, which is written
after it and names the hashes of it and of itself: without the record, or with another hash, it does not count. One
within an epoch is called `epoch_0007_step_000120`, seven whole epochs and 120 steps; its record has the metrics, too.
"""

import hashlib
import json
import math
import pathlib
import warnings

import keras
import tensorflow as tf

from trainers.runs.atomic_files import replacing, reserve, write_json


class Checkpoints:
    """The last few checkpoints of a run and the best by validation bits per dimension.

    A record is a dict of `epoch`, whole epochs done; `step`, steps of the next; `val_bits_per_dim`, None within an
    epoch; `metrics`, within an epoch the values of the metrics' variables, else empty; and `sha256`, of the weights.

    Args:
      directory: where they are; it exists.
      keep: how many of the last ones to keep.
    """

    def __init__(self, directory, keep=3):
        self._directory = pathlib.Path(directory)
        self._keep = keep

    def records(self):
        """The whole records on disk, oldest first; a damaged one is left out, with a warning."""
        found = []
        for path in self._directory.glob("epoch_*.json"):
            record = _read(path)
            if record is None:
                warnings.warn(f"checkpoint record {path} is damaged; left out", stacklevel=2)
            else:
                found.append(record)
        return sorted(found, key=_age)

    def save(self, model, epoch, val_bits_per_dim=None, step=0):
        """Writes a checkpoint of a compiled model, then drops those that are no longer needed.

        Args:
          model: the model, with an optimizer.
          epoch: how many epochs are done.
          val_bits_per_dim: bits per dimension on the validation split after them; None within an epoch.
          step: steps of the next epoch that are done.
        """
        record = {"epoch": epoch, "step": step, "val_bits_per_dim": val_bits_per_dim,
                  "metrics": [v.numpy().tolist() for v in model.metrics_variables] if step else []}
        path = self._weights(record)
        self._record(record).unlink(missing_ok=True)
        with replacing(path) as temporary:
            reserve(temporary, _generous_size(model))
            model.save_weights(temporary)
        record["sha256"] = _hash(path)
        write_json({**record, "record_sha256": _seal(record)}, self._record(record))
        records = self.records()
        kept = {path for r in [*records[-self._keep:], min(records, key=_badness)]
                for path in (self._weights(r), self._record(r))}
        for path in sorted({*self._directory.glob("*epoch_*")} - kept):  # Records first; hidden ones are of a kill.
            path.unlink()

    def restore_last(self, model):
        """Loads the newest whole checkpoint into a compiled model, with a warning for every damaged one before it.

        Returns:
          Its record, or None if there is no checkpoint yet.

        Raises:
          ValueError: if there are checkpoints, but all are damaged.
        """
        return self._restore(model, self.records()[::-1])

    def restore_best(self, model):
        """As `restore_last`, for the fewest validation bits per dimension, which only whole epochs have."""
        records = self.records()
        return self._restore(model, sorted([r for r in records if not r["step"]], key=_badness) or records[::-1])

    def last_good(self):
        """Path of the newest checkpoint on which validation, where there was one, gave a finite number; or None."""
        good = [r for r in self.records() if r["val_bits_per_dim"] is None or math.isfinite(r["val_bits_per_dim"])]
        return self._weights(good[-1]) if good else None

    def _restore(self, model, records):
        for record in records:
            path = self._weights(record)
            if path.is_file() and _hash(path) == record["sha256"]:
                model.load_weights(path)
                return record
            warnings.warn(f"checkpoint {path} is damaged or missing; trying another", stacklevel=3)
        damaged = len(list(self._directory.glob("epoch_*.json")))
        if damaged:
            raise ValueError(f"checkpoints: all {damaged} in {self._directory} are damaged")
        return None

    def _weights(self, record):
        return self._directory / f"{_name(record)}.weights.h5"

    def _record(self, record):
        return self._directory / f"{_name(record)}.json"


def restore_metrics(model, record):
    """Gives a model's metrics the values that they had at a checkpoint within an epoch."""
    for variable, value in zip(model.metrics_variables, record["metrics"], strict=True):
        variable.assign(keras.ops.convert_to_tensor(value, dtype=variable.dtype))


def _generous_size(model):
    """More bytes than the weights file of a compiled model has: numbers, and what HDF5 notes about each variable."""
    variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    return sum(math.prod(v.shape) * tf.as_dtype(v.dtype).size + 2**11 for v in variables)


def _name(record):
    return f"epoch_{record['epoch']:04d}" + (f"_step_{record['step']:06d}" if record["step"] else "")


def _age(record):
    return record["epoch"], record["step"]


def _badness(record):
    value = record["val_bits_per_dim"]
    return (math.inf if value is None or not math.isfinite(value) else value, *_age(record))


def _read(path):
    """The record in a file, or None if it is not what was written."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        seal = record.pop("record_sha256")
    except (ValueError, TypeError, AttributeError, LookupError):
        return None
    return record if seal == _seal(record) else None


def _seal(record):
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _hash(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
