# SPDX-License-Identifier: Apache-2.0
"""The page in docs/play: its files, its numbers, and the program that writes them. No browser runs here."""

import hashlib
import json
import math
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf
from paths import ROOT
from small_runs import error_of

import tfp_glow
from trainers import data as data_lib
from trainers import page
from trainers.evaluation import latent_paths, scores
from trainers.reporting import page_folder
from trainers.reporting.page_noise import PageNoise

PAGE = ROOT / "docs" / "play"
MODELS = json.loads((PAGE / "models" / "index.json").read_text())["models"]
# What npm has for version 4.22.0 of @tensorflow/tfjs-core, -converter, -backend-cpu and -backend-wasm.
VENDORED = {
    "tf-backend-cpu.es2017.min.js": "5d703dd6791356c98c3131aa6340ca48d82806228dfad8b439e83bcaedbb508e",
    "tf-backend-wasm.es2017.min.js": "bdd8c3c1fb0b37601bc2a122efa20b8d78e2936d104b03a44591be4188c63f65",
    "tf-converter.es2017.min.js": "42a8166c840173bae6180e8ab715a4c811f0371de1b81f28977fd4a7d2c39adf",
    "tf-core.es2017.min.js": "c55367325aa628ed685164d5c4210892e31c6d2d0e8c163a827b15ad330d1eba",
    "tfjs-backend-wasm-simd.wasm": "77ebb28a6d34f371dbbf2086b7f2de8994acd8ea5a3cf1fa24d2c26c840cac7b",
    "tfjs-backend-wasm.wasm": "70a5d516060464e5269f01c74bac1772d6b8ab6cb612acf16b5cdaf61f78d892"}


def test_the_page_is_small_and_complete():
    assert sum(path.stat().st_size for path in PAGE.rglob("*")) <= 10e6
    html = (PAGE / "index.html").read_text()
    named = re.findall(r'(?:src|href)="([^":]+)"', html)
    modules = list((PAGE / "js").glob("*.js"))
    named += [f"js/{name}" for path in modules for name in re.findall(r'from "\./(\w+\.js)"', path.read_text())]
    assert [name for name in named if not (PAGE / name).is_file()] == []
    assert {f"js/{path.name}" for path in modules} <= set(named)
    ids = set(re.findall(r'\bid="([\w-]+)"', html))
    assert set(re.findall(r'\bfor="([\w-]+)"', html)) <= ids
    assert not re.search(r'https?://', html)  # The page loads nothing from elsewhere.


def test_tensorflow_js_is_unchanged():
    files = {path.name: path for path in (PAGE / "vendor").iterdir()}
    assert set(files) == {*VENDORED, "LICENSE", "README.txt"}
    assert {name: hashlib.sha256(files[name].read_bytes()).hexdigest() for name in VENDORED} == VENDORED


@pytest.mark.parametrize("name", MODELS)
def test_the_files_of_a_model_are_complete(name):
    check_files(PAGE / "models" / name)


def check_files(folder):
    """Checks the sizes of all files of a model, and returns its description."""
    about = json.loads((folder / "page.json").read_text())
    size, latent_size = math.prod(about["image_shape"]), math.prod(about["latent_shape"])
    pixel = 1 if about["num_bits"] <= 8 else 2
    assert (folder / "images.bin").stat().st_size == about["images"]["number"] * size * pixel
    assert (folder / "samples.bin").stat().st_size == about["check"]["number"] * size * pixel
    assert len(about["images"]["labels"]) == about["images"]["number"]
    assert len(about["check"]["bits_per_dim"]) == about["check"]["number"]
    assert len(about["test_bits_per_dim"]["percentiles"]) == 101
    if about["data"]["classes"]:
        assert (folder / "directions.bin").stat().st_size == 4 * len(about["data"]["classes"]) * latent_size
    graph = json.loads((folder / "tfjs" / "model.json").read_text())
    (weights,) = graph["weightsManifest"]
    assert sum((folder / "tfjs" / path).stat().st_size for path in weights["paths"]) == sum(
        math.prod(each["shape"]) * (1 if each["dtype"] == "bool" else 2 if "quantization" in each else 4)
        for each in weights["weights"])
    signatures = json.loads((folder / "tfjs" / "signatures.json").read_text())["signatures"]
    assert {"decode_floats", "bits_per_dim_with_noise"} < set(signatures) and len(signatures) == 3
    return about


def read(path, dtype, *shape):
    return np.frombuffer(path.read_bytes(), dtype).reshape(-1, *shape)


def check_numbers(folder, model, data):
    """Checks that the numbers in the folder are those of a model."""
    about = json.loads((folder / "page.json").read_text())
    number, seed = about["check"]["number"], about["check"]["seed"]
    images = read(folder / "images.bin", np.uint8, *model.event_shape)
    noise = PageNoise(seed).uniform((number, *model.event_shape))
    bits = model.functions.to_bits(model.log_prob(images[:number], noise=noise)).numpy()
    np.testing.assert_allclose(about["check"]["bits_per_dim"], bits, atol=1e-5)
    noise = np.random.default_rng(1).random(images.shape, np.float32)
    found = page_folder.exported_function(folder / "tfjs", "bits_per_dim_with_noise")(
        tf.constant(images.astype(np.int32)), tf.constant(noise))
    np.testing.assert_allclose(found, model.functions.to_bits(model.log_prob(images, noise=noise)), atol=1e-5)
    latents = about["check"]["temperature"] * PageNoise(seed).normal((number, *model.latent_shape))
    samples = read(folder / "samples.bin", np.uint8, *model.event_shape)
    assert np.mean(samples != model.decode(latents)) <= 0.01
    (tests, labels), = data_lib.dataset(data, "test", 10**6, shuffle=False)
    test_images = {(image.tobytes(), label) for image, label in zip(tests.numpy(), labels.numpy(), strict=True)}
    assert all((image.tobytes(), label) in test_images
               for image, label in zip(images, about["images"]["labels"], strict=True))
    bits = scores.bits_of_events(model, [tests])
    assert about["test_bits_per_dim"]["mean"] == pytest.approx(bits.mean(), abs=1e-5)
    np.testing.assert_allclose(about["test_bits_per_dim"]["percentiles"][::50], np.percentile(bits, [0, 50, 100]),
                               atol=1e-3)
    directions = read(folder / "directions.bin", "<f4", *model.latent_shape)
    batches = data_lib.dataset(data, "train", 500, shuffle=False)
    for label in (0, 7):
        np.testing.assert_allclose(directions[label], latent_paths.class_direction(model, batches, label), atol=1e-4)


