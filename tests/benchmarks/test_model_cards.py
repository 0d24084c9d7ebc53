# SPDX-License-Identifier: Apache-2.0
"""`benchmarks.pretrained` ships rounded weights, and its cards state what it measured."""

import json

import keras
import numpy as np
import pytest

import tfp_glow
from benchmarks import pretrained
from tfp_glow.models.pretrained import directory
from trainers.runs.run_directory import RunDirectory


def test_weights_keep_16_significant_bits():
    weights = np.random.RandomState(0).standard_normal(10_000) * 10.0 ** np.arange(-20, 20).repeat(250)
    weights = np.concatenate([weights, [0.0, 1.0, -2.5, 1.0 + 2.0**-15]]).astype("float32")
    kept = pretrained.rounded(weights)
    np.testing.assert_array_equal(kept[-4:], weights[-4:])
    assert np.all(np.abs(kept - weights) <= np.abs(weights) * 2.0**-16)
    assert not np.any(kept.view(np.uint32) % 2**7)
    assert np.mean(kept != weights) > 0.9


def test_a_shipped_model_is_smaller_and_has_its_measured_card(tmp_path, monkeypatch):
    monkeypatch.setitem(pretrained._DATA, "digits", ("digits", "someone"))
    assert pretrained.main([f"--run_dir={directory('digits_glow')}", "--data=digits", f"--folder={tmp_path}"]) is None
    run = RunDirectory(tmp_path / "digits_glow")
    before = keras.saving.load_model(directory("digits_glow") / "model.keras", compile=False)
    after = keras.saving.load_model(run.path / "model.keras", compile=False)
    assert (run.path / "model.keras").stat().st_size < 0.9 * (directory("digits_glow") / "model.keras").stat().st_size
    for one, other in zip(before.weights, after.weights, strict=True):
        np.testing.assert_allclose(other, one, rtol=2.0**-15)
    card = (run.path / "README.md").read_text(encoding="utf-8")
    # The card of the repository has the same number. Rounded weights change it by less than its last digit.
    assert "**2.061**" in card and "float32 networks: 297 of 297" in card
    arguments = card[card.index("`tfp_glow.glow(") + 1:card.index(")`", card.index("`tfp_glow.glow(")) + 1]
    flow = eval(arguments, {"tfp_glow": tfp_glow})
    assert sum(np.prod(v.shape) for v in flow.trainable_variables) == 307_296
    assert "307,296 trainable numbers" in card


def test_a_training_that_goes_on_is_refused(tmp_path, capsys):
    (tmp_path / "config.json").write_text(json.dumps({"preset": "digits_glow"}), encoding="utf-8")
    with pytest.raises(SystemExit):
        pretrained.main([f"--run_dir={tmp_path}", "--data=tfds:cifar10", f"--folder={tmp_path / 'x'}"])
    assert "must be a finished training" in capsys.readouterr().err
