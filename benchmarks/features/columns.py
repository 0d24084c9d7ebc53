# SPDX-License-Identifier: Apache-2.0
"""`fill_columns`: checks the columns of a feature table, each in a process of its own."""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any

from benchmarks import harness, report
from benchmarks.features.rows import answer


def fill_columns(doc: str, name: str, into: str, columns: Mapping[str, str], rows: Collection[str],
                 markdown: Callable[[dict[str, Any]], str]) -> None:
    """Runs the command line of a feature table.

    Args:
      doc: docstring of the command.
      name: name of the table: of its results, and of its markers in the file with the table.
      into: path of this file, relative to the root of the project.
      columns: the environment in which each column is checked, a key of `harness.python_of`.
      rows: names of the rows to check.
      markdown: a function of the results that returns the table.
    """
    parser = harness.parser_of(doc, f"{name}.json", into)
    parser.add_argument("--columns", nargs="*", choices=columns, default=list(columns),
                        help="columns to check; the others stay, and without names only the table is written")
    parser.add_argument("--in_process", choices=columns, help="check one column in this process and print it as JSON")
    args = parser.parse_args()
    if args.in_process:
        return _check(args.in_process, rows)
    module = "features" if name == "features" else f"features.{name}"
    record = json.loads(args.results.read_text()) if args.results.exists() else {"versions": {}, "cells": {}}
    for column in args.columns:
        done = harness.run_module(harness.python_of(columns[column], args), module, f"--in_process={column}",
                                  stdout=subprocess.PIPE, check=True)
        measured = json.loads(done.stdout.splitlines()[-1])
        record["versions"].update(measured["versions"])
        record["cells"][column] = measured["cells"]
    report.publish(args, record, markdown(record), name)


def _check(name: str, rows: Collection[str]) -> None:
    """Checks the rows of a column in this process, and prints versions and cells as one line of JSON."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    column, cells = importlib.import_module(f"benchmarks.features.{name}_column"), {}
    for row in rows:
        cells[row] = dict(zip(("answer", "saw"), answer(column, row), strict=True))
        print(f"{name}: {row}: {cells[row]['answer']} ({cells[row]['saw']})", file=sys.stderr, flush=True)
    print(json.dumps({"versions": harness.versions(), "cells": cells}))
