# SPDX-License-Identifier: Apache-2.0
"""The precision of networks in training: float32 where the preset's bfloat16 would be slow; a run keeps its own."""

import json

import pytest
import tensorflow as tf

from trainers import train
from trainers.presets import PRESETS
from trainers.runs.run_directory import RunDirectory
from trainers.training import precision

MIXED, PLAIN = PRESETS["cifar10_glow"], PRESETS["digits_glow"]


@pytest.mark.parametrize("slow", [False, True])
def test_a_conv_that_is_slow_in_bfloat16(monkeypatch, slow):
    def timer(dtype):  # The first call traces, and other work slows down some calls.
        least = 7.0 if slow and dtype == tf.bfloat16 else 0.9 if dtype == tf.bfloat16 else 1.0
        noise = iter([50.0, *(1.0 + k % 3 for k in range(20))])
        return lambda: least * next(noise)

    monkeypatch.setattr(precision, "_timer", timer)
    assert precision.bfloat16_is_slow.__wrapped__() == slow  # Without the cache of the process.


def test_timer_computes_gradients_in_its_dtype(monkeypatch):
    seen, conv2d = [], tf.nn.conv2d
    monkeypatch.setattr(tf.nn, "conv2d", lambda images, *args: seen.append(images.dtype) or conv2d(images, *args))
    assert precision._timer(tf.bfloat16)() > 0.0 and precision._timer(tf.float32)() > 0.0
    assert seen == [tf.bfloat16, tf.float32]


@pytest.mark.parametrize(("preset", "slow", "expected"), [
    (MIXED, True, "float32"), (MIXED, False, None), (PLAIN, True, None)])
def test_precision_of_a_new_run(tmp_path, capsys, preset, slow, expected):
    assert train._other_dtype(preset, RunDirectory(tmp_path), lambda: slow) == expected
    assert ("compute in float32" in capsys.readouterr().out) == (expected is not None)


@pytest.mark.parametrize(("recorded", "expected"), [("float32", "float32"), ("mixed_bfloat16", None), (None, None)])
def test_a_run_keeps_its_precision_on_every_machine(monkeypatch, tmp_path, recorded, expected):
    flow = {**MIXED.flow, "image_shape": [32, 32, 3], "network_dtype": recorded}
    (tmp_path / "config.json").write_text(json.dumps({"flow": flow, "epochs": 1}))
    monkeypatch.setattr(RunDirectory, "config", lambda self: json.loads((tmp_path / "config.json").read_text()))
    run = RunDirectory(tmp_path)
    assert train._other_dtype(MIXED, run, lambda: pytest.fail("the run has decided")) == expected
    assert train._other_dtype(PLAIN, run, lambda: pytest.fail("the run has decided")) == recorded


@pytest.mark.slow
def test_training_in_another_precision_than_the_preset(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(precision, "bfloat16_is_slow", lambda: True)
    command = ["train", "--preset=fashion_mnist_glow_smoke", "--data=idx:/usr/share/datasets/fashion-mnist",
               f"--output_dir={tmp_path / 'run'}", "--tensorboard=false", "--report=false"]
    assert train.main(command) == 0, capsys.readouterr()
    assert json.loads((tmp_path / "run" / "config.json").read_text())["flow"]["network_dtype"] == "float32"
    monkeypatch.setattr(precision, "bfloat16_is_slow", lambda: False)
    assert train.main(command) == 0 and "was already finished" in capsys.readouterr().out
