# SPDX-License-Identifier: Apache-2.0
"""`one_line_if_damaged`: replaces errors of damaged data files by a message that names the file."""

import contextlib
from collections.abc import Callable, Iterator

import tensorflow as tf


@contextlib.contextmanager
def one_line_if_damaged(find_damage: Callable[[], str | None] | None) -> Iterator[None]:
    """Replaces each error of a damaged data file by a `ValueError` that names the file; a context manager.

    TensorFlow reads files while it computes batches. Its errors name no file, and their class does not tell whether a
    file caused them. After an error, `find_damage` therefore reads all files. Errors stay as they are if no file is
    damaged, or if memory ran out.

    Args:
      find_damage: callable that returns an error message or None, such as `ImageData.find_damage`. None: errors stay as
        they are.

    Raises:
      ValueError: if the body of the `with` statement raises an error of TensorFlow and a file is damaged.
    """
    try:
        yield
    except tf.errors.ResourceExhaustedError:
        raise
    except tf.errors.OpError as error:
        message = find_damage() if find_damage else None
        if message is None:
            raise
        raise ValueError(message) from error
