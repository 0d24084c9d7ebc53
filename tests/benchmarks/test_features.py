# SPDX-License-Identifier: Apache-2.0
"""The feature table: the page of results shows it, and the columns of this package and of TFP still give them."""

import json
from types import SimpleNamespace

import pytest

from benchmarks import harness
from benchmarks.features import __main__ as features
from benchmarks.features import ours_column, tfp_column
from benchmarks.features.rows import COLUMNS, ROWS, answer

RECORD = json.loads((harness.ROOT / "benchmarks" / "results" / "features.json").read_text())
CHECKED = {"ours": ours_column, "tfp": tfp_column}
SLOW = {"any_batch", "trace", "reversible", "fit", "replicas", "export"}  # These take seconds.
SLOW_OF_COLUMN = {"ours": SLOW, "tfp": SLOW | {"float64", "multiscale"}}


@pytest.mark.parametrize(("column", "row"), [
    pytest.param(column, row, marks=[pytest.mark.slow] if row in SLOW_OF_COLUMN[column] else [])
    for column in CHECKED for row in ROWS])
def test_a_cell_is_as_the_table_says(column, row):
    received, note = answer(CHECKED[column], row)
    assert received == RECORD["cells"][column][row]["answer"], note


def test_every_cell_was_checked_and_the_page_shows_it():
    assert list(RECORD["cells"]) == list(COLUMNS)
    for cells in RECORD["cells"].values():
        assert list(cells) == list(ROWS)
        assert all(cell["answer"] in ("yes", "no", "n/a") and cell["saw"] for cell in cells.values())
    assert features.markdown(RECORD) in (harness.ROOT / "docs" / "results.md").read_text(encoding="utf-8")


def test_answers():
    def logit():
        raise TypeError("two\n  lines")

    def glow():
        """some parts."""

    column = SimpleNamespace(NOT_APPLICABLE={"trace": "another framework"}, logit=logit, replicas=list, glow=glow)
    assert answer(column, "logit") == ("no", "TypeError: two lines")
    assert answer(column, "trace") == ("n/a", "another framework")
    column.replicas = lambda: [[1.0], [1.0]]
    column.replicas.__doc__ = "some parts"
    assert answer(column, "replicas") == ("yes", "some parts")
