# SPDX-License-Identifier: Apache-2.0
"""The directory of a training run: its configuration, history, results and lock.

| file | content |
|---|---|
| `config.json` | the configuration, which identifies the run; the first file to be written |
| `history.jsonl` | one JSON object per epoch |
| `checkpoints/` | see `trainers.runs.checkpoints` |
| `samples/epoch_0001.png`, ... | samples after each epoch |
| `tensorboard/` | event files, see `trainers.callbacks.tensorboard` |
| `loss_curve.png`, `saved_model/1/`, `model.keras` | written at the end of training |
| `result.json` | written after them; it marks the run as finished |
| `report.html` | written after the run has finished, see `trainers.reporting` |

A run resumes only with the configuration in `config.json`. There is one exception: with a constant learning rate
(`"schedule": "constant"`), the number of epochs may increase. The next version of `saved_model/` is written then.
"""

import contextlib
import json
import os
import pathlib
import shutil
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from trainers.runs.atomic_files import replacing, sync_directory, write_json

try:
    import fcntl
except ImportError:  # Windows has no fcntl: there, two processes can train in one directory without an error.
    fcntl = None  # type: ignore[assignment]


class RunDirectory:
    """Paths and records of one run.

    Args:
      path: the directory, which need not exist.

    Attributes:
      writes: whether this process writes to the directory; see `trainers.distribute.workers`.
      path: the directory.
      checkpoints: directory of the checkpoints.
      samples: directory of the sample images.
      history_path: path of `history.jsonl`.
      model_path: path of `model.keras`.
      saved_models: directory of the exported SavedModels.
      tensorboard: directory of the event files.
      report_path: path of `report.html`.
    """

    writes = True

    def __init__(self, path: str | os.PathLike):
        self.path = pathlib.Path(path)
        self.checkpoints = self.path / "checkpoints"
        self.samples = self.path / "samples"
        self.history_path = self.path / "history.jsonl"
        self.model_path = self.path / "model.keras"
        self.saved_models = self.path / "saved_model"
        self.tensorboard = self.path / "tensorboard"
        self.report_path = self.path / "report.html"
        self._config_path = self.path / "config.json"

    def __str__(self) -> str:
        return str(self.path)

    def check(self, config: Mapping[str, Any], resume: bool = True) -> None:
        """Checks that a run of a configuration can start or resume in the directory; writes nothing.

        Args:
          config: the run's configuration, a dict that `json.dumps` accepts.
          resume: whether the run may resume if the directory holds it already; default True.

        Raises:
          ValueError: if the path is a file, the directory holds files but no run, the run in it has another
            configuration, or the directory holds a run and `resume` is False.
        """
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"output_dir: {self} is a file; choose another directory")
        if not self._config_path.exists():
            others = [p.name for p in self.path.glob("*") if not p.name.startswith(".")]
            if others:
                raise ValueError(f"output_dir: {self} is not a run directory, but contains {min(others)}; "
                                 "choose another directory")
        elif not resume:
            raise ValueError(f"output_dir: {self} already holds a run, and --resume=false; choose another directory")
        else:
            self._check_same(_as_json(config))

    def open(self, config: Mapping[str, Any], resume: bool = True) -> None:
        """Checks the directory as `check` does, then creates it or prepares it for resuming.

        Args:
          config: the run's configuration, a dict that `json.dumps` accepts.
          resume: whether the run may resume if the directory holds it already; default True.

        Raises:
          ValueError: as `check`, which leaves the directory unchanged; or if another process is training in the
            directory and the number of epochs increases.
        """
        self.check(config, resume)
        if not self._config_path.exists():
            self.path.mkdir(parents=True, exist_ok=True)
            write_json(config, self._config_path)  # First: without this file, `check` rejects a directory with files.
        elif config["epochs"] > self.config()["epochs"]:
            with self.locked():
                write_json(config, self._config_path)
        for directory in (self.samples, self.checkpoints):
            directory.mkdir(exist_ok=True)
        sync_directory(self.path)

    def _check_same(self, config: dict[str, Any]) -> None:
        stored = self.config()
        changes = differences(stored, config)
        if config["epochs"] > stored["epochs"] and config["training"]["schedule"] == "constant":
            changes.pop("epochs", None)
        if changes:
            shown = "; ".join(f"{key} {old} (now {new})" for key, (old, new) in sorted(changes.items()))
            raise ValueError(f"output_dir: {self} holds a run of another configuration: {shown}")

    def config(self) -> dict[str, Any]:
        """Returns the configuration of the run; raises `ValueError` if the directory holds no run."""
        if not self._config_path.is_file():
            raise ValueError(f"run_dir: {self} is not a run directory: it has no config.json")
        return _read(self._config_path)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Returns a context that holds an exclusive lock on the directory.

        The operating system releases the lock when the process ends, even if the process is killed.

        Raises:
          ValueError: on entering, if another process holds the lock.
        """
        with open(self.path / ".lock", "w") as file:
            if fcntl:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError as error:
                    raise ValueError(f"output_dir: another process is training in {self}") from error
            yield

    def result(self) -> dict[str, Any] | None:
        """Returns the content of `result.json`, or None if the run has never finished."""
        path = self.path / "result.json"
        return _read(path) if path.is_file() else None

    def is_finished(self, config: Mapping[str, Any] | None = None) -> bool:
        """Returns whether all epochs are complete and all final files are written.

        Args:
          config: the configuration whose epochs count; by default that in `config.json`.
        """
        result = self.result()
        if result is None:
            return False
        return result["epochs"] >= (config or self.config())["epochs"] and self.model_path.exists()

    def finish(self, result: Mapping[str, Any]) -> None:
        """Writes `result.json`, which marks the run as finished.

        Args:
          result: a dict with the number of epochs as `epochs`; see `trainers.runs.trained_models.save`.
        """
        write_json(result, self.path / "result.json")

    def sample_path(self, epoch: int) -> pathlib.Path:
        """Returns the path of the sample image of an epoch; the first epoch is 1."""
        return self.samples / f"epoch_{epoch:04d}.png"

    def history(self) -> list[dict[str, Any]]:
        """Returns the lines of `history.jsonl` as dicts.

        A last line that a kill truncated is ignored. Each other damaged line is ignored with a warning.
        """
        lines = []
        if self.history_path.exists():
            for number, text in enumerate(self.history_path.read_text("utf-8", "replace").splitlines(True), 1):
                try:
                    lines.append(json.loads(text))
                except json.JSONDecodeError:
                    if text.endswith("\n"):
                        warnings.warn(f"{self.history_path}, line {number} is damaged and is ignored", stacklevel=2)
        return lines

    def add_history(self, line: Mapping[str, Any]) -> None:
        """Appends the line of one epoch to `history.jsonl`.

        Args:
          line: a dict that `json.dumps` accepts, with the number of the epoch as `epoch`.
        """
        with open(self.history_path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def rewind(self, epoch: int) -> None:
        """Deletes what a stopped process left: partial files, and the history of epochs without a checkpoint.

        Args:
          epoch: number of the last epoch whose line in the history stays.
        """
        for path in list(self.path.rglob(".partial*")):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        lines = [line for line in self.history() if line["epoch"] <= epoch]
        with replacing(self.history_path) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """Returns the entries in which two nested dicts differ.

    Args:
      old: the first dict.
      new: the second dict.
      prefix: prefix of the returned keys; default none.

    Returns:
      A dict `{dotted key: (old value, new value)}`. The value of a missing entry is None.

    Example:

    >>> differences({"seed": 0, "flow": {"width": 8}}, {"seed": 0, "flow": {"width": 4}})
    {'flow.width': (8, 4)}
    """
    found: dict[str, tuple[Any, Any]] = {}
    for key in sorted({*old, *new}):
        a, b = old.get(key), new.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            found |= differences(a, b, f"{prefix}{key}.")
        elif a != b:
            found[prefix + key] = (a, b)
    return found


def _as_json(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the configuration as it is after writing and reading: JSON turns tuples into lists."""
    return json.loads(json.dumps(config))


def _read(path: pathlib.Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path.name}: {path} is damaged: {error}") from error
