# SPDX-License-Identifier: Apache-2.0
"""`benchmarks.pretrained` ships rounded weights, and its cards state what it measured."""

import json

import keras
import numpy as np
import pytest
from small_flows import eagerly, moved

import tfp_glow
from benchmarks import pictures, pretrained
from tfp_glow.models.pretrained import directory
from trainers.runs.run_directory import RunDirectory


def test_weights_keep_17_significant_bits():
    weights = np.random.RandomState(0).standard_normal(10_000) * 10.0 ** np.arange(-20, 20).repeat(250)
    weights = np.concatenate([weights, [0.0, 1.0, -2.5, 1.0 + 2.0**-15]]).astype("float32")
    kept = pretrained.rounded(weights)
    np.testing.assert_array_equal(kept[-4:], weights[-4:])
    assert np.all(np.abs(kept - weights) <= np.abs(weights) * 2.0**-16)
    assert not np.any(kept.view(np.uint32) % 2**7)
    assert np.mean(kept != weights) > 0.9
    assert pretrained.rounded(np.float32(0.3)).shape == ()


def test_a_shipped_model_is_smaller_and_has_its_measured_card(tmp_path, monkeypatch):
    monkeypatch.setitem(pretrained._DATA, "digits", ("digits", "someone"))
    with eagerly():
        assert pretrained.main(
            [f"--run_dir={directory('digits_glow')}", "--data=digits", f"--folder={tmp_path}"]) is None
    run = RunDirectory(tmp_path / "digits_glow")
    before = keras.saving.load_model(directory("digits_glow") / "model.keras", compile=False)
    after = keras.saving.load_model(run.path / "model.keras", compile=False)
    assert (run.path / "model.keras").stat().st_size < 0.9 * (directory("digits_glow") / "model.keras").stat().st_size
    for one, other in zip(before.weights, after.weights, strict=True):
        np.testing.assert_allclose(other, one, rtol=2.0**-15)
    card = (run.path / "README.md").read_text(encoding="utf-8")
    # The card of the repository has the same number. Rounded weights change it by less than its last digit.
    assert "**2.061**" in card and "float32 networks, as in the file: 297 of 297" in card
    arguments = card[card.index("`tfp_glow.glow(") + 1:card.index(")`", card.index("`tfp_glow.glow(")) + 1]
    flow = eval(arguments, {"tfp_glow": tfp_glow})
    assert sum(np.prod(v.shape) for v in flow.trainable_variables) == 307_296
    assert "307,296 trainable numbers" in card


def test_models_with_classes():
    """Gray images have the class with the fewest bits. A row of samples has the same latents in every class."""
    model = tfp_glow.FlowModel(moved(tfp_glow.glow((4, 4, 1), 1, 1, 4, num_classes=3, seed=0)))
    image = np.full((1, 4, 4, 1), 128, "uint8")
    bits = [model.bits_per_dim(image, seed=0, condition=label)[0].numpy() for label in range(3)]
    assert pretrained.bits_of_gray(model, 128, 3) == pytest.approx(min(bits), rel=1e-4) and max(bits) > min(bits)
    samples = pictures.of_classes(model, 3, temperature=0.7)
    assert samples.shape == (pictures._ROWS, 3, 4, 4, 1)
    np.testing.assert_array_equal(samples[5, 2], model.sample(1, temperature=0.7, seed=5, condition=2)[0])


def test_a_training_that_goes_on_is_refused(tmp_path, capsys):
    (tmp_path / "config.json").write_text(json.dumps({"preset": "digits_glow"}), encoding="utf-8")
    with pytest.raises(SystemExit):
        pretrained.main([f"--run_dir={tmp_path}", "--data=tfds:cifar10", f"--folder={tmp_path / 'x'}"])
    assert "must be a finished training" in capsys.readouterr().err
