# SPDX-License-Identifier: Apache-2.0
"""Slow tests of training runs: repeated kills, a full disk and memory. test_resuming.py has the fast tests."""

import dataclasses
import gc
import os
import subprocess
import sys

import kill_runs
import psutil
import pytest
import tensorflow as tf
from paths import ROOT
from small_runs import program_lines

from trainers import data, presets
from trainers.callbacks import checkpoint_saving
from trainers.runs.checkpoints import Checkpoints
from trainers.runs.configuration import configure
from trainers.runs.run_directory import RunDirectory
from trainers.training import training_loop

pytestmark = pytest.mark.slow



def test_twenty_kills_do_not_change_the_result(tmp_path):
    assert kill_runs.main([f"--output_dir={tmp_path / 'kills'}", "--kills=20", "--seed=0"]) == 0


@pytest.fixture
def small_disk(tmp_path):
    """Mounts a file system of 64 KiB. Yields the mount directory and a function that resizes the file system."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("only root may mount file systems")
    directory = tmp_path / "disk"
    directory.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", directory], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no tmpfs here: {mounted.stderr.decode().strip()}")

    def resize(kilobytes):
        subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", directory], check=True)

    yield directory, resize
    subprocess.run(["umount", directory], check=True)


def test_a_full_disk_does_not_change_the_result(digits_run, small_disk, capsys):
    """Enlarges the disk slightly each time it is full, so that many different writes of a run fail."""
    directory, resize = small_disk
    run = RunDirectory(directory / "run")
    command = [sys.executable, "-m", "trainers.train", "--preset=digits_glow_smoke", "--data=digits",
               f"--output_dir={run}", "--checkpoint_minutes=0"]
    room, step, stages = 64, 500, []
    while True:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode == 0:
            break
        (line,) = program_lines(done.stderr)
        assert done.returncode == 1 and line.startswith("error: ") and str(directory) in line, done.stderr
        assert "No space left on device" in line
        with capsys.disabled():
            names = [record.name for record in sorted(run.checkpoints.glob("epoch_*.json"))]
            print(f"full at {room} KiB with checkpoints {names}: {line}")
        # The saved files are complete, so reading them gives no warning.
        held = Checkpoints(run.checkpoints).records() if run.checkpoints.exists() else []
        stages.append(max([(record["epoch"], record["step"]) for record in held], default=(0, 0)))
        assert stages == sorted(stages)
        room += step
        resize(room)
    assert len(set(stages)) > 2
    assert [line["bits_per_dim"] for line in run.history()] == [
        line["bits_per_dim"] for line in digits_run.history()]
    assert kill_runs.ends(run.path, epochs=2) == kill_runs.ends(digits_run.path, epochs=2)


def test_memory_does_not_grow(tmp_path, monkeypatch, capsys):
    """Trains for twelve epochs of 2,000 steps. Memory after the second epoch is the reference."""
    sizes, end = [], checkpoint_saving.SaveCheckpoint.on_epoch_end

    def save_and_measure(self, epoch, logs=None):
        end(self, epoch, logs)
        gc.collect()
        sizes.append(psutil.Process().memory_info().rss)

    monkeypatch.setattr(checkpoint_saving.SaveCheckpoint, "on_epoch_end", save_and_measure)
    toy = data.load("toy:two_moons")
    preset = dataclasses.replace(presets.get("toy_realnvp_smoke"), steps_per_epoch=2000, epochs=12, batch_size=50)
    config = configure("toy_realnvp_smoke", preset, "toy:two_moons", toy)
    assert config["steps_per_epoch"] == 2000
    run = RunDirectory(tmp_path)
    run.open(config)
    scope = tf.distribute.get_strategy()
    training_loop.train(run, config, toy, scope, training_loop.build_model(config, scope), verbose=0)
    growth = [size / sizes[1] - 1.0 for size in sizes[2:]]
    with capsys.disabled():
        print(f"\n{sizes[1] / 2**20:.0f} MiB after 4,000 steps; then, every 2,000 steps, "
              f"{', '.join(f'{part:+.2%}' for part in growth)}")
    assert max(growth) < 0.02
