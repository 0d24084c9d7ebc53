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
    monkeypatch.setattr(precision, "_seconds", lambda dtype: 3.0 if slow and dtype == tf.bfloat16 else 1.0)
    assert precision.bfloat16_is_slow.__wrapped__() == slow  # Without the cache of the process.


def test_measurement_takes_a_positive_time():
    assert 0 < precision._seconds(tf.float32) < 10


@pytest.mark.parametrize(("preset", "slow", "expected"), [
    (MIXED, True, "float32"), (MIXED, False, None), (PLAIN, True, None)])
def test_precision_of_a_new_run(monkeypatch, tmp_path, capsys, preset, slow, expected):
    monkeypatch.setattr(precision, "bfloat16_is_slow", lambda: slow)
    assert train._other_dtype(preset, RunDirectory(tmp_path)) == expected
    assert ("compute in float32" in capsys.readouterr().out) == (expected is not None)


@pytest.mark.parametrize(("recorded", "expected"), [("float32", "float32"), ("mixed_bfloat16", None), (None, None)])
def test_a_run_keeps_its_precision_on_every_machine(monkeypatch, tmp_path, recorded, expected):
    monkeypatch.setattr(precision, "bfloat16_is_slow", lambda: pytest.fail("the run has decided"))
    flow = {**MIXED.flow, "image_shape": [32, 32, 3], "network_dtype": recorded}
    (tmp_path / "config.json").write_text(json.dumps({"flow": flow, "epochs": 1}))
    monkeypatch.setattr(RunDirectory, "config", lambda self: json.loads((tmp_path / "config.json").read_text()))
    assert train._other_dtype(MIXED, RunDirectory(tmp_path)) == expected


@pytest.mark.slow
def test_training_in_another_precision_than_the_preset(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(precision, "bfloat16_is_slow", lambda: True)
    command = ["train", "--preset=fashion_mnist_glow_smoke", "--data=idx:/usr/share/datasets/fashion-mnist",
               f"--output_dir={tmp_path / 'run'}", "--tensorboard=false", "--report=false"]
    assert train.main(command) == 0, capsys.readouterr()
    assert json.loads((tmp_path / "run" / "config.json").read_text())["flow"]["network_dtype"] == "float32"
    monkeypatch.setattr(precision, "bfloat16_is_slow", lambda: False)
    assert train.main(command) == 0 and "was already finished" in capsys.readouterr().out
