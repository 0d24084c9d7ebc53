# SPDX-License-Identifier: Apache-2.0
"""`find_damage`: finds lost, truncated and changed files of a set that TFDS has stored."""

import os

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

_READ_BYTES = 2**30  # Sets up to this size are read completely if a size does not match.
_FRAME_BYTES = 16  # A TFRecord file stores the length of each record and two checksums.


def find_damage(builder: tfds.core.DatasetBuilder, read: bool = True) -> str | None:
    """Checks the files of a stored set. In files of the format TFRecord, it compares all records with their checksums.

    Args:
      builder: `tfds.core.DatasetBuilder` of the set.
      read: bool. If False, only the presence and the sizes of the files are checked; a set of at most 1 GiB is read
        if a size is not the expected one. Default True.

    Returns:
      A str that describes the first damaged file, or None if no damage is found. It is None if the set is not on disk.
    """
    if not os.path.isdir(builder.data_path):
        return None  # Not stored yet, or read from another place, as the mocked sets of `tfds.testing`.
    if not list(builder.info.splits):
        return f"{os.path.join(builder.data_path, 'dataset_info.json')} is missing or lists no splits"
    for split in builder.info.splits.values():
        files = list(zip(map(str, split.filepaths), split.shard_lengths, strict=True))
        for path, length in files:
            if not os.path.isfile(path):
                return f"{path} is missing"
            if length and not os.path.getsize(path):
                return f"{path} is empty"
        if builder.info.file_format != tfds.core.FileFormat.TFRECORD:
            continue
        size = sum(os.path.getsize(path) for path, _ in files)
        # Some versions of TFDS may count bytes in another way. A size that does not match is therefore no proof.
        suspicious = size != int(split.num_bytes) + _FRAME_BYTES * split.num_examples and size <= _READ_BYTES
        if read or suspicious:
            for path, length in files:
                reason = _damage_of(path, length)
                if reason:
                    return f"{path} {reason}"
    return None


def _damage_of(path: str, length: int) -> str | None:
    """Returns what is wrong with a TFRecord file of `length` records, or None."""
    try:
        number = tf.data.TFRecordDataset(path).reduce(np.int64(0), lambda count, _: count + 1)
    except tf.errors.DataLossError:
        return "is truncated or changed"
    except (tf.errors.OpError, OSError) as error:
        return f"cannot be read ({type(error).__name__})"
    return None if int(number) == length else f"has {int(number)} records instead of {length}"
