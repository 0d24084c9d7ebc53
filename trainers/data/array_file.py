# SPDX-License-Identifier: Apache-2.0
"""`array:FILE`: a table of numbers, a row an example, from a `.npy` or `.csv` file."""

import pathlib

import numpy as np

from trainers.data import prepared_sets
from trainers.data.vector_data import VectorData


def load(path: str) -> VectorData:
    """Reads a table.

    A `.csv` is separated by commas, with or without a line of titles. The rows are put into the order
    `store.permutation`; its last tenth is the test split, and the last tenth of the rest validation.

    Args:
      path: a `.npy` file of a real array `[rows, columns]`, or a `.csv` file.

    Returns:
      A `VectorData` of rows as they are, in float32; the flow standardises them by the `statistics` of train.

    Raises:
      ValueError: in one line, if the file is missing or holds no such table, or a number in it is missing, NaN or
        infinite, or a column does not vary.
    """
    file = pathlib.Path(path).expanduser()
    if not file.is_file():
        raise ValueError(f"data: array file {path} does not exist")
    readers = {".npy": _read_npy, ".csv": _read_csv}
    if file.suffix.lower() not in readers:
        raise ValueError(f"data: array file must be .npy or .csv; got {path}")
    table = readers[file.suffix.lower()](file)
    if table.ndim != 2 or table.dtype.kind not in "fiu" or 0 in table.shape:
        raise ValueError(f"data: {path} must hold real numbers in rows and columns; got shape {table.shape}, "
                         f"{table.dtype}")
    table = table.astype(np.float64)
    if not np.isfinite(table).all():
        row, column = np.argwhere(~np.isfinite(table))[0]
        raise ValueError(f"data: {path} must hold finite numbers only; row {row + 1}, column {column + 1} is "
                         f"{table[row, column]}")
    shuffled = table[prepared_sets.permutation(len(table))].astype(np.float32)
    num_test = max(1, len(table) // 10)
    num_validation = max(1, (len(table) - num_test) // 10)
    num_train = len(table) - num_test - num_validation
    if num_train < 2:
        raise ValueError(f"data: {path} has too few rows to cut validation and test from: {len(table)}")
    train, validation, test = np.split(shuffled, [num_train, num_train + num_validation])
    data = VectorData(file.stem, {"train": train, "validation": validation, "test": test})
    for column, deviation in enumerate(data.statistics[1]):
        if not 0 < deviation < np.inf:
            raise ValueError(f"data: column {column + 1} of {path} must vary within float32; its standard deviation is "
                             f"{deviation}")
    return data


def _read_npy(file):
    try:
        return np.asarray(np.load(file, allow_pickle=False))
    except (ValueError, EOFError) as error:
        raise ValueError(f"data: corrupt array file {file}: {error}") from error


def _read_csv(file):
    try:
        lines = [line for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise ValueError(f"data: corrupt array file {file}: {error}") from error
    rows = [line.split(",") for line in lines]
    titled = bool(rows) and not any(map(_is_number, rows[0]))
    rows = rows[titled:]
    for number, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            raise ValueError(f"data: rows of {file} must be of one length; row 1 has {len(rows[0])} numbers, "
                             f"row {number} has {len(row)}")
        wrong = next((cell for cell in row if not _is_number(cell)), None)
        if wrong is not None:
            raise ValueError(f"data: {file} must hold numbers only; row {number} has {wrong.strip()!r}")
    return np.array(rows, dtype=np.float64)


def _is_number(cell):
    try:
        float(cell)
    except ValueError:
        return False
    return True
