# SPDX-License-Identifier: Apache-2.0
"""Fills the table of features: `python -m benchmarks.features [--columns ours tfp normflows]`.

Each column is checked in a process of its own, normflows in an environment of its own. The answers, and what each check
saw, go to features.json beside this file, and from there into the README.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from benchmarks import environments
from benchmarks.features.rows import COLUMNS, ROWS
from benchmarks.report import put_between_markers, table

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RESULTS = HERE / "features.json"
PACKAGES = {"ours": ("tensorflow", "tensorflow-probability", "keras"), "tfp": ("tf-keras",),
            "normflows": ("torch", "normflows")}


def parse_arguments(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--columns", nargs="+", choices=COLUMNS, default=list(COLUMNS), help="only these; others stay")
    parser.add_argument("--normflows_python", help="the interpreter of an environment that has the peer already")
    parser.add_argument("--report_only", action="store_true", help="check nothing: features.json into the README")
    return parser.parse_args(argv)


def run_column(column, python):
    """Runs a column's checks and returns its cells, by row, as `{"answer": ..., "saw": ...}`."""
    process = subprocess.Popen([python, "-m", "benchmarks.features.column", column], cwd=ROOT, text=True,
                               stdout=subprocess.PIPE)
    cells = {}
    for line in process.stdout:
        if line.startswith('{"row"'):
            cell = json.loads(line)
            cells[cell.pop("row")] = cell
            print(f"{column}: {list(cells)[-1]}: {cell['answer']} ({cell['saw']})", flush=True)
    if process.wait() or set(cells) != set(ROWS):
        sys.exit(f"{column}: exit code {process.returncode}, {len(cells)} of {len(ROWS)} cells.")
    return cells


def markdown(record):
    """The table and the versions it is of."""
    cells = record["cells"]
    rows = [(title, *(cells[column][row]["answer"] for column in COLUMNS)) for row, title in ROWS.items()]
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    return f"{table(('', *COLUMNS.values()), rows)}\n\nOf {versions}."


def main(argv=None):
    args = parse_arguments(argv)
    record = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"versions": {}, "cells": {}}
    for column in [] if args.report_only else args.columns:
        python = sys.executable
        if column == "normflows":
            python = args.normflows_python or environments.python_of("normflows")
        record["cells"][column] = run_column(column, python)
        record["versions"].update(environments.versions(python, PACKAGES[column]))
        RESULTS.write_text(json.dumps(record, indent=1) + "\n")
    readme = ROOT / "README.md"
    readme.write_text(put_between_markers(readme.read_text(encoding="utf-8"), markdown(record), "features"),
                      encoding="utf-8")


if __name__ == "__main__":
    main()
