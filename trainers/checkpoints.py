# SPDX-License-Identifier: Apache-2.0
"""Checkpoints that survive a kill at any moment, and a damaged file.

A checkpoint is Keras's `epoch_0007.weights.h5`, of the model and its optimizer, and `epoch_0007.json`, which is written
after it and names its hash: without the record, or with another hash, it does not count.
"""

import hashlib
import json
import math
import pathlib
import warnings

from trainers.files import replacing, write_json


class Checkpoints:
    """The last few checkpoints of a run and the best by validation bits per dimension.

    Args:
      directory: where they are; it exists.
      keep: how many of the last ones to keep.
    """

    def __init__(self, directory, keep=3):
        self._directory = pathlib.Path(directory)
        self._keep = keep

    def records(self):
        """The records on disk, by epoch: dicts of `epoch`, `val_bits_per_dim` and `sha256`."""
        found = []
        for path in self._directory.glob("epoch_*.json"):
            try:
                found.append(json.loads(path.read_text(encoding="utf-8")))
            except ValueError:
                warnings.warn(f"checkpoint record {path} is damaged; left out", stacklevel=2)
        return sorted(found, key=lambda record: record["epoch"])

    def save(self, model, epoch, val_bits_per_dim):
        """Writes a checkpoint of a compiled model after `epoch` epochs, then drops those that are no longer needed."""
        path = self._path(epoch)
        self._record(epoch).unlink(missing_ok=True)
        with replacing(path) as temporary:
            model.save_weights(temporary)
        record = {"epoch": epoch, "val_bits_per_dim": val_bits_per_dim, "sha256": _hash(path)}
        write_json(record, self._record(epoch))
        records = self.records()
        kept = {r["epoch"] for r in records[-self._keep:]} | {min(records, key=_badness)["epoch"]}
        for record in records:
            if record["epoch"] not in kept:
                self._record(record["epoch"]).unlink()
        for path in self._directory.glob("*.weights.h5"):
            if path not in map(self._path, kept):
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
        """As `restore_last`, for the checkpoint of the fewest validation bits per dimension."""
        return self._restore(model, sorted(self.records(), key=_badness))

    def _restore(self, model, records):
        for record in records:
            path = self._path(record["epoch"])
            if path.is_file() and _hash(path) == record["sha256"]:
                model.load_weights(path)
                return record
            warnings.warn(f"checkpoint {path} is damaged or missing; trying another", stacklevel=3)
        if records:
            raise ValueError(f"checkpoints: all {len(records)} in {self._directory} are damaged")
        return None

    def _path(self, epoch):
        return self._directory / f"epoch_{epoch:04d}.weights.h5"

    def _record(self, epoch):
        return self._directory / f"epoch_{epoch:04d}.json"


def _badness(record):
    value = record["val_bits_per_dim"]
    return (value if math.isfinite(value) else math.inf, record["epoch"])


def _hash(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
