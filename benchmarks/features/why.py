# SPDX-License-Identifier: Apache-2.0
"""The five rows of README.md, for five libraries: `python -m benchmarks.features.why`.

Columns that the feature table has are taken from its results. The cells of zuko and BayesFlow are checked in
processes of their own, each in the environment of the library.
"""

import json

from benchmarks import harness, report
from benchmarks.features.columns import fill_columns
from benchmarks.features.rows import ROWS

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
                **{name: record["versions"][name] for name in PEERS}}
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    return f"{report.table(('', *TITLES.values()), rows)}\n\nVersions: {listed}."


def main() -> None:
    fill_columns(__doc__, "why", "README.md", PEERS, WHY, markdown)


assert set(WHY) <= set(ROWS)

if __name__ == "__main__":
    main()
