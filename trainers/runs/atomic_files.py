# SPDX-License-Identifier: Apache-2.0
"""Atomic file writes: after a kill or on a full disk, a file is either complete or absent."""

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
    """Returns a context that yields a temporary path; when it ends, that file replaces `path` atomically.

    The temporary file is in the directory of `path`. If the context raises, `path` stays as it is.

    Args:
      path: the file to write or replace.
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
    """Creates a file of `size` bytes, which the caller then overwrites.

    Call this before a writer that cannot handle a full disk. HDF5, for instance, cannot close its file on a full disk:
    it prints errors or crashes at each further attempt.

    Args:
      path: the file to create.
      size: size in bytes.

    Raises:
      OSError: if the disk has less than `size` bytes of free space.
    """
    with open(path, "wb") as file:
        if hasattr(os, "posix_fallocate"):  # not on macOS and Windows
            os.posix_fallocate(file.fileno(), 0, size)


def sync_directory(path: str | os.PathLike) -> None:
    """Flushes a directory to disk, so that renames in it survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(path: str | os.PathLike) -> None:
    """Flushes a directory, its subdirectories and all their files to disk."""
    for directory, _, names in os.walk(os.fspath(path)):
        for name in names:
            _sync(os.path.join(directory, name))
        sync_directory(directory)


def write_json(value: Any, path: str | os.PathLike) -> None:
    """Writes a JSON file atomically.

    Args:
      value: an object that `json.dumps` accepts.
      path: the file to write or replace.
    """
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


@contextlib.contextmanager
def room_in(directory: Any) -> Iterator[None]:
    """Returns a context that turns every error of a full disk into one `OSError` that names the run directory.

    HDF5 and TensorFlow raise errors of their own classes, whose text contains the message of the operating system.

    Args:
      directory: the run directory; its string is used in the message.

    Raises:
      OSError: if the body raises an error that a full disk caused. Other errors pass unchanged.
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
    """Returns the operating system's message if a full disk caused the error, otherwise None."""
    while error is not None:
        for code in _DISK_FULL_CODES:
            if getattr(error, "errno", None) == code or os.strerror(code) in str(error):
                return os.strerror(code)
        error = error.__cause__ or error.__context__
    return None


def _sync(path: str | os.PathLike) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())
