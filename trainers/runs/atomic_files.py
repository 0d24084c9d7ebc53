# SPDX-License-Identifier: Apache-2.0
"""Atomic file writes: after a kill or on a full disk, the old file or the complete new file is present."""

import contextlib
import errno
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

# Error codes of a full disk, an exhausted quota and an exceeded limit of the file size.
_DISK_FULL_CODES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Writes a file atomically: a context manager that yields the path of a temporary file in the same directory.

    The body of the `with` statement writes the temporary file. At the end of the body, the temporary file replaces
    `path`. If the body raises an error, `path` is not changed and the temporary file is deleted.

    Args:
      path: path of the file to write or replace.
    """
    path = pathlib.Path(path)
    temporary = path.with_name(f".partial.{path.name}")
    try:
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(path.parent)


def reserve(path: str | os.PathLike, size: int) -> None:
    """Creates a file of `size` bytes, to raise an error early if the disk is too full for it.

    Call this function before code that cannot handle a full disk and overwrites the file. HDF5 is such code: on a full
    disk it cannot close its file, and each attempt prints errors or crashes. On macOS and Windows, the function creates
    an empty file.

    Args:
      path: path of the file to create.
      size: int, size in bytes.

    Raises:
      OSError: if the disk has less than `size` bytes of free space.
    """
    with open(path, "wb") as file:
        if hasattr(os, "posix_fallocate"):  # not on macOS and Windows
            os.posix_fallocate(file.fileno(), 0, size)


def sync_directory(path: str | os.PathLike) -> None:
    """Flushes a directory to disk, so that renames of its files survive a power failure.

    Args:
      path: path of the directory.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(path: str | os.PathLike) -> None:
    """Flushes a directory, its subdirectories and all files in them to disk.

    Args:
      path: path of the directory.
    """
    for directory, _, names in os.walk(os.fspath(path)):
        for name in names:
            _sync(os.path.join(directory, name))
        sync_directory(directory)


def write_json(value: Any, path: str | os.PathLike) -> None:
    """Writes a JSON file atomically.

    Args:
      value: an object that `json.dumps` accepts.
      path: path of the file to write or replace.
    """
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


@contextlib.contextmanager
def room_in(directory: Any) -> Iterator[None]:
    """Replaces each error of a full disk by an `OSError` that names the run directory; a context manager.

    On a full disk, Python, HDF5 and TensorFlow raise errors of different classes. All of them contain the error code or
    the message of the operating system. An exhausted disk quota and an exceeded limit of the file size count as a full
    disk.

    Args:
      directory: the run directory, a `RunDirectory` or a path, for the error message.

    Raises:
      OSError: if the body of the `with` statement raises an error of a full disk. Other errors are not changed.
    """
    try:
        yield
    except Exception as error:
        reason = _disk_full_message(error)
        if reason is None:
            raise
        raise OSError(f"output_dir: {directory}: {reason}; all saved files are complete; free some space and run the "
                      "same command to resume") from error


def _disk_full_message(error: BaseException | None) -> str | None:
    """Returns the message of the operating system if a full disk caused the error; otherwise None."""
    while error is not None:
        for code in _DISK_FULL_CODES:
            if getattr(error, "errno", None) == code or os.strerror(code) in str(error):
                return os.strerror(code)
        error = error.__cause__ or error.__context__
    return None


def _sync(path: str | os.PathLike) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())
