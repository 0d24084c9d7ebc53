# SPDX-License-Identifier: Apache-2.0
"""The five rows of README.md, for five libraries: `python -m benchmarks.features.why`.

Columns that the feature table has are taken from its results. The cells of zuko and BayesFlow are checked in
processes of their own, each in the environment of the library.
"""

import importlib
import json
import subprocess
import sys

from benchmarks import harness, report
from benchmarks.features.rows import ROWS, answer

WHY = {"multiscale": "Glow over images: half of the latents leave the flow at each level",
       "context": "densities p(y \\| c) given a context",
       "trace": "what is traced or compiled does not grow with depth",
       "reversible": "what the backward pass keeps does not grow with depth",
       "fit": "Keras 3's `fit` trains every variable"}
MEASURED = {"ours": "tfp_glow", "tfp": "TFP, with `tfb.Glow`", "normflows": "normflows"}
PEERS = {"zuko": "normflows", "bayesflow": "bayesflow_tensorflow"}  # the environment of each
TITLES = {**MEASURED, "zuko": "zuko", "bayesflow": "BayesFlow"}


def markdown(record: dict) -> str:
    """Returns the table, and the versions that it is about."""
    features = json.loads((harness.ROOT / "benchmarks" / "results" / "features.json").read_text(encoding="utf-8"))
    cells = {**{name: features["cells"][name] for name in MEASURED}, **record["cells"]}
    rows = [(title, *(cells[column][row]["answer"] for column in TITLES)) for row, title in WHY.items()]
    versions = {**{name: features["versions"][name] for name in ("tensorflow-probability", "normflows")},
                **record["versions"]}
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    return f"{report.table(('', *TITLES.values()), rows)}\n\nVersions: {listed}."


def check_column(name: str) -> None:
    """Checks the five rows of a column in this process and prints versions and cells as one line of JSON."""
    column, cells = importlib.import_module(f"benchmarks.features.{name}_column"), {}
    for row in WHY:
        cells[row] = dict(zip(("answer", "saw"), answer(column, row), strict=True))
        print(f"{name}: {row}: {cells[row]['answer']} ({cells[row]['saw']})", file=sys.stderr, flush=True)
    versions = {package: version for package, version in harness.versions().items() if package == name}
    print(json.dumps({"versions": versions, "cells": cells}))


def main() -> None:
    parser = harness.parser_of(__doc__, "why.json", "README.md")
    parser.add_argument("--columns", nargs="*", choices=PEERS, default=list(PEERS),
                        help="columns to check; the others stay, and without names only the table is written")
    parser.add_argument("--in_process", choices=PEERS, help="check one column in this process and print it as JSON")
    args = parser.parse_args()
    if args.in_process:
        return check_column(args.in_process)
    record = json.loads(args.results.read_text()) if args.results.exists() else {"versions": {}, "cells": {}}
    for column in args.columns:
        done = harness.run_module(harness.python_of(PEERS[column], args), "features.why", f"--in_process={column}",
                                  stdout=subprocess.PIPE, check=True)
        measured = json.loads(done.stdout.splitlines()[-1])
        record["versions"].update(measured["versions"])
        record["cells"][column] = measured["cells"]
    report.publish(args, record, markdown(record), "why")


assert set(WHY) <= set(ROWS)

if __name__ == "__main__":
    main()
