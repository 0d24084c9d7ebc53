# SPDX-License-Identifier: Apache-2.0
"""The wheel claims one name, the source distribution is whole, and requirements leave TensorFlow as it is."""

import ast
import importlib.metadata
import json
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest
from packaging.requirements import Requirement
from paths import ROOT

from benchmarks import versions

VERSIONS = ROOT / "benchmarks" / "results" / "versions.json"
FOLDERS = ("benchmarks", "docs", "pretrained", "tests", "tfp_glow", "trainers")
WRITTEN = shutil.ignore_patterns("__pycache__", "*.egg-info", ".*", "_build", "generated")


def requirements(*lists):
    """Returns the requirements in lists of setup.py."""
    tree = ast.parse((ROOT / "setup.py").read_text())
    named = {node.targets[0].id: node.value for node in tree.body if isinstance(node, ast.Assign)}
    return [Requirement(constant.value) for name in lists for constant in named[name].elts]


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """The names of the files in the source distribution and in the wheel, and the wheel's entry points."""
    project = tmp_path_factory.mktemp("project")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, project / name, ignore=WRITTEN)
    (project / ".ci").mkdir()
    for path in [*(p for p in ROOT.iterdir() if p.is_file()), ROOT / ".ci" / "run"]:
        shutil.copy(path, project / path.relative_to(ROOT))
    subprocess.run([sys.executable, "-m", "build", project], check=True, capture_output=True)
    (source,), (wheel,) = (project / "dist").glob("*.tar.gz"), (project / "dist").glob("*.whl")
    with tarfile.open(source) as archive:
        in_source = {name.partition("/")[2] for name in archive.getnames()}
    with zipfile.ZipFile(wheel) as archive:
        in_wheel = set(archive.namelist())
        (entry_points,) = (name for name in in_wheel if name.endswith("entry_points.txt"))
        commands = archive.read(entry_points).decode()
    return in_source, in_wheel, commands


@pytest.mark.slow
def test_the_wheel_claims_one_name(distributions):
    _, wheel, commands = distributions
    assert {name.partition("/")[0] for name in wheel if ".dist-info/" not in name} == {"tfp_glow"}
    assert "tfp-glow = tfp_glow.trainers.__main__:main" in commands
    for name in ("py.typed", "models/pretrained.json", "trainers/train.py", "trainers/reporting/report.html.jinja",
                 "pretrained_runs/fashion_mnist_best/model.keras"):
        assert f"tfp_glow/{name}" in wheel
    assert not any("/tests/" in name or "/benchmarks/" in name for name in wheel)


@pytest.mark.slow
def test_the_source_distribution_is_whole(distributions):
    source, _, _ = distributions
    present = {str(path.relative_to(ROOT)) for name in FOLDERS for path in (ROOT / name).rglob("*")
               if path.is_file() and not {"__pycache__", "_build", "generated"} & set(path.parts)
               and not path.name.startswith(".")}
    present |= {path.name for path in ROOT.iterdir() if path.is_file() and not path.name.startswith(".")}
    assert sorted(present - source) == []
    assert ".ci/run" in source


@pytest.mark.parametrize("name", ["RUNTIME", "TRAIN"])
def test_no_requirement_replaces_tensorflow(name):
    """pip replaces TensorFlow if a requirement excludes its version, or requires a package that does."""
    for requirement in requirements(name):
        assert not any(specifier.operator in ("<", "<=", "==", "~=") for specifier in requirement.specifier
                       ) or requirement.name in (
                           "googleapis-common-protos", "tensorflow-datasets", "tensorflow-metadata")
        for line in importlib.metadata.requires(requirement.name) or ():
            needed = Requirement(line)
            if needed.name == "tensorflow" and not (needed.marker and "extra" in str(needed.marker)):
                assert needed.specifier.contains("2.18.0"), f"{requirement.name} requires {needed}"


def test_the_readme_shows_the_tested_versions():
    assert versions.markdown(json.loads(VERSIONS.read_text())) in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_tested_versions_are_those_that_setup_and_the_import_name():
    from tfp_glow._versions import TESTED

    tested = json.loads(VERSIONS.read_text())
    floors = {requirement.name: next(iter(requirement.specifier)).version for requirement in requirements("RUNTIME")
              if requirement.specifier}
    assert floors["keras"] == TESTED["Keras"][0] and floors["tensorflow"] == TESTED["TensorFlow"][0]
    assert floors["tensorflow-probability"] == TESTED["TensorFlow Probability"][0]
    libraries = {"TensorFlow": ("tensorflow",), "Keras": ("keras-nightly", "keras"),
                 "TensorFlow Probability": ("tfp-nightly", "tensorflow-probability")}
    for library, names in libraries.items():
        found = [next(row["versions"][name] for name in names if name in row["versions"]) for row in tested.values()]
        numbers = [tuple(map(int, version.split(".")[:2])) for version in found]
        assert [f"{a}.{b}" for a, b in (min(numbers), max(numbers))] == list(TESTED[library])
    setup = (ROOT / "setup.py").read_text()
    for row in tested.values():
        assert f'"Programming Language :: Python :: {row["python"]}"' in setup
        assert not row["error"] and not row["tests"]["failed"] and not row["read"]["errors"]
