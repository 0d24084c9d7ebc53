# SPDX-License-Identifier: Apache-2.0
"""`RunDirectory`: the files of a training run and the lock on its directory.

| file | content |
|---|---|
| `config.json` | the configuration of the run; the first file to be written |
| `history.jsonl` | one line per epoch, a JSON object |
| `checkpoints/` | see `trainers.runs.checkpoints` |
| `samples/epoch_0001.png`, ... | samples after each epoch |
| `tensorboard/` | event files, see `trainers.callbacks.tensorboard_events` |
| `loss_curve.png` | the learning curve, written at the end of training |
| `saved_model/1/`, `model.keras` | the trained model, written at the end of training |
| `checksums.json` | SHA-256 hashes of the files of the trained model |
| `result.json` | the last file of training; a run with this file and an intact trained model is finished |
| `report.html` | written after the training, see `trainers.reporting.run_report` |

A run resumes only with the configuration in `config.json`. There is one exception: with a constant learning rate
(`"schedule": "constant"`), the number of epochs may increase. At the end of the added epochs, the model is exported to
`saved_model/2/`, and so on.
"""

import contextlib
import json
import os
import pathlib
import shutil
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from . import file_checks
from .atomic_files import replacing, sync_directory, write_json

try:
    import fcntl
except ImportError:  # Windows has no fcntl: there, two processes can train in one directory without an error.
    fcntl = None  # type: ignore[assignment]


