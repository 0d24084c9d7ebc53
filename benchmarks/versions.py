# SPDX-License-Identifier: Apache-2.0
"""Installs and tests the package with several versions of Python, TensorFlow and Keras. Makes the table in README.md.

    python -m benchmarks.versions
    python -m benchmarks.versions --rows 2.18 2.22 --keep

The program builds the source distribution and, from it, the wheel. Then it makes one environment per row, in
`.build/versions`, and deletes it afterwards. In each environment it

1. installs the libraries of the row, as a user has them, and then the package, which must not replace any of them;
2. trains, evaluates and samples with the installed command `tfp-glow`;
3. runs the test modules that have the mark `matrix`, in the unpacked source distribution;
4. writes model files, and reads those of the rows before it. At the end, the first row reads the files of all rows.

The Pythons are those on the PATH, such as `python3.10`, or those of pyenv. Only the standard library is used here.
"""

import dataclasses
import datetime
import glob
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree
from collections.abc import Sequence
from typing import Any

from benchmarks import harness
from benchmarks.report import publish, table

ROOT = harness.ROOT
BUILD = ROOT / ".build" / "versions"
STEP_MINUTES = 60
GIGABYTES = 8  # An environment has 3 GB. That of the first row stays until the end.
TEST_TOOLS = ("pytest", "hypothesis", "h5py", "psutil", "packaging")
LIBRARIES = ("tensorflow", "keras", "keras-nightly", "tensorflow-probability", "tfp-nightly", "numpy", "protobuf")


@dataclasses.dataclass(frozen=True)
class Row:
    """An environment.

    Attributes:
      name: name for `--rows`.
      python: version of Python.
      libraries: what is installed before the package.
      pre_release: True if pip must not resolve the requirements of the package, because the libraries have other names.
      from_source: True to install the source distribution instead of the wheel.
    """

    name: str
    python: str
    libraries: tuple[str, ...]
    pre_release: bool = False
    from_source: bool = False


ROWS = (
    Row("2.18", "3.10", ("tensorflow==2.18.1", "keras==3.10.0")),
    Row("2.19", "3.12", ("tensorflow==2.19.1", "keras==3.10.0"), from_source=True),  # as in Colab
    Row("2.20", "3.11", ("tensorflow==2.20.0", "keras==3.12.4")),
    Row("2.21", "3.12", ("tensorflow==2.21.0", "keras==3.15.1")),
    Row("newest", "3.13", ("tensorflow", "keras")),
    Row("pre-release", "3.13", ("tensorflow>=2.22.0rc0", "keras-nightly>=3.16.0.dev0", "tfp-nightly>=0.26.0.dev0"),
        pre_release=True),
)


class StepFailed(Exception):
    """A step of a row failed. The message is one line for the table; the log has the output."""


def python_of(version: str) -> str:
    """Returns an interpreter of a version of Python that can make environments.

    Raises:
      StepFailed: if there is none.
    """
    pyenv = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    candidates = [shutil.which(f"python{version}"), *sorted(glob.glob(f"{pyenv}/versions/{version}.*/bin/python"))]
    check = f"import ensurepip, sys, venv; assert '%d.%d' % sys.version_info[:2] == '{version}'"
    for candidate in filter(None, candidates):
        if subprocess.run([candidate, "-c", check], capture_output=True, check=False).returncode == 0:
            return candidate
    raise StepFailed(f"there is no Python {version} with the module venv here; install it, or name other rows with "
                     "--rows")


class Environment:
    """The environment of a row.

    Args:
      row: the row.
      home: directory of the environment and of its files.
    """

    def __init__(self, row: Row, home: pathlib.Path):
        self.row, self.home = row, home
        self.bin, self.log = home / "venv" / "bin", home / "log.txt"

    def run(self, step: str, *command: Any, cwd: pathlib.Path = ROOT, fails: bool = False) -> str:
        """Runs a command, and returns what it prints to stdout.

        Args:
          step: name of the step, for the error.
          *command: the command; its program is that of the environment if it is there.
          cwd: working directory.
          fails: True if the exit code does not matter.

        Raises:
          StepFailed: if the exit code is not 0, or the command does not end.
        """
        program = self.bin / str(command[0])
        arguments = [program if program.exists() else command[0], *command[1:]]
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "TFP_GLOW_DATA_DIR": str(self.home / "data")}
        environment.pop("PYTHONPATH", None)
        try:
            result = subprocess.run([str(a) for a in arguments], cwd=cwd, env=environment, capture_output=True,
                                    text=True, check=False, timeout=STEP_MINUTES * 60)
        except subprocess.TimeoutExpired as error:
            raise StepFailed(f"{step} did not end in {STEP_MINUTES} minutes") from error
        with self.log.open("a", encoding="utf-8") as log:
            print(f"$ {' '.join(map(str, command))}\n{result.stdout}{result.stderr}", file=log)
        if result.returncode and not fails:
            raise StepFailed(f"{step} failed; see {self.log}")
        return result.stdout + (result.stderr if fails else "")

    def versions(self) -> dict[str, str]:
        """Returns the versions of the installed libraries."""
        lines = self.run("pip", "python", "-m", "pip", "list", "--format=json")
        found = {package["name"].lower().replace("_", "-"): package["version"] for package in json.loads(lines)}
        return {name: found[name] for name in LIBRARIES if name in found}

    def install(self, *requirements: Any) -> None:
        """Installs requirements."""
        self.run("pip install", "python", "-m", "pip", "install", "--quiet", *requirements)

    def create(self) -> None:
        """Makes the environment, with the libraries of the row."""
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)
        self.run("venv", python_of(self.row.python), "-m", "venv", self.home / "venv")
        self.install("--upgrade", "pip")  # That of Python 3.10 searches for hours.
        self.install(*self.row.libraries)


