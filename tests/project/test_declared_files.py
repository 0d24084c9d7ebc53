# SPDX-License-Identifier: Apache-2.0
"""The Bazel target `//:tests` declares every file that the tests read: a tree of its files alone runs them."""

import os
import shutil
import subprocess
import sys

import pytest
from declared_files import declared_files
from paths import ROOT
from test_house import project_files, report


def test_every_file_is_declared():
    """Tests read all files: those of the house read all code, BUILD files and texts."""
    files = {str(path.relative_to(ROOT)) for path in project_files(ROOT)}
    report("`//:tests` needs these files, as `deps` of its targets or in `//:project_files`",
           sorted(files - set(declared_files("//:tests"))))


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
