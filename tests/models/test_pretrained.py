# SPDX-License-Identifier: Apache-2.0
"""Tests of the trained models in the package."""

import hashlib
import json
import os
import pathlib
import shutil

import numpy as np
import pytest
from paths import ROOT

import tfp_glow
from tfp_glow.models import pretrained
from trainers import evaluate, sample
from trainers.runs.run_directory import RunDirectory

pytestmark = pytest.mark.matrix

NAME = "fashion_mnist_best"
NAMES = sorted(path.name for path in (ROOT / "pretrained").iterdir())
CIFAR10 = pathlib.Path(os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")).expanduser() / "cifar10"
DEBIAN = pathlib.Path("/usr/share/datasets/fashion-mnist")


@pytest.fixture(scope="module")
def model():
    return tfp_glow.load_pretrained(NAME)


def test_samples_are_reconstructed_and_likelier_at_lower_temperature(model):
    images = model.sample(64, seed=0)
    assert images.shape == (64, 28, 28, 1) and images.dtype == "uint8"
    np.testing.assert_array_equal(model.reconstruct(images), images)
    bits = [model.bits_per_dim(model.sample(64, temperature=t, seed=0), seed=0).numpy().mean() for t in (1.0, 0.7, 0.4)]
    assert 4.0 > bits[0] > bits[1] > bits[2] > 1.0


@pytest.mark.parametrize("name", NAMES)
def test_each_model_is_small_and_complete_and_its_card_states_the_result(name):
    run = RunDirectory(pretrained.directory(name))
    assert sum(path.stat().st_size for path in run.path.rglob("*")) <= 8e6
    assert run.is_finished() and run.config()["preset"] == name
    history = run.history()
    best = min(history, key=lambda line: line["val_bits_per_dim"])
    assert len(history) == run.config()["epochs"]
    # The end evaluates in another graph than training. In bfloat16, graphs that fuse SiLU otherwise differ by 3e-5.
    assert run.result()["val_bits_per_dim"] == pytest.approx(best["val_bits_per_dim"], rel=1e-5)
    card = (run.path / "README.md").read_text(encoding="utf-8")
    assert card.startswith(f"# {name}\n") and "**Limits.**" in card and "**Use.**" in card
    assert f"epoch {best['epoch']}" in card and f"| {best['val_bits_per_dim']:.3f} |" in card
    for function in (tfp_glow.load_pretrained, pretrained.directory):
        assert f'`"{name}"`' in function.__doc__


def evaluated(name, spec, capsys):
    """Returns the results of `trainers.evaluate`, and the model card."""
    run_dir = pretrained.directory(name)
    assert evaluate.main(["evaluate", f"--run_dir={run_dir}", f"--data={spec}"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    return result, (run_dir / "README.md").read_text(encoding="utf-8")


def test_the_digits_reach_the_stated_number(capsys):
    result, card = evaluated("digits_glow", "digits", capsys)
    assert result["num_examples"] == 297 and f"**{result['bits_per_dim']:.3f}** ({result['nats']:.1f} nats" in card
    digits = tfp_glow.load_pretrained("digits_glow")
    images = digits.sample(64, temperature=0.7, seed=0)
    np.testing.assert_array_equal(digits.reconstruct(images), images)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("digits")])
def test_each_model_reaches_the_stated_number(name, capsys):
    is_cifar10 = name.startswith("cifar10")
    if not (CIFAR10 if is_cifar10 else DEBIAN).exists():
        pytest.skip("needs CIFAR-10 in TFDS_DATA_DIR" if is_cifar10 else "needs Debian's package dataset-fashion-mnist")
    result, card = evaluated(name, "tfds:cifar10" if is_cifar10 else f"idx:{DEBIAN}", capsys)
    assert result["num_examples"] == 10_000 and f"**{result['bits_per_dim']:.3f}** ({result['nats']:.1f} nats" in card
    assert f"one histogram per pixel and channel: {result['baseline_bits_per_dim']:.3f} |" in card


def test_trainers_accept_the_run_directory(tmp_path, capsys):
    assert sample.main(["sample", f"--run_dir={pretrained.directory(NAME)}", "--num=4", "--seed=1",
                        f"--out={tmp_path / 'grid.png'}"]) == 0
    assert (tmp_path / "grid.png").exists() and NAME in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.skipif(not DEBIAN.exists(), reason="needs Debian's package dataset-fashion-mnist")
def test_bits_per_dim_on_all_test_images(capsys):
    assert evaluate.main(["evaluate", f"--run_dir={pretrained.directory(NAME)}", f"--data=idx:{DEBIAN}"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    page = " ".join((ROOT / "docs" / "results.md").read_text(encoding="utf-8").split())
    assert result["num_examples"] == 10000
    assert f"It reaches **{result['bits_per_dim']:.3f} bits/dim** on all 10,000 test images" in page
    assert f"A histogram per pixel has {result['baseline_bits_per_dim']:.3f}" in page


@pytest.mark.parametrize("name", ["fashion", None, "../runs"])
def test_unknown_names_raise(name):
    with pytest.raises(ValueError, match="`name` must be one of the trained models.*fashion_mnist_best"):
        tfp_glow.load_pretrained(name)


# A wheel without the trained models.


@pytest.fixture
def elsewhere(monkeypatch, tmp_path):
    """Hides the trained models of the checkout, and makes `tmp_path` the home directory."""
    monkeypatch.setattr(pretrained, "_PLACES", (tmp_path / "absent",))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TFP_GLOW_PRETRAINED", raising=False)
    return tmp_path


def test_the_hashes_are_those_of_the_files():
    files = {path.name: {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(path.iterdir())
                         if file.name != "README.md"} for path in sorted((ROOT / "pretrained").iterdir())}
    assert json.loads((ROOT / "tfp_glow" / "models" / "pretrained.json").read_text()) == files


def test_absent_models_name_the_remedy(elsewhere, monkeypatch):
    for place in ("", str(elsewhere / "empty")):
        monkeypatch.setenv("TFP_GLOW_PRETRAINED", place)
        with pytest.raises(FileNotFoundError, match="is not in this installation .* TFP_GLOW_PRETRAINED to a folder"):
            tfp_glow.load_pretrained(NAME)
    with pytest.raises(ValueError, match="`name` must be one of the trained models"):
        tfp_glow.load_pretrained("fashion")


def test_a_folder_of_models(elsewhere, monkeypatch):
    shutil.copytree(ROOT / "pretrained" / NAME, elsewhere / "models" / NAME)
    shutil.copytree(ROOT / "pretrained" / NAME, elsewhere / "models" / "of_mine")
    monkeypatch.setenv("TFP_GLOW_PRETRAINED", str(elsewhere / "models"))
    assert pretrained.directory(NAME) == elsewhere / "models" / NAME
    assert pretrained.directory("of_mine") == elsewhere / "models" / "of_mine"


def test_models_are_fetched_once_and_verified(elsewhere, monkeypatch):
    server = shutil.copytree(ROOT / "pretrained", elsewhere / "server")
    monkeypatch.setenv("TFP_GLOW_PRETRAINED", server.as_uri() + "/")
    cached = elsewhere / "home" / ".cache" / "tfp_glow" / "pretrained" / NAME
    assert pretrained.directory(NAME) == cached
    assert sorted(path.name for path in cached.iterdir()) == sorted(
        path.name for path in (server / NAME).iterdir() if path.name != "README.md")
    (cached / "config.json").write_text("{}")  # A damaged file is fetched again.
    assert pretrained.directory(NAME) == cached and RunDirectory(cached).config()["preset"] == NAME
    shutil.rmtree(server)
    assert pretrained.directory(NAME) == cached
    (cached / "model.keras").unlink()
    with pytest.raises(FileNotFoundError, match="cannot be fetched from file:.*Connect to the network, or set"):
        pretrained.directory(NAME)
    (server / NAME).mkdir(parents=True)
    (server / NAME / "model.keras").write_bytes(b"other")
    with pytest.raises(FileNotFoundError, match="is not the one of this version of tfp_glow: its SHA-256 is"):
        pretrained.directory(NAME)
    assert not (cached / "model.keras").exists()


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "nothing://place", "http://[bad", "http://a b", "http://a:b"])
def test_a_url_without_answer_is_one_clear_error(url, elsewhere, monkeypatch):
    monkeypatch.setenv("TFP_GLOW_PRETRAINED", url)
    with pytest.raises(FileNotFoundError, match="cannot be fetched from"):
        pretrained.directory(NAME)
