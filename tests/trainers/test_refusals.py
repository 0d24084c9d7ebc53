# SPDX-License-Identifier: Apache-2.0
"""Errors of the command-line programs: one line on stderr, exit code 1, and no written or changed file."""

import shutil
import subprocess
import sys

import pytest
from paths import ROOT
from small_runs import error_of, program_lines, write_idx

from trainers import evaluate, interpolate, sample, train
from trainers.runs.run_directory import RunDirectory


@pytest.mark.parametrize(("flags", "message"), [
    (["--preset=no_glow"], "flag --preset=no_glow: value should be one of <digits_glow|"),
    (["--epoch=3"], "Unknown command line flag 'epoch'"),
    (["--seed=one"], "flag --seed=one: invalid literal for int"),
    (["digits"], "unexpected argument 'digits'"),
    (["--output_dir="], "output_dir: "),
    (["--data=mnist"], "data: must be one of digits, tfds:NAME, idx:DIR, folder:DIR, toy:NAME, array:FILE; got"),
    (["--data=folder:nowhere"], "data: folder nowhere does not exist"),
    (["--data=idx:nowhere"], "data: idx directory nowhere does not exist"),
    (["--batch_size=2000"], "batch_size: train of digits has only 1350 examples; got 2000"),
    (["--batch_size=0"], "batch_size: must be at least 1; got 0"),
    (["--epochs=0"], "epochs: must be at least 1; got 0"),
    (["--learning_rate=nan"], "learning_rate: must be positive; got nan"),
    (["--seed=-1"], "flag --seed=-1: -1 is not a non-negative integer"),
    (["--preset=glow_cifar10", "--data=idx:{tmp}", "--batch_size=8"],
     "divisible by 2**num_levels = 8; received (12, 12, 1)"),
    (["--strategy=mirrored"], "replicas: --strategy=mirrored requires --replicas=N on a machine without GPUs"),
    (["--replicas=2"], "replicas: must be at least 1 and requires --strategy=mirrored; got 2 with --strategy=auto"),
    (["--output_dir={tmp}/file"], "{tmp}/file is a file; choose another directory"),
    (["--output_dir={tmp}/other"],
     "{tmp}/other is not a run directory, but contains notes.txt; choose another directory"),
    (["--output_dir={run}", "--seed=3", "--batch_size=8"],
     "{run} holds a run of another configuration: seed 0 (now 3); training.batch_size 16 (now 8)"),
    (["--output_dir={run}", "--epochs=9"], "another configuration: epochs 2 (now 9)"),
    (["--output_dir={run}", "--resume=false"],
     "{run} already holds a run, and --resume=false; choose another directory"),
])
def test_train_reports_errors(flags, message, digits_run, tmp_path):
    names = {"tmp": tmp_path, "run": digits_run}
    write_idx(tmp_path, {"train": 20}, shape=(12, 12))
    (tmp_path / "file").touch()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    before = {p: p.stat().st_mtime_ns for p in digits_run.path.rglob("*")}
    defaults = ["--preset=digits_glow_smoke", "--data=digits", f"--output_dir={tmp_path / 'new'}"]
    line = error_of(train.main, *defaults, *(flag.format(**names) for flag in flags))
    assert message.format(**names) in line
    assert before == {p: p.stat().st_mtime_ns for p in digits_run.path.rglob("*")}
    assert (tmp_path / "other" / "notes.txt").read_text() == "mine"
    assert not (tmp_path / "new").exists()


def test_a_missing_flag_is_reported():
    assert "Flag --output_dir must have a value" in error_of(train.main, "--preset=digits_glow", "--data=digits")


def test_evaluate_and_sample_report_errors(digits_run, tmp_path):
    write_idx(tmp_path, {"train": 20}, shape=(8, 8))
    empty = RunDirectory(tmp_path / "run")
    empty.open(digits_run.config())
    broken = shutil.copytree(digits_run.path, tmp_path / "broken")
    (broken / "model.keras").write_bytes(b"PK")
    out = f"--out={tmp_path / 'grid.png'}"
    for main, flags, message in [
            (evaluate.main, [f"--run_dir={tmp_path}", "--data=digits"],
             "is not a run directory: it has no config.json"),
            (evaluate.main, [f"--run_dir={empty}", "--data=digits"], "has neither model.keras nor a checkpoint yet"),
            (evaluate.main, [f"--run_dir={broken}", "--data=digits"], "model.keras cannot be loaded"),
            (evaluate.main, [f"--run_dir={digits_run}", f"--data=idx:{tmp_path}"],
             "has images of shape (8, 8, 1) and 256 gray levels; the model in"),
            (evaluate.main, [f"--run_dir={digits_run}", "--data=digits", "--split=all"], "flag --split=all"),
            (interpolate.main, [f"--run_dir={digits_run}", "--data=digits", out, "--attribute=ten"],
             "attribute: must be a class or attribute of digits, one of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9; got 'ten'"),
            (interpolate.main, [f"--run_dir={digits_run}", "--data=digits", out, "--num=149"],
             "num: 149 rows require 298 images; the test split of digits has 297"),
            (sample.main, [f"--run_dir={empty}", out], "has neither model.keras nor a checkpoint yet"),
            (sample.main, [f"--run_dir={digits_run}", out, "--num=0"], "flag --num=0"),
            (sample.main, [f"--run_dir={digits_run}", out, "--temperature=-1"], "flag --temperature=-1"),
            (sample.main, [f"--run_dir={digits_run}", f"--out={tmp_path}/no/grid.png"], "No such file or directory")]:
        assert message in error_of(main, *flags)


def test_a_new_process_prints_one_error_line():
    """TensorFlow's C++ code also prints start-up lines in a new process, except with `--help`."""
    command = [sys.executable, "-m", "trainers.train", "--preset=digits_glow", "--output_dir=nowhere"]
    done = subprocess.run([*command, "--data=folder:nowhere"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert program_lines(done.stderr) == ["error: data: folder nowhere does not exist"]
    done = subprocess.run([*command, "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "--[no]resume" in done.stdout and not done.stderr


def test_only_one_process_trains_in_a_directory(tmp_path):
    run = RunDirectory(tmp_path)
    with run.locked(), pytest.raises(ValueError, match="another process is training"), run.locked():
        pass
    with run.locked():
        pass
