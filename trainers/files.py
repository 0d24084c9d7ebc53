# SPDX-License-Identifier: Apache-2.0
"""Files that are there whole or not at all, even if the process is killed."""

import contextlib
import json
import os
import pathlib


@contextlib.contextmanager
def replacing(path):
    """A context that yields a path beside `path` to write; at its end that file becomes `path`, at once."""
    path = pathlib.Path(path)
    temporary = path.with_name(f".partial.{path.name}")
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(path.parent)


def sync_directory(path):
    """Makes renames in a directory outlast a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(value, path):
    """Writes JSON, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
