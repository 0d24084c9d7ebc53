# SPDX-License-Identifier: Apache-2.0
"""The directory of a run: what it was asked for, how far it is, and who may write to it.

| file | content |
|---|---|
| `config.json` | the whole configuration; written first, and the run's identity |
| `history.jsonl` | one JSON object an epoch |
| `checkpoints/` | see `trainers.checkpoints` |
| `samples/epoch_0001.png`, ... | samples after each epoch |
| `loss_curve.png`, `saved_model/1/`, `model.keras` | written at the end |
| `result.json` | written last: the run is finished |

A directory is resumed by the same configuration and refused to any other. One thing may change: `epochs` may grow if
the learning rate does not depend on it (`"schedule": "constant"`); the next version of `saved_model/` is written then.
"""

import contextlib
import json
import os
import pathlib

from trainers.files import replacing, write_json

try:
    import fcntl
except ImportError:  # not on Windows, where two processes in one directory go unnoticed
    fcntl = None


class RunDir:
    """Paths and records of one run.

    Args:
      path: the directory.
    """

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.checkpoints = self.path / "checkpoints"
        self.samples = self.path / "samples"
        self.history_path = self.path / "history.jsonl"
        self.model_path = self.path / "model.keras"
        self.saved_models = self.path / "saved_model"

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
            self.samples.mkdir(parents=True, exist_ok=True)
            self.checkpoints.mkdir(exist_ok=True)
            write_json(config, self.path / "config.json")
            return
        if not resume:
            raise ValueError(f"output_dir: {self} holds a run already, and --resume=false; choose another")
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

    def history(self):
        """The lines of `history.jsonl`, as dicts; a last line cut short by a kill is left out."""
        lines = []
        if self.history_path.exists():
            for line in self.history_path.read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(json.JSONDecodeError):
                    lines.append(json.loads(line))
        return lines

    def add_history(self, line):
        """Appends one epoch's line."""
        with open(self.history_path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def cut_history(self, epoch):
        """Drops the lines of epochs after `epoch`, which will be done again."""
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
