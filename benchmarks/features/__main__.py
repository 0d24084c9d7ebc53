# SPDX-License-Identifier: Apache-2.0
"""Fills the feature table: `python -m benchmarks.features [--columns ours tfp normflows]`.

Each column is checked in a process of its own, and normflows in an environment of its own.
"""

from benchmarks import report
from benchmarks.features.columns import fill_columns
from benchmarks.features.rows import COLUMNS, ROWS


def markdown(record: dict) -> str:
    """Returns the table, and the versions that it is about."""
    rows = [(check.__doc__, *(record["cells"][column][row]["answer"] for column in COLUMNS))
            for row, check in ROWS.items()]
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    return f"{report.table(('', *COLUMNS.values()), rows)}\n\nVersions: {versions}."


def main() -> None:
    columns = {column: "normflows" if column == "normflows" else "ours" for column in COLUMNS}
    fill_columns(__doc__, "features", "docs/results.md", columns, ROWS, markdown)


if __name__ == "__main__":  # The processes of `replicas` import this module again.
    main()
