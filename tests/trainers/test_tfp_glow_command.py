# SPDX-License-Identifier: Apache-2.0
"""The command `tfp-glow`, and the names of the programs in its texts."""

import importlib
import subprocess
import sys

import pytest
from paths import ROOT
from small_runs import error_of

from trainers import __main__ as command
from trainers import _command_line, _command_names, sample, train

pytestmark = pytest.mark.matrix


@pytest.fixture
def installed(monkeypatch):
    """Texts are those of an installed package."""
    monkeypatch.setattr(_command_names, "_INSTALLED", True)


def test_help_lists_every_program(installed, capsys):
    assert command.main(["tfp-glow", "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("usage: tfp-glow PROGRAM")
    for program in _command_names.PROGRAMS:
        assert f"  {program:12} {importlib.import_module(f'trainers.{program}').__doc__.splitlines()[0]}\n" in out
    assert command.main(["tfp-glow"]) == 1 and capsys.readouterr().out == out


@pytest.mark.parametrize("program", _command_names.PROGRAMS)
def test_help_of_a_program_names_what_the_user_types(program, installed, capsys):
    assert command.main(["tfp-glow", program, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"    tfp-glow {program} --" in out and "trainers" not in out


@pytest.mark.parametrize(("argument", "message"), [
    ("trian", "there is no program 'trian'; did you mean train?"),
    ("--preset=x", "there is no program '--preset=x'; the programs are train, evaluate, sample"),
])
def test_an_unknown_program_is_one_line(argument, message, installed, capsys):
    assert command.main(["tfp-glow", argument]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: tfp-glow: ") and message in line


def test_version(capsys):
    import tfp_glow

    assert command.main(["tfp-glow", "--version"]) == 0
    assert capsys.readouterr().out == f"tfp-glow {tfp_glow.__version__}\n"


@pytest.mark.parametrize(("text", "expected"), [
    ("python -m trainers.train --seed=1", "tfp-glow train --seed=1"),
    ("finish it with trainers.train", "finish it with tfp-glow train"),
    ("that trainers.train wrote. `trainers.evaluate`", "that tfp-glow train wrote. `tfp-glow evaluate`"),
    ("Use trainers.train. Then trainers.sample, twice", "Use tfp-glow train. Then tfp-glow sample, twice"),
    ("trainers.training and trainers.reporting.run_report", "trainers.training and trainers.reporting.run_report"),
    ("mytrainers.train", "mytrainers.train"),
])
def test_names_in_texts(text, expected, monkeypatch):
    assert _command_names.with_command_names(text) == text
    monkeypatch.setattr(_command_names, "_INSTALLED", True)
    assert _command_names.with_command_names(text) == expected


def test_error_lines_name_what_the_user_types(installed, monkeypatch):
    def program(options):
        raise ValueError("finish it with trainers.train")

    monkeypatch.setattr(sample, "program", program)
    assert error_of(sample.main, "--run_dir=a", "--out=b") == "error: finish it with tfp-glow train"


def test_a_missing_package_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    line = error_of(train.main, "--preset=digits_glow", "--data=digits", f"--output_dir={tmp_path / 'run'}")
    assert line == "error: the package tensorflow_datasets is not installed; pip install 'tfp_glow[train]'"
    assert not (tmp_path / "run").exists()


def test_a_missing_module_of_the_project_is_a_defect(monkeypatch):
    def program(options):
        raise ModuleNotFoundError("No module named 'trainers.absent'", name="trainers.absent")

    monkeypatch.setattr(_command_line, "_quiet_python_logs", lambda: None)
    monkeypatch.setattr(sample, "program", program)
    with pytest.raises(ModuleNotFoundError):
        sample.main(["sample", "--run_dir=a", "--out=b"])


def test_python_without_absl_is_one_line():
    """`-S` hides the installed packages, as another interpreter than that of the environment does."""
    result = subprocess.run([sys.executable, "-S", "-m", "trainers.train"], cwd=ROOT, capture_output=True, text=True,
                            check=False)
    assert result.returncode == 1
    assert result.stderr == ("error: the package absl-py is not installed; run the command with .venv/bin/python, or "
                             "pip install 'tfp_glow[train]'\n")
