# SPDX-License-Identifier: Apache-2.0
"""What a run must come through in its nights alone. Each takes minutes; test_resuming.py has what takes seconds."""

import dataclasses
import gc
import os
import subprocess
import sys
from pathlib import Path

import kill_runs
import psutil
import pytest
import tensorflow as tf

from trainers import data, presets
from trainers.callbacks import epoch_callbacks
from trainers.training import training_loop
from trainers.runs.checkpoints import Checkpoints
from trainers.runs.run_directory import RunDir

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]


def test_twenty_kills_leave_no_trace(tmp_path):
    assert kill_runs.main([f"--output_dir={tmp_path / 'kills'}", "--kills=20", "--seed=0"]) == 0


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own, of 64 KiB: `(directory, resize)`."""
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


def test_a_full_disk_loses_nothing(digits_run, small_disk, capsys):
    """The disk grows by a little whenever it is full, so that it becomes full wherever a run writes."""
    directory, resize = small_disk
    run = RunDir(directory / "run")
    command = [sys.executable, "-m", "trainers.train", "--preset=digits_glow_smoke", "--data=digits",
               f"--output_dir={run}", "--checkpoint_minutes=0"]
    room, step, stages = 64, 500, []
    while True:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode == 0:
            break
        (line,) = done.stderr.splitlines()
        assert done.returncode == 1 and line.startswith("error: ") and str(directory) in line, done.stderr
        assert "No space left on device" in line
        with capsys.disabled():
            names = [record.name for record in sorted(run.checkpoints.glob("epoch_*.json"))]
            print(f"full at {room} KiB with checkpoints {names}: {line}")
        # What is said to be there is whole: reading it warns of nothing.
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
    """Over 20,000 steps and ten epochs of the trainer's own loop, after two epochs to warm up."""
    sizes, end = [], epoch_callbacks.SaveCheckpoint.on_epoch_end

    def measured(self, epoch, logs=None):
        end(self, epoch, logs)
        gc.collect()
        sizes.append(psutil.Process().memory_info().rss)

    monkeypatch.setattr(epoch_callbacks.SaveCheckpoint, "on_epoch_end", measured)
    toy = data.load("toy:two_moons")
    preset = dataclasses.replace(presets.get("toy_realnvp_smoke"), steps_per_epoch=2000, epochs=12, batch_size=50)
    config = training_loop.configure("toy_realnvp_smoke", preset, "toy:two_moons", toy)
    assert config["steps_per_epoch"] == 2000
    run = RunDir(tmp_path)
    run.open(config)
    training_loop.train(run, config, toy, tf.distribute.get_strategy(), verbose=0)
    growth = [size / sizes[1] - 1.0 for size in sizes[2:]]
    with capsys.disabled():
        print(f"\n{sizes[1] / 2**20:.0f} MiB after 4,000 steps; then, every 2,000 steps, "
              f"{', '.join(f'{part:+.2%}' for part in growth)}")
    assert max(growth) < 0.02
