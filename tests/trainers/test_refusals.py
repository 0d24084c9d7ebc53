# SPDX-License-Identifier: Apache-2.0
"""Errors of the command-line programs: one line on stderr, exit code 1, and no written or changed file."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from paths import ROOT
from small_runs import error_of, program_lines, write_idx

from trainers import _memory, evaluate, figure2d, interpolate, sample, serving, train
from trainers.runs import trained_models
from trainers.runs.run_directory import RunDirectory
from trainers.training import training_loop


@pytest.mark.parametrize(("flags", "message"), [
    (["--preset=digit_glow"], "preset: no preset has the name 'digit_glow'; did you mean digits_glow"),
    (["--preset=toy_maf"], "preset: toy_maf is for vectors; digits has images 8x8x1"),
    (["--epoch=3"], "Unknown command line flag 'epoch'"),
    (["--seed=one"], "flag --seed=one: invalid literal for int"),
    (["digits"], "unexpected argument 'digits'"),
    (["--output_dir="], "flag --output_dir=: must be a path, not empty"),
    (["--output_dir=a\nb"], "must be a path of printable characters"),
    (["--data=mnist"], "data: must be one of digits, tfds:NAME, idx:DIR, folder:DIR, toy:NAME, array:FILE; got"),
    (["--data=mnist"], "got 'mnist'; for the set of TensorFlow Datasets, write tfds:mnist"),
    (["--data={tmp}"], "; for the images in this directory, write folder:{tmp}"),
    (["--data=array:{tmp}"], "data: array file {tmp} is a directory"),
    (["--data=idx:{tmp}/file"], "data: idx directory {tmp}/file is a file"),
    (["--output_dir={tmp}/link"], "output_dir: {tmp}/link is a link to a directory that does not exist"),
    (["--strategy=mirrored", "--replicas=1000000"], "replicas: must be at most the batch size 16; got 1000000"),
    (["--data=folder:nowhere"], "data: folder nowhere does not exist"),
    (["--data=idx:nowhere"], "data: idx directory nowhere does not exist"),
    (["--batch_size=2000"], "batch_size: train of digits has only 1350 examples; got 2000"),
    (["--batch_size=0"], "batch_size: must be at least 1; got 0"),
    (["--epochs=0"], "epochs: must be at least 1; got 0"),
    (["--epochs=1000000000"], "epochs: must be at most 1000000; got 1000000000"),
    (["--learning_rate=nan"], "learning_rate: must be in [1e-12, 1]; got nan"),
    (["--learning_rate=1e30"], "learning_rate: must be in [1e-12, 1]; got 1e+30"),
    (["--learning_rate=1e-300"], "learning_rate: must be in [1e-12, 1]; got 1e-300"),
    (["--clip_norm=1e-300"], "clip_norm: must be in [1e-12, 1e12]; got 1e-300"),
    (["--ema_momentum=0.99999999999"], "ema_momentum: must be in [0, 1), and at most 0.9999999, "),
    (["--checkpoint_minutes=nan"], "checkpoint_minutes: must be a number of at least 0; got nan"),
    (["--seed=-1"], "flag --seed=-1: -1 is not an integer in the range [0, 2147483647]"),
    (["--seed=2147483648"], "flag --seed=2147483648: 2147483648 is not an integer in the range"),
    (["--seed=9999999999999999999999"], "is not an integer in the range [0, 2147483647]"),
    (["--resize=100000"], "flag --resize=100000: 100000 is not an integer in the range [0, 65536]"),
    (["--resize=60000"], "batch_size: 16 events of size 60000x60000 need at least "),
    (["--data=folder:~nobody/x"], "data: folder ~nobody/x does not exist"),
    (["--preset=glow_cifar10", "--data=idx:{tmp}", "--batch_size=8"],
     "divisible by 2**num_levels = 8; received (12, 12, 1). --crop and --resize change the size of images."),
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
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
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
    shutil.rmtree(broken / "checkpoints")
    out = f"--out={tmp_path / 'grid.png'}"
    for main, flags, message in [
            (evaluate.main, [f"--run_dir={tmp_path}", "--data=digits"],
             "is not a run directory: it has no config.json"),
            (evaluate.main, [f"--run_dir={empty}", "--data=digits"], "has neither model.keras nor a checkpoint yet"),
            (evaluate.main, [f"--run_dir={broken}", "--data=digits"],
             "model.keras cannot be loaded, and there is no checkpoint"),
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
            (sample.main, [f"--run_dir={digits_run}", out, "--temperature=nan"], "temperature: must be a finite"),
            (sample.main, [f"--run_dir={digits_run}", out, "--num=2000000000"],
             "num: a grid of 2,000,000,000 images of 8x8 pixels would have 402,499x402,490 pixels; a picture has at"),
            (sample.main, [f"--run_dir={digits_run}", out, "--enlarge=1000000"], "flag --enlarge=1000000"),
            (sample.main, [f"--run_dir={digits_run}", out, "--enlarge=60000"], "num or enlarge: a grid of 64 images"),
            (interpolate.main, [f"--run_dir={digits_run}", "--data=digits", out, "--steps=1000000000"],
             "flag --steps=1000000000"),
            (evaluate.main, [f"--run_dir={digits_run}", "--data=digits", f"--batch_size={10**30}"], "flag --batch"),
            (evaluate.main, ["--run_dir=", "--data=digits"], "flag --run_dir=: must be a path, not empty"),
            (serving.main, [f"--run_dir={digits_run}", "--name="], "name: must have at least one printable character"),
            (serving.main, [f"--run_dir={digits_run}", "--batch_size=10000000"],
             "batch_size: a warm-up request may have at most 67,108,864 values; batches of 10,000,000 have 640"),
    ]:
        assert message in error_of(main, *flags)


@pytest.mark.parametrize(("out", "message"), [
    ("", "must be a path, not empty"), ("{tmp}", "is a directory; add the name of a file"),
    ("{tmp}/no/grid.png", "the directory {tmp}/no does not exist"), ("/dev/null", "is not a file"),
    ("{tmp}/file/grid.png", "the directory {tmp}/file does not exist"), (f"{'a' * 300}.png", "File name too long"),
    ("{tmp}/grid.jpg", "the picture is written in the format PNG; use the ending .png instead of .jpg")])
def test_pictures_that_cannot_be_written_are_reported_first(out, message, tmp_path):
    (tmp_path / "file").touch()
    before = sorted(tmp_path.iterdir())
    for main, flags in ((sample.main, []), (interpolate.main, ["--data=digits"]), (figure2d.main, [])):
        line = error_of(main, "--run_dir=nowhere", f"--out={out.format(tmp=tmp_path)}", *flags)
        assert line.startswith("error: flag --out=") and message.format(tmp=tmp_path) in line
    assert sorted(tmp_path.iterdir()) == before


def test_a_tilde_is_the_home_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert f"run_dir: {tmp_path}/runs is not a run directory" in error_of(
        evaluate.main, "--run_dir=~/runs", "--data=digits")


@pytest.mark.parametrize(("error", "message"), [
    (MemoryError(), "error: not enough memory; choose a smaller --batch_size"),
    (np.zeros, "error: not enough memory for an array of shape (1000000000000,); choose a smaller --batch_size"),
    (tf.errors.ResourceExhaustedError(None, None, "{{node a}}\nOOM when allocating tensor with shape[5,9] and so on"),
     "error: not enough memory for an array of shape[5,9]; choose a smaller --batch_size"),
    (tf.errors.ResourceExhaustedError(None, None, "a.png; No space left on device"),
     "error: No space left on device: a.png; No space left on device")])
def test_the_end_of_memory_is_one_line(error, message, digits_run, monkeypatch):
    def fails(*args, **kwargs):
        if isinstance(error, Exception):
            raise error
        return error(10**12)

    monkeypatch.setattr(trained_models, "load", fails)
    assert error_of(evaluate.main, f"--run_dir={digits_run}", "--data=digits") == message


def test_batches_that_do_not_fit_are_reported(digits_run, monkeypatch, tmp_path):
    monkeypatch.setattr(_memory, "total_bytes", lambda: 2**18)
    flags = [f"--run_dir={digits_run}", "--data=digits"]
    assert error_of(evaluate.main, *flags, "--batch_size=1000") == (
        "error: batch_size: 297 events of size 8x8 need at least 0.7 MiB of memory at once; this machine has 0.2 MiB; "
        "choose a smaller value")
    assert "num or enlarge: 64 events of size 80x80 need at least 14.1 MiB" in error_of(
        sample.main, flags[0], f"--out={tmp_path}/x.png", "--enlarge=10")
    assert "steps: 900 events of size 8x8 need at least" in error_of(
        interpolate.main, *flags, f"--out={tmp_path}/x.png", "--steps=900", "--num=1")


def test_presets_that_do_not_suit_the_data_are_reported(monkeypatch, tmp_path, capsys):
    """The run stops before the first step."""
    def stop(*args, **kwargs):
        raise ValueError("stopped")

    monkeypatch.setattr(training_loop, "train", stop)
    monkeypatch.setattr(training_loop, "build_model", lambda *args: object())
    assert train.main(["train", "--preset=glow_cifar10", "--data=digits", f"--output_dir={tmp_path / 'run'}"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "warning: preset: glow_cifar10 is for images 32x32x3 (CIFAR-10); digits has images 8x8x1; --list_presets shows "
        "what each preset is for", "error: stopped"]
    with tfds.testing.mock_data(num_examples=80):
        assert train.main(["train", "--preset=glow_cifar10", "--data=tfds:cifar10",
                           f"--output_dir={tmp_path / 'new'}"]) == 1
    assert capsys.readouterr().err.startswith(
        "warning: preset: glow_cifar10 has the published size, for GPUs, and was not trained to the end here; "
        "1000 epochs of 72 images take about 3.2 hours on two CPU cores; --list_presets lists presets that train in")


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
