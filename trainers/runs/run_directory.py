# SPDX-License-Identifier: Apache-2.0
"""The directory of a run: what it was asked for, how far it is, and who may write to it.

| file | content |
|---|---|
| `config.json` | the whole configuration; written first, and the run's identity |
| `history.jsonl` | one JSON object an epoch |
| `checkpoints/` | see `trainers.checkpoints` |
| `samples/epoch_0001.png`, ... | samples after each epoch |
| `tensorboard/` | events, see `trainers.tensorboard` |
| `loss_curve.png`, `saved_model/1/`, `model.keras` | written at the end |
| `result.json` | written last: the run is finished |
| `report.html` | written when it is, see `trainers.reporting` |

A directory is resumed by the same configuration and refused to any other. One thing may change: `epochs` may grow if
the learning rate does not depend on it (`"schedule": "constant"`); the next version of `saved_model/` is written then.
"""

import contextlib
import json
import os
import pathlib
import shutil
import warnings

from trainers.runs.atomic_files import replacing, sync_directory, write_json

try:
    import fcntl
except ImportError:  # not on Windows, where two processes in one directory go unnoticed
    fcntl = None


class RunDir:
    """Paths and records of one run.

    Args:
      path: the directory.

    Attributes:
      writes: whether this process is the one that writes; see `trainers.workers`.
    """

    writes = True

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.checkpoints = self.path / "checkpoints"
        self.samples = self.path / "samples"
        self.history_path = self.path / "history.jsonl"
        self.model_path = self.path / "model.keras"
        self.saved_models = self.path / "saved_model"
        self.tensorboard = self.path / "tensorboard"
        self.report_path = self.path / "report.html"

    def __str__(self):
        return str(self.path)

    def open(self, config, resume=True):
        """Makes the directory for a configuration, or finds it made for the same.

        Args:
          config: a dict that JSON can hold.
          resume: whether a run that exists may be gone on with.

        Raises:
          ValueError: if the directory holds something else, a run of another configuration, or a run and `resume` is
            false; nothing is touched then.
        """
        config = json.loads(json.dumps(config))  # tuples are lists there, too
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"output_dir: {self} is a file")
        if not (self.path / "config.json").exists():
            strangers = [p.name for p in self.path.glob("*") if not p.name.startswith(".")]
            if strangers:
                raise ValueError(f"output_dir: {self} is no run directory, but holds {min(strangers)}; choose another")
            self.path.mkdir(parents=True, exist_ok=True)
            write_json(config, self.path / "config.json")  # First: a directory without it is not taken for a run's.
        elif not resume:
            raise ValueError(f"output_dir: {self} holds a run already, and --resume=false; choose another")
        else:
            self._go_on_as(config)
        for directory in (self.samples, self.checkpoints):
            directory.mkdir(exist_ok=True)
        sync_directory(self.path)

    def _go_on_as(self, config):
        stored = self.config()
        different = differences(stored, config)
        grown = config["epochs"] > stored["epochs"] and config["training"]["schedule"] == "constant"
        if grown:
            different.pop("epochs", None)
        if different:
            shown = "; ".join(f"{key} {there} (now {here})" for key, (there, here) in sorted(different.items()))
            raise ValueError(f"output_dir: {self} holds a run of another configuration: {shown}")
        if grown:
            with self.locked():
                write_json(config, self.path / "config.json")

    def config(self):
        """The configuration; raises `ValueError` if there is none."""
        path = self.path / "config.json"
        if not path.is_file():
            raise ValueError(f"run_dir: {self} is no run directory: it has no config.json")
        return _read(path)

    @contextlib.contextmanager
    def locked(self):
        """A context in which no other process may; raises `ValueError` if one does. The lock dies with its process."""
        with open(self.path / ".lock", "w") as file:
            if fcntl:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError as error:
                    raise ValueError(f"output_dir: another process is training in {self}") from error
            yield

    def result(self):
        """What `finish` wrote, or None."""
        path = self.path / "result.json"
        return _read(path) if path.is_file() else None

    def is_finished(self):
        """Whether the epochs of the configuration are done and everything is written."""
        result = self.result()
        return result is not None and result["epochs"] >= self.config()["epochs"] and self.model_path.exists()

    def finish(self, result):
        """Marks the run as finished."""
        write_json(result, self.path / "result.json")

    def sample_path(self, epoch):
        """The picture of the samples after an epoch, counted from 1."""
        return self.samples / f"epoch_{epoch:04d}.png"

    def history(self):
        """The lines of `history.jsonl`, as dicts; one that a kill cut short is left out, another one with a warning."""
        lines = []
        if self.history_path.exists():
            for number, text in enumerate(self.history_path.read_text("utf-8", "replace").splitlines(True), 1):
                try:
                    lines.append(json.loads(text))
                except json.JSONDecodeError:
                    if text.endswith("\n"):
                        warnings.warn(f"{self.history_path}, line {number} is damaged; left out", stacklevel=2)
        return lines

    def add_history(self, line):
        """Appends one epoch's line."""
        with open(self.history_path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def rewind(self, epoch):
        """Drops what a stopped process left behind: the lines of epochs after `epoch`, and half-written files."""
        for path in list(self.path.rglob(".partial*")):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        lines = [line for line in self.history() if line["epoch"] <= epoch]
        with replacing(self.history_path) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def differences(there, here, prefix=""):
    """The entries in which two nested dicts differ: `{dotted key: (there, here)}`, None where there is none."""
    found = {}
    for key in sorted({*there, *here}):
        a, b = there.get(key), here.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            found |= differences(a, b, f"{prefix}{key}.")
        elif a != b:
            found[prefix + key] = (a, b)
    return found


def _read(path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path.name}: {path} is damaged: {error}") from error
