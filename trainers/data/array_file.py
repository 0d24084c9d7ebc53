# SPDX-License-Identifier: Apache-2.0
"""The data sets `array:FILE`: a table of numbers from a `.npy` or `.csv` file, one example per row."""

import csv
import os
import pathlib

import numpy as np

from . import prepared_sets
from .vector_data import VectorData

_MIN_ROWS = 4  # Two for train, one for validation and one for test.


def load(path: str) -> VectorData:
    """Reads a table of numbers from a file and splits its rows into train, validation and test.

    The rows are shuffled with a fixed seed, so a file always gives the same splits. The last tenth of the shuffled rows
    is the test split, and the last tenth of the remaining rows is the validation split; each has at least one row.

    Args:
      path: str, path of a `.npy` file that holds an array `[rows, columns]` of integers or floats, or of a `.csv` file
        in UTF-8. Commas separate the columns of a `.csv` file, and its first row may hold column titles.

    Returns:
      A `VectorData` whose vectors are the rows, unscaled, in float32. Its name is the file name without the ending.

    Raises:
      ValueError: if the file does not exist, has another ending than `.npy` and `.csv`, or cannot be parsed; if the
        table does not hold finite numbers only, or has fewer than 4 rows; if a column is constant in the training
        split, or its standard deviation is not finite in float32.
    """
    file = pathlib.Path(os.path.expanduser(path))
    if not file.is_file():
        raise ValueError(f"data: array file {path} {'is a directory' if file.is_dir() else 'does not exist'}")
    readers = {".npy": _read_npy, ".csv": _read_csv}
    if file.suffix.lower() not in readers:
        raise ValueError(f"data: array file must be .npy or .csv; got {path}")
    table = readers[file.suffix.lower()](file)
    if table.ndim != 2 or table.dtype.kind not in "fiu" or 0 in table.shape:
        raise ValueError(f"data: {path} must hold real numbers in rows and columns; got shape {table.shape} and dtype "
                         f"{table.dtype}")
    table = table.astype(np.float64)
    if not np.isfinite(table).all():
        row, column = np.argwhere(~np.isfinite(table))[0]
        raise ValueError(f"data: {path} must hold finite numbers only; row {row + 1}, column {column + 1} is "
                         f"{table[row, column]}")
    if len(table) < _MIN_ROWS:
        raise ValueError(f"data: {path} must have at least {_MIN_ROWS} rows; got {len(table)}")
    with np.errstate(over="ignore"):  # The standard deviation below shows what is too large.
        shuffled = table[prepared_sets.fixed_permutation(len(table))].astype(np.float32)
    num_test = max(1, len(table) // 10)
    num_validation = max(1, (len(table) - num_test) // 10)
    num_train = len(table) - num_test - num_validation
    train, validation, test = np.split(shuffled, [num_train, num_train + num_validation])
    data = VectorData(file.stem, {"train": train, "validation": validation, "test": test})
    with np.errstate(invalid="ignore"):
        deviations = data.statistics[1]
    for column, deviation in enumerate(deviations):
        if not 0 < deviation < np.inf:
            raise ValueError(f"data: column {column + 1} of {path} must vary, and its values must not be too large for "
                             f"float32; its standard deviation is {deviation}")
    return data


def _read_npy(file: pathlib.Path) -> np.ndarray:
    try:
        return np.asarray(np.load(file, allow_pickle=False))
    except (ValueError, EOFError) as error:
        raise ValueError(f"data: corrupt array file {file}: {error}") from error


def _read_csv(file: pathlib.Path) -> np.ndarray:
    """Reads the numbers of a CSV file, except blank lines and a row of titles.

    The row numbers in error messages do not count blank lines and the row of titles.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            rows = [row for row in csv.reader(lines, skipinitialspace=True, strict=True) if not _is_blank(row)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"data: corrupt array file {file}: {error}") from error
    if rows and not any(map(_is_number, rows[0])):
        del rows[0]
    for number, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            raise ValueError(f"data: rows of {file} must have equal length; row 1 has {len(rows[0])} numbers, "
                             f"row {number} has {len(row)}")
        for column, cell in enumerate(row, 1):
            if not _is_number(cell):
                raise ValueError(f"data: {file} must hold numbers only; row {number}, column {column} has "
                                 f"{cell.strip()!r}")
    return np.array([[float(cell) for cell in row] for row in rows], np.float64)


def _is_blank(row: list[str]) -> bool:
    return not row or (len(row) == 1 and not row[0].strip())


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
