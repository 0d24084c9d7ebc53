# SPDX-License-Identifier: Apache-2.0
"""One column, in a process of its own: `python -m benchmarks.features.column NAME` prints a JSON line for each cell."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import importlib
import json
import sys

from benchmarks.features.rows import answer, checks_of


def main(column):
    modules = [importlib.import_module(f"benchmarks.features.{column}_{part}") for part in ("parts", "whole")]
    for row, check in checks_of(*modules).items():
        result, saw = answer(check)
        print(json.dumps({"row": row, "answer": result, "saw": saw}), flush=True)


if __name__ == "__main__":  # Also what a check's own worker processes must not run again.
    main(*sys.argv[1:])
