# SPDX-License-Identifier: Apache-2.0
"""Tests of the trained models in the package."""

import json
import pathlib

import numpy as np
import pytest

import tfp_glow
from tfp_glow.models import pretrained
from trainers import evaluate, sample
from trainers.runs.run_directory import RunDirectory

NAME = "fashion_mnist_best"
DEBIAN = pathlib.Path("/usr/share/datasets/fashion-mnist")


@pytest.fixture(scope="module")
def model():
    return tfp_glow.load_pretrained(NAME)


def test_run_directory_is_small_and_complete():
    run = RunDirectory(pretrained.directory(NAME))
    assert sum(path.stat().st_size for path in run.path.rglob("*")) <= 8e6
    assert run.is_finished() and run.config()["preset"] == NAME
    history = run.history()
    assert len(history) == run.config()["epochs"] and sum(line["seconds"] for line in history) <= 150 * 60
    best = min(line["val_bits_per_dim"] for line in history)
    assert run.result()["val_bits_per_dim"] == pytest.approx(best) and best < 3.14


def test_samples_are_reconstructed_and_likelier_at_lower_temperature(model):
    images = model.sample(64, seed=0)
    assert images.shape == (64, 28, 28, 1) and images.dtype == "uint8"
    np.testing.assert_array_equal(model.reconstruct(images), images)
    bits = [model.bits_per_dim(model.sample(64, temperature=t, seed=0), seed=0).numpy().mean() for t in (1.0, 0.7, 0.4)]
    assert 4.0 > bits[0] > bits[1] > bits[2] > 1.0


def test_trainers_accept_the_run_directory(tmp_path, capsys):
    assert sample.main(["sample", f"--run_dir={pretrained.directory(NAME)}", "--num=4", "--seed=1",
                        f"--out={tmp_path / 'grid.png'}"]) == 0
    assert (tmp_path / "grid.png").exists() and NAME in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.skipif(not DEBIAN.exists(), reason="needs Debian's package dataset-fashion-mnist")
def test_bits_per_dim_on_all_test_images(capsys):
    assert evaluate.main(["evaluate", f"--run_dir={pretrained.directory(NAME)}", f"--data=idx:{DEBIAN}",
                          "--baseline=false"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["num_examples"] == 10000 and result["bits_per_dim"] < 3.14


@pytest.mark.parametrize("name", ["fashion", None, "../runs"])
def test_unknown_names_raise(name):
    with pytest.raises(ValueError, match="`name` must be one of the trained models.*fashion_mnist_best"):
        tfp_glow.load_pretrained(name)