def build_distributions() -> tuple[pathlib.Path, pathlib.Path, pathlib.Path]:
    """Builds and checks the source distribution and the wheel.

    Returns:
      The paths of the source distribution, of the wheel, and of the directory of the unpacked source distribution.
    """
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    tools = Environment(Row("tools", python, ("build", "twine")), BUILD / "tools")
    tools.create()
    target = BUILD / "dist"
    shutil.rmtree(target, ignore_errors=True)
    tools.run("python -m build", "python", "-m", "build", "--outdir", target, ROOT)
    (source,), (wheel,) = target.glob("*.tar.gz"), target.glob("*.whl")
    tools.run("twine check", "twine", "check", "--strict", source, wheel)
    shutil.unpack_archive(source, target)
    return source, wheel, target / source.name.removesuffix(".tar.gz")


def install_package(environment: Environment, distribution: pathlib.Path) -> dict[str, str]:
    """Installs the package with its command, as README.md says. Returns the versions of the libraries.

    Raises:
      StepFailed: if pip replaced one of the libraries of the row, or if the import fails.
    """
    before = environment.versions()
    if environment.row.pre_release:
        environment.install("--no-deps", distribution)
        metadata = "import importlib.metadata as m; print('\\n'.join(m.requires('tfp_glow')))"
        lines = environment.run("metadata", "python", "-c", metadata).splitlines()
        environment.install(*(line.partition(";")[0].strip() for line in lines if re.search(
            r"extra == .train|^setuptools", line)))
    else:
        environment.install(f"{distribution}[train]")
    # The import names the package that TensorFlow Probability requires, and the command that installs it.
    empty = environment.home / "empty"
    empty.mkdir()
    message = environment.run("import", "python", "-c", "import tfp_glow", cwd=empty, fails=True)
    remedy = re.search(r"pip install ((?:--no-deps )?)'?(tf-keras[^'\s]*)'?$", message.strip())
    if remedy:
        environment.install(*remedy.group(1).split(), remedy.group(2))
    environment.run("import tfp_glow", "python", "-c", "import tfp_glow", cwd=empty)
    after = environment.versions()
    replaced = [f"{name} {version}" for name, version in before.items() if after.get(name) != version]
    if replaced:
        raise StepFailed(f"the installation replaced {', '.join(replaced)}")
    return after


def smoke_training(environment: Environment) -> float:
    """Trains, evaluates and samples with the installed command. Returns the bits/dim on the test split."""
    place = environment.home / "empty"
    environment.run("tfp-glow train", "tfp-glow", "train", "--preset=digits_glow_smoke", "--data=digits",
                    "--output_dir=run", cwd=place)
    lines = environment.run("tfp-glow evaluate", "tfp-glow", "evaluate", "--run_dir=run", "--data=digits", cwd=place)
    environment.run("tfp-glow sample", "tfp-glow", "sample", "--run_dir=run", "--out=grid.png", cwd=place)
    environment.run("load_pretrained", "python", "-c",
                    "import tfp_glow; print(tfp_glow.load_pretrained('fashion_mnist_best').sample(1, seed=0).shape)",
                    cwd=place)
    return json.loads(lines.splitlines()[-1])["bits_per_dim"]


