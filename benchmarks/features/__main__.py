# SPDX-License-Identifier: Apache-2.0
"""Fills the feature table: `python -m benchmarks.features [--columns ours tfp normflows]`.

Each column is checked in a process of its own, and normflows in an environment of its own.
"""

import importlib
import json
import os
import subprocess
import sys

from benchmarks import harness, report
from benchmarks.features.rows import COLUMNS, ROWS, answer


def markdown(record: dict) -> str:
    """Returns the table, and the versions that it is about."""
    rows = [(check.__doc__, *(record["cells"][column][row]["answer"] for column in COLUMNS))
            for row, check in ROWS.items()]
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    return f"{report.table(('', *COLUMNS.values()), rows)}\n\nVersions: {versions}."


def check_column(name: str) -> None:
    """Checks all rows of a column in this process and prints versions and cells as one line of JSON."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    column, cells = importlib.import_module(f"benchmarks.features.{name}_column"), {}
    for row in ROWS:
        cells[row] = dict(zip(("answer", "saw"), answer(column, row), strict=True))
        print(f"{name}: {row}: {cells[row]['answer']} ({cells[row]['saw']})", file=sys.stderr, flush=True)
    print(json.dumps({"versions": harness.versions(), "cells": cells}))


def main() -> None:
    parser = harness.parser_of(__doc__, "features.json", "docs/results.md")
    parser.add_argument("--columns", nargs="*", choices=COLUMNS, default=list(COLUMNS),
                        help="columns to check; the others stay, and without names only the table is written")
    parser.add_argument("--in_process", choices=COLUMNS, help="check one column in this process and print it as JSON")
    args = parser.parse_args()
    if args.in_process:
        return check_column(args.in_process)
    record = json.loads(args.results.read_text()) if args.results.exists() else {"versions": {}, "cells": {}}
    for column in args.columns:
        python = harness.python_of("normflows" if column == "normflows" else "ours", args)
        done = harness.run_module(python, "features", f"--in_process={column}", stdout=subprocess.PIPE, check=True)
        measured = json.loads(done.stdout.splitlines()[-1])
        record["versions"].update(measured["versions"])
        record["cells"][column] = measured["cells"]
    report.publish(args, record, markdown(record), "features")


if __name__ == "__main__":  # The processes of `replicas` import this module again.
    main()
