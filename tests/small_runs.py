# SPDX-License-Identifier: Apache-2.0
"""Helpers for the tests of the trainers: small runs, IDX files, error lines and arrays of a data set."""

import contextlib
import gzip
import io
import re
import struct

import numpy as np
import pytest
import tensorflow as tf
from small_flows import eagerly

from trainers import data as data_lib
from trainers import train
from trainers.runs import trained_models
from trainers.runs.run_directory import RunDirectory


def train_digits(directory, *flags):
    return train.main(["train", "--preset=digits_glow_smoke", "--data=digits", f"--output_dir={directory}", *flags])


def train_on(spec, directory, preset="toy_maf_smoke", *flags):
    assert train.main(["train", f"--preset={preset}", f"--data={spec}", f"--output_dir={directory}", *flags]) == 0
    return RunDirectory(directory)


@contextlib.contextmanager
def eager_programs():
    """Runs programs eagerly in the body of a `with` statement. They export graphs."""
    save = trained_models.save

    def save_graphs(*arguments):
        tf.config.run_functions_eagerly(False)
        save(*arguments)
        tf.config.run_functions_eagerly(True)

    with pytest.MonkeyPatch.context() as patch, eagerly():
        patch.setattr(trained_models, "save", save_graphs)
        yield


def write_idx_file(path, array):
    """Writes a `uint8` array to an IDX file. Compresses the file if its name ends in `.gz`."""
    raw = struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)


def write_idx(directory, sizes, shape=(28, 28)):
    """Writes random images and labels with the format and file names of Fashion-MNIST."""
    random = np.random.default_rng(0)
    for prefix, size in sizes.items():
        write_idx_file(directory / f"{prefix}-images-idx3-ubyte.gz", random.integers(0, 256, (size, *shape), "uint8"))
        write_idx_file(directory / f"{prefix}-labels-idx1-ubyte.gz", random.integers(0, 10, size, "uint8"))


def error_of(main, *flags):
    """Runs a program that must end with an error, and returns the line that it prints."""
    with contextlib.redirect_stderr(io.StringIO()) as stderr:
        assert main(["program", *map(str, flags)]) == 1
    (line,) = stderr.getvalue().splitlines()
    assert line.startswith("error: ")
    return line


def program_lines(stderr):
    """Returns the lines that a program printed to stderr, without the start-up lines of TensorFlow's C++ code."""
    startup = re.compile(r"WARNING: All log messages before absl|[IWE]\d{4} ")
    return [line for line in stderr.splitlines() if not startup.match(line)]


def arrays(data, split):
    """Returns all images and labels of a split in stored order."""
    size = data.num_examples(split)
    (batch,) = data_lib.dataset(data, split, size, shuffle=False)
    assert len(batch[0]) == size
    return batch[0].numpy(), batch[1].numpy()


def rows(images):
    return {image.tobytes() for image in images}