def run_tests(environment: Environment, source: pathlib.Path) -> dict[str, int]:
    """Runs the marked test modules in the unpacked source distribution. Returns the numbers of tests by outcome."""
    modules = sorted(path.relative_to(source) for path in (source / "tests").rglob("test_*.py")
                     if re.search(r"^pytestmark = .*\bmark\.matrix\b", path.read_text(encoding="utf-8"), re.MULTILINE))
    report = environment.home / "tests.xml"
    environment.run("pytest", "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}",
                    *modules, cwd=source, fails=True)
    if not report.exists():
        raise StepFailed(f"the tests did not start; see {environment.log}")
    suite = next(xml.etree.ElementTree.parse(report).getroot().iter("testsuite"))
    counts = {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
    return {"passed": counts["tests"] - counts["failures"] - counts["errors"] - counts["skipped"],
            "failed": counts["failures"] + counts["errors"], "skipped": counts["skipped"]}


def read_files(environment: Environment, source: pathlib.Path) -> dict[str, Any]:
    """Reads the model files that the rows have written so far. Returns the number of files and the errors."""
    files, errors = 0, {}
    for writer in (row.name for row in ROWS if (BUILD / "files" / row.name).exists()):
        output = environment.run("model files", "python", "-m", "benchmarks.programs.model_files", "read",
                                 BUILD / "files" / writer, cwd=source)
        result = json.loads(output.splitlines()[-1])
        files += result["files"]
        errors |= {f"{writer}/{file}": error for file, error in result["errors"].items()}
    return {"files": files, "errors": errors}


def measure(environment: Environment, distributions: Sequence[pathlib.Path]) -> dict[str, Any]:
    """Returns the record of a row. Its entry `error` is the step that failed, or None."""
    source_archive, wheel, source = distributions
    row, start = environment.row, time.monotonic()
    record: dict[str, Any] = {"python": row.python, "error": None}
    try:
        environment.create()
        record["versions"] = install_package(environment, source_archive if row.from_source else wheel)
        record["bits_per_dim"] = smoke_training(environment)
        environment.install(*TEST_TOOLS)
        record["tests"] = run_tests(environment, source)
        environment.run("model files", "python", "-m", "benchmarks.programs.model_files", "write",
                        BUILD / "files" / row.name, cwd=source)
        record["read"] = read_files(environment, source)
    except StepFailed as error:
        record["error"] = str(error)
    record["minutes"] = round((time.monotonic() - start) / 60, 1)
    record["date"] = str(datetime.date.today())
    return record


def is_good(record: dict[str, Any]) -> bool:
    """Returns True if all steps of a row passed."""
    return not (record["error"] or record["tests"]["failed"] or record["read"]["errors"])


def markdown(record: dict[str, Any]) -> str:
    """Returns the table of all rows."""
    lines = []
    for row in ROWS:
        result = record.get(row.name)
        if result is None:
            continue
        versions = result.get("versions", {})
        names = (("tensorflow",), ("keras-nightly", "keras"), ("tfp-nightly", "tensorflow-probability"), ("numpy",))
        cells = [row.python, *(next((versions[name] for name in either if name in versions), "-") for either in names)]
        if result["error"]:
            cells += [f"no: {result['error']}", "-", "-"]
        else:
            tests, read = result["tests"], result["read"]
            counts = [f"{tests[outcome]} {outcome}" for outcome in ("passed", "failed", "skipped") if tests[outcome]]
            cells += [", ".join(counts),
                      f"{result['bits_per_dim']:.3f}", f"{read['files'] - len(read['errors'])} of {read['files']}"]
        lines.append([*cells, result["minutes"]])
    head = ("Python", "TensorFlow", "Keras", "TFP", "NumPy", "tests", "smoke training, bits/dim", "model files read",
            "minutes")
    dates = sorted({result["date"] for result in record.values()})
    return f"{table(head, lines)}\n\n{' to '.join(dict.fromkeys([dates[0], dates[-1]]))}, on CPUs."


def main(argv: Sequence[str] | None = None) -> int:
    parser = harness.parser_of(__doc__.partition("\n")[0], "versions.json", "README.md")
    parser.add_argument("--rows", nargs="*", choices=[row.name for row in ROWS], default=[row.name for row in ROWS],
                        help="rows to run; the others keep their results. None: only the table is made")
    parser.add_argument("--keep", action="store_true", help="keep the environments")
    args = parser.parse_args(argv)
    rows = [row for row in ROWS if row.name in args.rows]
    record = json.loads(args.results.read_text(encoding="utf-8")) if args.results.exists() else {}
    if not rows:
        publish(args, record, markdown(record), "versions")
        return 0
    BUILD.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(BUILD).free / 1e9
    try:
        for row in rows:
            python_of(row.python)
        if free < GIGABYTES:
            raise StepFailed(f"{BUILD} has {free:.1f} GB of free space; {GIGABYTES} GB are required")
        distributions = build_distributions()
    except StepFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    environments = [Environment(row, BUILD / row.name) for row in rows]
    for environment in environments:
        record[environment.row.name] = measure(environment, distributions)
        if environment is not environments[0] and not args.keep:
            shutil.rmtree(environment.home / "venv", ignore_errors=True)
        publish(args, record, markdown(record), "versions")
    first = environments[0]
    if record[first.row.name]["error"] is None:
        record[first.row.name]["read"] = read_files(first, distributions[2])
        publish(args, record, markdown(record), "versions")
    if not args.keep:
        shutil.rmtree(first.home / "venv", ignore_errors=True)
    return 0 if all(is_good(record[row.name]) for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