def test_the_numbers_of_the_digits_are_those_of_the_library():
    check_numbers(PAGE / "models" / "digits_glow", tfp_glow.load_pretrained("digits_glow"), data_lib.load("digits"))


def test_generator():
    """xoshiro128** and splitmix32, computed with NumPy's integers of 32 bits."""
    def words(seed):
        with np.errstate(over="ignore"):
            z = np.uint32(seed) + np.arange(1, 5, dtype=np.uint32) * np.uint32(0x9E3779B9)
            z = (z ^ z >> np.uint32(16)) * np.uint32(0x21F0AAAD)
            z = (z ^ z >> np.uint32(15)) * np.uint32(0x735A2D97)
            s = z ^ z >> np.uint32(15)
            rotate = lambda x, k: x << np.uint32(k) | x >> np.uint32(32 - k)  # noqa: E731
            while True:
                yield int(rotate(s[1] * np.uint32(5), 7) * np.uint32(9))
                t = s[1] << np.uint32(9)
                s[2] ^= s[0]
                s[3] ^= s[1]
                s[1] ^= s[2]
                s[0] ^= s[3]
                s[2] ^= t
                s[3] = rotate(s[3], 11)

    for seed in (0, 1, 2**32 - 1):
        expected = [word // 256 / 2**24 for word, _ in zip(words(seed), range(50), strict=False)]
        np.testing.assert_array_equal(PageNoise(seed).uniform((5, 10)).ravel(), np.float32(expected))
    draws = PageNoise(3).normal((50_000,)).astype(np.float64)
    moments = [(draws**k).mean() for k in (1, 2, 3, 4)]
    np.testing.assert_allclose(moments, [0, 1, 0, 3], atol=0.1)
    assert np.corrcoef(draws[:-1], draws[1:])[0, 1] == pytest.approx(0, abs=0.02)
    np.testing.assert_array_equal(PageNoise(3).normal((3,)), draws[:3])


@pytest.fixture
def copy(tmp_path):
    """A page without models."""
    (tmp_path / "play" / "models").mkdir(parents=True)
    shutil.copy(PAGE / "index.html", tmp_path / "play")
    (tmp_path / "play" / "models" / "index.json").write_text('{"models": []}')
    return tmp_path / "play"


@pytest.mark.slow
def test_the_program_writes_a_model_and_replaces_it(digits_run, copy, capsys):
    flags = [f"--run_dir={digits_run}", "--data=digits", f"--page={copy}", "--name=small"]
    assert page.main(["page", *flags, "--num=12", "--title=Ein kleiner Fluß"]) == 0
    assert f"{copy}/models/small: {digits_run} (model.keras" in capsys.readouterr().out
    about = check_files(copy / "models" / "small")
    assert about["title"] == "Ein kleiner Fluß" and about["images"]["labels"] == [*range(10), 0, 1]
    (copy / "models" / "small" / "left.over").touch()
    size = (copy / "models" / "small" / "tfjs" / "weights_1.bin").stat().st_size
    assert page.main(["page", *flags, "--seed=1", "--float16"]) == 0
    assert (copy / "models" / "small" / "tfjs" / "weights_1.bin").stat().st_size < 0.8 * size
    assert not (copy / "models" / "small" / "left.over").exists()
    assert check_files(copy / "models" / "small")["images"]["number"] == 40
    assert json.loads((copy / "models" / "index.json").read_text()) == {"models": ["small"]}
    assert sorted(path.name for path in (copy / "models").iterdir()) == ["index.json", "small"]
    (copy / "models" / "mine").mkdir()
    (copy / "models" / "mine" / "data.txt").touch()
    for wrong, message in (
            (["--name=mine"], "exists and holds no page.json, so it is no model of the page; give another name"),
            (["--name=../x"], "name: must be one word of letters, digits and '_'; got '../x'"),
            (["--page=nowhere"], "page: must be the folder docs/play of the repository, or a copy of it; nowhere"),
            (["--title="], "title: must have at least one printable character"),
            (["--num=900"], "num: 900 images were asked for; the test split of digits has")):
        assert message in error_of(page.main, *flags, *wrong)
    assert (copy / "models" / "mine" / "data.txt").exists()
    assert check_files(copy / "models" / "small")["images"]["number"] == 40


def test_a_class_conditional_model_is_refused(copy):
    shown = page_folder.ModelOfPage("classes", "classes", None, {"label_names": ["0", "1"]}, None)
    with pytest.raises(ValueError, match="the page shows models without classes and with uniform noise"):
        page_folder.write_model(copy, shown, 4, 0)
    assert [path.name for path in (copy / "models").iterdir()] == ["index.json"]
