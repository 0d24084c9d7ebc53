# SPDX-License-Identifier: Apache-2.0
"""The README's table of features: that it is what was found, and that it still is, here and in TFP."""

import json
from pathlib import Path

import pytest

from benchmarks.features import __main__ as table
from benchmarks.features import ours_parts, ours_whole, tfp_parts, tfp_whole
from benchmarks.features.rows import COLUMNS, ROWS, NotApplicableError, answer, checks_of

ROOT = Path(__file__).parent.parent
RECORD = json.loads(table.RESULTS.read_text())
CHECKS = {"ours": checks_of(ours_parts, ours_whole), "tfp": checks_of(tfp_parts, tfp_whole)}
SLOW = {"ours": ours_whole.SLOW, "tfp": tfp_whole.SLOW}


@pytest.mark.parametrize(("column", "row"), [
    pytest.param(column, row, marks=[pytest.mark.slow] if row in SLOW[column] else []) for column in CHECKS
    for row in ROWS])
def test_a_cell_is_as_the_table_says(column, row):
    received, saw = answer(CHECKS[column][row])
    assert received == RECORD["cells"][column][row]["answer"], saw


def test_every_cell_was_checked_and_the_readme_shows_it():
    assert list(RECORD["cells"]) == list(COLUMNS)
    for cells in RECORD["cells"].values():
        assert list(cells) == list(ROWS)
        assert all(cell["answer"] in ("yes", "no", "n/a") and cell["saw"] for cell in cells.values())
    assert table.markdown(RECORD) in (ROOT / "README.md").read_text(encoding="utf-8")


def test_answers():
    def fails():
        raise TypeError("two\n  lines")

    def unasked():
        raise NotApplicableError("another framework")

    assert answer(lambda: "seen") == ("yes", "seen")
    assert answer(fails) == ("no", "TypeError: two lines")
    assert answer(unasked) == ("n/a", "another framework")
    with pytest.raises(ValueError, match="No check for the rows .*'act_norm'"):
        checks_of(ours_whole)
