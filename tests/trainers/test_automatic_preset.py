# SPDX-License-Identifier: Apache-2.0
"""The preset of `--preset=auto`: what it chooses for which data, that its flow fits the data, and a training."""

import json
import subprocess
import sys
import types

import numpy as np
import pytest
from paths import ROOT

import tfp_glow
from trainers import train
from trainers.presets import PRESETS, automatic
from trainers.runs.run_directory import RunDirectory


def some_data(shape, number, num_bits=8):
    return types.SimpleNamespace(event_shape=shape, num_bits=num_bits, num_examples=lambda split: number, name="set",
                                 description=f"images {'x'.join(map(str, shape))}")


@pytest.mark.parametrize(("shape", "base", "levels"), [
    ((8, 8, 1), "digits_glow", 2), ((10, 12, 3), "digits_glow", 1), ((28, 28, 1), "fashion_mnist_coupling", 2),
    ((32, 32, 3), "cifar10_glow", 3), ((28, 28, 3), "cifar10_glow", 2), ((64, 64, 1), "cifar10_glow", 3),
    ((30, 30, 1), "cifar10_glow", 1), ((48, 16, 2), "cifar10_glow", 3)])
def test_the_choice_fits_images(shape, base, levels):
    choice = automatic(some_data(shape, 20_000), num_cores=2)
    flow = dict(choice.preset.flow)
    assert (choice.base, flow["num_levels"], choice.preset.flip) == (base, levels, False)
    small = {"width": 4, "num_steps": 1} if flow["flow"] == "glow" else {"width": 4, "num_blocks": 1, "top_sizes": (4,)}
    build = getattr(tfp_glow, flow.pop("flow"))
    assert build(shape, **{**flow, **small}).event_shape == list(shape)


@pytest.mark.parametrize(("size", "base"), [(1, "toy_maf"), (2, "toy_nsf"), (30, "toy_nsf")])
def test_the_choice_fits_vectors(size, base):
    choice = automatic(some_data((size,), 500, num_bits=None), num_cores=2)
    assert choice.base == base and choice.preset.batch_size <= 500
    flow = dict(choice.preset.flow)
    assert getattr(tfp_glow, flow.pop("flow"))(size, **flow).event_shape == [size]


def test_the_preset_on_its_own_data_keeps_its_epochs():
    choice = automatic(some_data((8, 8, 1), 1350), num_cores=2)
    assert choice.preset == PRESETS["digits_glow"] and choice.minutes == pytest.approx(3.4, abs=0.1)


@pytest.mark.parametrize(("shape", "number"), [((8, 8, 1), 10**6), ((28, 28, 1), 60_000), ((64, 64, 3), 10**5),
                                               ((32, 32, 3), 45_000), ((32, 32, 3), 10**7), ((16, 16, 3), 10)])
def test_time_is_bounded_and_a_core_halves_the_epochs(shape, number):
    two, one = (automatic(some_data(shape, number), num_cores=cores) for cores in (2, 1))
    assert max(one.minutes, two.minutes) <= 45.0

    def examples(choice):
        steps = choice.preset.steps_per_epoch
        assert 4 <= choice.preset.epochs <= 100 and choice.preset.epochs > 3 * choice.preset.warmup_epochs
        return choice.preset.epochs * (steps * choice.preset.batch_size if steps else number)

    assert examples(one) <= examples(two) and two.preset.batch_size <= number
    if two.preset.epochs < 100:
        assert examples(one) == pytest.approx(examples(two) / 2, rel=0.2) or one.minutes < 44.0
    assert automatic(some_data(shape, number), num_cores=64) == two  # Speed on more cores was not measured.


def test_a_machine_that_is_slow_in_bfloat16_trains_for_fewer_epochs():
    fast, slow = (automatic(some_data((32, 32, 3), 45_000), 2, is_slow) for is_slow in (False, True))
    assert slow.preset.epochs <= fast.preset.epochs / 2.0 and slow.minutes <= 45.0
    assert automatic(some_data((8, 8, 1), 1350), 2, True) == automatic(some_data((8, 8, 1), 1350), 2)  # All float32.


