# SPDX-License-Identifier: Apache-2.0
"""Files that are there whole or not at all, even if the process is killed or the disk is full."""

import contextlib
import errno
import json
import os
import pathlib

# What the system says of a disk, a quota or a largest size of files that is reached.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def replacing(path):
    """A context that yields a path beside `path` to write; at its end that file becomes `path`, at once."""
    path = pathlib.Path(path)
    temporary = path.with_name(f".partial.{path.name}")
    try:
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(path.parent)


def reserve(path, size):
    """Raises the system's `OSError` if a file of so many bytes has no room; leaves one, to be written over.

    For writers that do not take a full disk well: HDF5 then cannot close its file, and complains of it or crashes
    whenever it tries again.
    """
    with open(path, "wb") as file:
        if hasattr(os, "posix_fallocate"):  # not on macOS and Windows
            os.posix_fallocate(file.fileno(), 0, size)


def sync_directory(path):
    """Makes renames in a directory outlast a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(path):
    """Makes all files in and below a directory outlast a power cut."""
    for directory, _, names in os.walk(path):
        for name in names:
            _sync(os.path.join(directory, name))
        sync_directory(directory)


def write_json(value, path):
    """Writes JSON, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


@contextlib.contextmanager
def room_in(directory):
    """A context that tells, by an `OSError` that names `directory`, that the disk is full, whoever was writing.

    HDF5 and TensorFlow raise classes of their own for it, with the system's words somewhere in their text.
    """
    try:
        yield
    except Exception as error:
        reason = _full_reason(error)
        if reason is None:
            raise
        raise OSError(f"output_dir: {directory}: {reason}; what was saved there is whole: make room, then the same "
                      "command goes on") from error


def _full_reason(error):
    """The system's words for a full disk, if an error or what it came from has them; else None."""
    while error is not None:
        for code in _FULL:
            if getattr(error, "errno", None) == code or os.strerror(code) in str(error):
                return os.strerror(code)
        error = error.__cause__ or error.__context__
    return None


def _sync(path):
    with open(path, "rb") as file:
        os.fsync(file.fileno())