class RunDirectory:
    """Paths, configuration, history, result and lock of a run.

    Args:
      path: path of the directory. It may be absent: `open` creates it.

    Attributes:
      writes: bool. If False, this process writes no files to the directory: it is a worker other than the chief, see
        `trainers.distribute.workers`.
      path: path of the directory.
      checkpoints: directory of the checkpoints.
      samples: directory of the pictures of samples.
      history_path: path of `history.jsonl`.
      model_path: path of `model.keras`.
      saved_models: directory of the exported SavedModels.
      tensorboard: directory of the TensorBoard event files.
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
        self._checksums_path = self.path / "checksums.json"
        self._has_warned = False

    def __str__(self) -> str:
        return str(self.path)

    def exists(self) -> bool:
        """Returns True if the directory holds a run: it has a `config.json`."""
        return self._config_path.exists()

    def adopted(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Returns a configuration in the form of the version that wrote the run in the directory.

        A flow may have new arguments since then. Their values become those that keep the weights of the run valid.
        Without a run in the directory, the result equals `config`.

        Args:
          config: configuration of the run, a dict, as `trainers.runs.configuration.configure` returns.

        Raises:
          ValueError: if `config.json` is damaged.
        """
        if not self.exists():
            return dict(config)
        new = _new_arguments(self._read_config())
        return {key: {**value, **new[key]} if key in new and value else value for key, value in config.items()}

    def check(self, config: Mapping[str, Any], resume: bool = True) -> None:
        """Checks that a run can start or resume in the directory. It writes nothing.

        Args:
          config: configuration of the run, a dict, as `trainers.runs.configuration.configure` returns.
          resume: bool. If False, a directory that holds a run is an error. Default True.

        Raises:
          ValueError: if the path is a file; if the directory holds files and no run; if the run in the directory has
            another configuration; or if the directory holds a run and `resume` is False.
        """
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"output_dir: {self} is a file; choose another directory")
        if not self.exists():
            others = [p.name for p in self.path.glob("*") if not p.name.startswith(".")]
            if others:
                raise ValueError(f"output_dir: {self} is not a run directory, but contains {min(others)}; "
                                 "choose another directory")
        elif not resume:
            raise ValueError(f"output_dir: {self} already holds a run, and --resume=false; choose another directory")
        else:
            self._check_same(_as_json(config))

    def open(self, config: Mapping[str, Any], resume: bool = True) -> None:
        """Calls `check`, then creates the directory with its `config.json` and subdirectories.

        In a directory that holds the run, `open` creates only what is missing. If `config` has more epochs than
        `config.json`, `open` replaces `config.json`.

        Args:
          config: configuration of the run, a dict, as `trainers.runs.configuration.configure` returns.
          resume: bool. If False, a directory that holds a run is an error. Default True.

        Raises:
          ValueError: if `check` raises it, and then the directory is not changed; or if the number of epochs increases
            while another process holds the lock on the directory.
        """
        self.check(config, resume)
        if not self.exists():
            self.path.mkdir(parents=True, exist_ok=True)
            write_json(config, self._config_path)  # First, because `check` rejects a directory of files without it.
        elif config["epochs"] > self.config()["epochs"]:
            with self.locked():
                write_json(config, self._config_path)
        for directory in (self.samples, self.checkpoints):
            directory.mkdir(exist_ok=True)
        sync_directory(self.path)

    def _check_same(self, config: dict[str, Any]) -> None:
        stored = self.config()
        changes = differences(stored, _as_json(self.adopted(config)))
        if config["epochs"] > stored["epochs"] and config["training"]["schedule"] == "constant":
            changes.pop("epochs", None)
        if changes:
            shown = "; ".join(f"{key} {old} (now {new})" for key, (old, new) in sorted(changes.items()))
            raise ValueError(f"output_dir: {self} holds a run of another configuration: {shown}; "
                             "choose another directory")

    def config(self) -> dict[str, Any]:
        """Returns the configuration of the run from `config.json`.

        If an earlier version wrote the run, arguments that the flow did not have then are added.

        Returns:
          A dict, as `trainers.runs.configuration.configure` returns.

        Raises:
          ValueError: if the directory has no `config.json`, or the file is damaged.
        """
        stored = self._read_config()
        new = _new_arguments(stored)
        return {key: {**new[key], **value} if key in new else value for key, value in stored.items()}

    def _read_config(self) -> dict[str, Any]:
        if not self._config_path.is_file():
            raise ValueError(f"run_dir: {self} is not a run directory: it has no config.json")
        try:
            return file_checks.read_json(self._config_path, file_checks.check_config)
        except ValueError as error:
            raise ValueError(f"{error}; restore the file, or train again in another directory") from error

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Holds an exclusive lock on the directory during the body of a `with` statement.

        When the process ends or is killed, the operating system releases the lock. On Windows, there is no lock.

        Raises:
          ValueError: if another process holds the lock.
        """
        with open(self.path / ".lock", "w") as file:
            if fcntl:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError as error:
                    raise ValueError(f"output_dir: another process is training in {self}; wait until it ends, or "
                                     "choose another directory") from error
            yield

    def result(self) -> dict[str, Any] | None:
        """Returns the content of `result.json`, or None if the run has never finished.

        If the file is damaged, there is a warning, and the run counts as not finished. The command that trained the run
        then writes the file again.

        Returns:
          A dict with the entries that `trainers.runs.trained_models.save` describes, or None.
        """
        path = self.path / "result.json"
        if not path.is_file():
            return None
        try:
            return file_checks.read_json(path, file_checks.check_result)
        except ValueError as error:
            if not self._has_warned:  # The file is read several times per command.
                warnings.warn(f"{error}; run the command that trained the model again to write the file", stacklevel=2)
            self._has_warned = True
            return None

    def is_finished(self, config: Mapping[str, Any] | None = None) -> bool:
        """Returns True if the run has at least the epochs of a configuration, and the trained model is intact.

        Args:
          config: dict whose entry `epochs` is the required number of epochs. Default None: the configuration in
            `config.json`.
        """
        result = self.result()
        if result is None:
            return False
        return result["epochs"] >= (config or self.config())["epochs"] and not self.damaged_exports()

    def damaged_exports(self) -> list[str]:
        """Returns the files of the trained model that are missing or damaged, as paths relative to the directory.

        `model.keras` has checksums of its own. If they are right, the file is not damaged, even if it is not the file
        that training wrote. A run of an earlier version has no `checksums.json`. Then only `model.keras` is checked.
        """
        name = self.model_path.name
        changed = file_checks.changed_files(self.path, self._checksums() or {name: ""})
        if name in changed and file_checks.is_intact_archive(self.model_path):
            changed.remove(name)
        return changed

    def is_intact(self, directory: pathlib.Path) -> bool:
        """Returns True if `checksums.json` has hashes of files in a directory, and the files have these hashes.

        Args:
          directory: path of a directory in the run directory.
        """
        prefix = directory.relative_to(self.path).as_posix() + "/"
        expected = {name: value for name, value in self._checksums().items() if name.startswith(prefix)}
        return bool(expected) and not file_checks.changed_files(self.path, expected)

    def write_checksums(self, exports: Iterable[pathlib.Path]) -> None:
        """Writes `checksums.json`, the hashes with which `damaged_exports` compares the files of the trained model.

        Args:
          exports: paths of the files and directories of the trained model.
        """
        write_json(file_checks.checksums(self.path, exports), self._checksums_path)

    def update_checksum(self, path: pathlib.Path) -> None:
        """Replaces the hash of one file in `checksums.json`, if the run has this file.

        Args:
          path: path of the file of the trained model.
        """
        expected = self._checksums()
        if expected:
            write_json({**expected, **file_checks.checksums(self.path, [path])}, self._checksums_path)

    def _checksums(self) -> dict[str, str]:
        """Returns the hashes in `checksums.json`, or no hashes if the file is missing or damaged."""
        try:
            return file_checks.read_json(self._checksums_path, _check_checksums)
        except (OSError, ValueError):
            return {}

    def finish(self, result: Mapping[str, Any]) -> None:
        """Writes `result.json`. From then on, the run is finished.

        Args:
          result: dict that `json.dumps` accepts, with the entries that `trainers.runs.trained_models.save` describes.
        """
        write_json(result, self.path / "result.json")

    def sample_path(self, epoch: int) -> pathlib.Path:
        """Returns the path of the picture of samples after an epoch, such as `samples/epoch_0001.png`.

        Args:
          epoch: int, number of the epoch, counted from 1.
        """
        return self.samples / f"epoch_{epoch:04d}.png"

    def history(self) -> list[dict[str, Any]]:
        """Returns the content of `history.jsonl`.

        Damaged lines are left out, with a warning. An incomplete last line is left out without a warning: the process
        was killed while it wrote the line.

        Returns:
          A list of one dict per epoch, with the entries that `trainers.callbacks.history_file.HistoryFile` describes.
          It is empty if the file does not exist.
        """
        lines = []
        if self.history_path.exists():
            for number, text in enumerate(self.history_path.read_text("utf-8", "replace").splitlines(True), 1):
                try:
                    line = json.loads(text)
                except (ValueError, RecursionError):
                    line = None
                if file_checks.is_history_line(line):
                    lines.append(line)
                elif line is not None or text.endswith("\n"):
                    warnings.warn(f"{self.history_path}, line {number} is damaged and is ignored", stacklevel=2)
        return lines

    def missing_epochs(self, epochs: int) -> list[int]:
        """Returns the epochs of which `history.jsonl` has no line.

        Args:
          epochs: int, number of complete epochs.

        Returns:
          A list of numbers of epochs, counted from 1.
        """
        return sorted({*range(1, epochs + 1)} - {line["epoch"] for line in self.history()})

    def add_history(self, line: Mapping[str, Any]) -> None:
        """Appends a line to `history.jsonl`.

        Args:
          line: dict that `json.dumps` accepts, the values of one epoch. Its entry `epoch` is the number of the epoch,
            an int, counted from 1.
        """
        with open(self.history_path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def rewind(self, epoch: int) -> None:
        """Removes the traces of a process that was stopped after a checkpoint: partial files and lines of the history.

        Args:
          epoch: int, number of complete epochs at the checkpoint. `history.jsonl` keeps the lines of the epochs 1 to
            `epoch`; later lines are deleted. If lines of these epochs are missing, there is a warning.
        """
        missing = self.missing_epochs(epoch)
        if missing:
            numbers = ", ".join(map(str, missing[:10])) + (", ..." if len(missing) > 10 else "")
            warnings.warn(f"{self.history_path} has no line of epoch{'' if len(missing) == 1 else 's'} {numbers}; "
                          "training continues, and learning curves leave out what is missing", stacklevel=2)
        for path in list(self.path.rglob(".partial*")):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        lines = [line for line in self.history() if line["epoch"] <= epoch]
        with replacing(self.history_path) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def _new_arguments(stored: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns the arguments that the flows of a stored configuration do not have yet, with their values.

    Args:
      stored: the content of `config.json`, a dict.

    Returns:
      A dict from `"flow"` and `"dequantizer"` to dicts of arguments. It omits flows that are not registered.
    """
    from tfp_glow.flows import config_from_file, config_to_dict  # Takes seconds.

    found = {}
    for part in ("flow", "dequantizer"):
        arguments = stored.get(part)
        if isinstance(arguments, dict):
            with contextlib.suppress(ValueError):  # The flow cannot be built, which is reported then.
                complete = config_to_dict(config_from_file(arguments))
                found[part] = _as_json({key: value for key, value in complete.items()
                                        if key not in arguments and key != "seed"})
    return found


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """Compares two nested dicts and returns the values that differ.

    Args:
      old: dict with strings as keys. Its values may be such dicts.
      new: dict of the same form.
      prefix: str, prepended to the returned keys. Default: the empty string.

    Returns:
      A dict from the key to the pair `(old value, new value)`. The key of an entry `b` of a nested dict `a` is `"a.b"`.
      The value of a missing entry is None.

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
    """Returns the configuration in the form that JSON gives it: with lists instead of tuples."""
    return json.loads(json.dumps(config))


def _check_checksums(value: Any) -> None:
    if not isinstance(value, dict) or not all(isinstance(digest, str) for digest in value.values()):
        raise ValueError("it must be a JSON object of strings")