@pytest.mark.parametrize("slow", [False, True])
def test_a_run_keeps_its_epochs_on_another_machine(tmp_path, monkeypatch, capsys, slow):
    run, data = RunDirectory(tmp_path), some_data((32, 32, 3), 45_000)
    options = types.SimpleNamespace(epochs=None, network_dtype=None, batch_size=None)
    epochs = train._automatic(data, options, run, lambda: slow).epochs
    assert (epochs < 6) == slow and f"with {epochs} epochs" in capsys.readouterr().out
    options.network_dtype = "mixed_bfloat16"
    assert train._automatic(data, options, run, lambda: slow).epochs > 6
    monkeypatch.setattr(RunDirectory, "exists", lambda self: True)
    monkeypatch.setattr(RunDirectory, "config", lambda self: {"epochs": 9, "steps_per_epoch": 7})
    kept = train._automatic(data, options, run, lambda: slow)
    assert (kept.epochs, kept.steps_per_epoch) == (9, 7)


def test_large_sets_have_shorter_epochs(tmp_path, capsys):
    """So the learning rate falls, and the time is bounded, also if one epoch of all images would take too long."""
    data = some_data((64, 64, 3), 1_281_167)
    options = types.SimpleNamespace(epochs=None, network_dtype="float32", batch_size=None)
    preset = train._automatic(data, options, RunDirectory(tmp_path), None)
    printed = capsys.readouterr().out
    assert preset.epochs == 10 and f"with 10 epochs of {preset.steps_per_epoch} steps for 1,281,167 images" in printed
    assert "about 45 minutes" in printed
    options.batch_size = 2 * preset.batch_size
    twice = train._automatic(data, options, RunDirectory(tmp_path), None)
    assert twice.steps_per_epoch == preset.steps_per_epoch // 2
    options.epochs = -3
    with pytest.raises(ValueError, match="epochs: must be at least 1; got -3"):
        train._automatic(data, options, RunDirectory(tmp_path), None)


def test_few_images_get_noise_on_pixels():
    few, many = (automatic(some_data((32, 32, 3), n), 2).preset.pixel_noise for n in (500, 50_000))
    assert few > many == 0.0


@pytest.mark.parametrize(("shape", "remedy"), [((65, 64, 3), "--resize=64 makes"), ((33, 32, 1), "--resize=32 resizes"),
                                               ((1, 4, 1), "--resize=2 resizes")])
def test_images_that_no_preset_fits(shape, remedy):
    with pytest.raises(ValueError, match=f"at most 64x64 pixels with even sides; set has images .*; {remedy}"):
        automatic(some_data(shape, 1000), 2)


@pytest.mark.slow
def test_a_training_prints_the_choice_and_resumes(tmp_path, capsys):
    np.save(tmp_path / "table.npy", np.random.RandomState(0).standard_normal((300, 3)).astype("float32"))
    command = ["train", "--preset=auto", f"--data=array:{tmp_path / 'table.npy'}", f"--output_dir={tmp_path / 'run'}",
               "--epochs=2", "--tensorboard=false", "--report=false"]
    assert train.main(command) == 0
    assert "--preset=auto chose toy_nsf with 2 epochs for" in capsys.readouterr().out
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["preset"] == "auto" and config["epochs"] == 2
    assert train.main(command) == 0 and "was already finished" in capsys.readouterr().out


@pytest.mark.slow
def test_two_replicas_start_before_the_data_is_read(tmp_path):
    """Runs the program in a new process: TensorFlow cannot create logical devices after it has run an operation."""
    np.save(tmp_path / "table.npy", np.random.RandomState(0).standard_normal((300, 3)).astype("float32"))
    done = subprocess.run([
        sys.executable, "-m", "trainers.train", "--preset=auto", f"--data=array:{tmp_path / 'table.npy'}",
        f"--output_dir={tmp_path / 'run'}", "--epochs=1", "--batch_size=100", "--strategy=mirrored", "--replicas=2",
        "--tensorboard=false", "--report=false"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "2 replica(s)" in done.stdout, done.stderr
