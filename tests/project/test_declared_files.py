# SPDX-License-Identifier: Apache-2.0
"""The Bazel target `//:tests` declares every file that the tests read: a tree of its files alone runs them."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from declared_files import declared_files
from paths import ROOT
from test_house import module_name, project_files, report


def test_every_file_that_tests_read_is_declared():
    """All files that hold no code are declared, and all programs that the text of a test names."""
    declared = declared_files("//:tests")
    missing = sorted({str(path.relative_to(ROOT)) for path in project_files(ROOT)} - set(declared))
    tests = "\n".join((ROOT / path).read_text(encoding="utf-8") for path in declared if path.startswith("tests/")
                      and path.endswith(".py"))
    named = [path for path in missing if not path.endswith(".py") or re.search(
        rf"\b{re.escape(path)}|\b{re.escape(module_name(path))}\b", tests)]
    report("`//:tests` needs these files, as `deps` of its targets or in `//:project_files`", named)


@pytest.mark.slow
def test_the_tree_of_declared_files_runs_the_tests(tmp_path):
    for path in declared_files("//:tests"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def run(*arguments):
        result = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
                                cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout[-4000:]

    run("--collect-only", "-m", "slow or not slow")
    run("tests/project", "tests/benchmarks", "tests/models/test_pretrained.py")
