# SPDX-License-Identifier: Apache-2.0
"""claims.json: per page its most important claims, each with the tests or the generated value that stand behind it.

Each entry has a `claim`, an exact phrase of the page; `tests`, node ids of tests that show it; and for a value that a
program writes into the page `generated`, the path of the file that the value comes from.
"""

import ast
import functools
import json

import pytest
from paths import ROOT

CLAIMS = json.loads((ROOT / "tests" / "project" / "claims.json").read_text(encoding="utf-8"))
FEWEST = 5


def pages():
    """The pages that state something: lists of other pages, the reference and the page to play with do not."""
    docs = ROOT / "docs"
    folders = (path for folder in ("guides", "tutorials") for path in docs.glob(f"{folder}/*.md"))
    found = [ROOT / "README.md", *docs.glob("*.md"), *(path for path in folders if path.name != "index.md")]
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


def joined(text):
    return " ".join(text.split())


@functools.cache
def names_in(path):
    """The tests of a file as parts of node ids, `name` or `Class::name`, without importing the file."""
    found = set()
    for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)}
        elif isinstance(node, ast.FunctionDef):
            found.add(node.name)
    return {name for name in found if name.rpartition("::")[2].startswith("test_")}


def test_every_page_has_claims():
    assert sorted(CLAIMS) == pages(), "tests/project/claims.json has an entry per page"
    few = {page: len(claims) for page, claims in CLAIMS.items() if len(claims) < FEWEST}
    assert not few, f"each page has at least {FEWEST} claims"


@pytest.mark.parametrize("page", CLAIMS)
def test_the_page_states_each_claim_once(page):
    text = joined((ROOT / page).read_text(encoding="utf-8"))
    wrong = {entry["claim"]: text.count(joined(entry["claim"])) for entry in CLAIMS[page]}
    assert set(wrong.values()) == {1}, {claim: count for claim, count in wrong.items() if count != 1}


@pytest.mark.parametrize("page", CLAIMS)
def test_something_stands_behind_each_claim(page):
    for entry in CLAIMS[page]:
        assert {"claim", "tests"} <= set(entry) <= {"claim", "tests", "generated"} and entry["tests"], entry
        for node_id in entry["tests"]:
            path, _, name = node_id.partition("::")
            assert (ROOT / path).is_file() and name in names_in(path), f"{node_id} is no test"
        if "generated" in entry:
            assert (ROOT / entry["generated"]).is_file(), entry["generated"]
