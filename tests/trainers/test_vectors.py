# SPDX-License-Identifier: Apache-2.0
"""Vector data: toy densities, runs that train on them, and the figure of a two-dimensional flow."""

import json

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from small_runs import train_on

from trainers import data, evaluate, figure2d, interpolate, presets, sample
from trainers.data.plane_densities import DENSITIES
from trainers.data.toy_densities import NUM_EXAMPLES
from trainers.reporting import plane_figure, png_files
from trainers.runs.configuration import configure

pytestmark = pytest.mark.matrix

KNOWN = [name for name, density in DENSITIES.items() if density.log_density]


def error_of(capsys, main, *flags):
    """Runs a program that must end with an error. Returns the error line without its prefix."""
    capsys.readouterr()
    assert main(["program", *map(str, flags)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    return line.removeprefix("error: ")


@pytest.fixture(scope="module")
def moons_run(tmp_path_factory):
    """A finished run that the tests of this module share. Tests must not change it."""
    return train_on("toy:two_moons", tmp_path_factory.mktemp("runs") / "moons", "toy_realnvp_smoke")


@pytest.mark.parametrize("name", DENSITIES)
def test_toy_splits_are_reproducible_and_share_one_density(name):
    toy, again = data.load(f"toy:{name}"), data.load(f"toy:{name}")
    assert (toy.event_shape, toy.num_levels, toy.num_bits, toy.label_names) == ((2,), None, None, None)
    rows = set()
    for split, size in NUM_EXAMPLES.items():
        points = toy.arrays[split]
        assert points.shape == (size, 2) and points.dtype == np.float32 and np.isfinite(points).all()
        np.testing.assert_array_equal(points, again.arrays[split])
        rows |= set(map(bytes, points))
        assert toy.num_examples(split) == size
        np.testing.assert_allclose(points.mean(axis=0), toy.statistics[0], atol=0.1)
        np.testing.assert_allclose(points.std(axis=0), toy.statistics[1], rtol=0.05)
    assert len(rows) > 0.999 * sum(NUM_EXAMPLES.values())  # a few float32 rows may be equal at random


@pytest.mark.parametrize("name", KNOWN)
def test_entropy_is_the_mean_negative_log_density_of_samples(name):
    """An error in only one of the sampler, the density and the entropy makes this test fail."""
    toy = data.load(f"toy:{name}")
    surprise = -DENSITIES[name].log_density(toy.arrays["test"].astype(np.float64))
    error = surprise.std() / np.sqrt(surprise.size)
    assert np.isfinite(surprise).all()
    assert surprise.mean() == pytest.approx(toy.true_entropy, abs=4.5 * error + 1e-6)


@pytest.mark.parametrize("name", KNOWN)
def test_densities_integrate_to_one(name):
    density, step = DENSITIES[name], 0.05
    number = round(2 * density.half_side / step)
    ticks = (np.arange(number) + 0.5) * step - density.half_side
    # Row by row, because the density of two_moons sums over hundreds of nodes per point.
    mass = sum(np.exp(density.log_density(np.stack(np.meshgrid(ticks, [y]), axis=-1))).sum() for y in ticks) * step**2
    assert mass == pytest.approx(1.0, abs=1e-5)


def test_quadrature_agrees_with_exact_entropies():
    for name in ("checkerboard", "banana", "wave", "swirl"):
        assert DENSITIES[name].quadrature(0.05) == pytest.approx(DENSITIES[name].exact_entropy, abs=1e-5)
    assert DENSITIES["checkerboard"].exact_entropy == pytest.approx(np.log(32))
    # Eight normal distributions that hardly overlap have slightly less entropy than log 8 plus the entropy of one.
    apart = np.log(8) + np.log(2 * np.pi * np.e * 0.125)
    assert apart - 0.1 < data.load("toy:eight_gaussians").true_entropy < apart
    for name in ("two_moons", "rings"):
        assert DENSITIES[name].quadrature(0.05) == pytest.approx(DENSITIES[name].quadrature(0.04), abs=1e-5)
    assert data.load("toy:pinwheel").true_entropy is None


def test_dataset_of_vectors():
    toy = data.load("toy:wave")
    batches = data.dataset(toy, "validation", 4000, shuffle=False, num_bits=None)
    assert [spec.dtype for spec in batches.element_spec] == [tf.float32, tf.int64]
    points = np.concatenate([points for points, _ in batches])
    np.testing.assert_array_equal(points, toy.arrays["validation"])
    shuffled = np.concatenate(list(data.dataset(toy, "validation", 4000, shuffle=True, labels=False)))
    assert not np.array_equal(points, shuffled)
    np.testing.assert_array_equal(np.sort(shuffled[:, 0]), np.sort(points[:, 0]))
    with pytest.raises(ValueError, match="flip: is for images; wave has vectors of 2 numbers"):
        data.dataset(toy, "validation", 8, shuffle=False, flip=True)
    with pytest.raises(ValueError, match="split: must be one of"):
        toy.examples("all")


def test_toy_run(moons_run, tmp_path, capsys):
    model = keras.saving.load_model(moons_run.model_path)
    assert (model.event_shape, model.num_bits) == ((2,), None)
    assert evaluate.main(["evaluate", f"--run_dir={moons_run}", "--data=toy:two_moons"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    test = data.load("toy:two_moons").arrays["test"]
    by_hand = -model.log_prob(test).numpy().astype(np.float64).mean()
    assert result["nats"] == pytest.approx(by_hand, rel=1e-5)  # float events get no noise
    assert result["bits_per_dim"] == pytest.approx(by_hand / (2 * np.log(2)), rel=1e-5)
    assert result["num_examples"] == 50_000 and "baseline_bits_per_dim" not in result
    assert result["true_entropy"] == pytest.approx(0.9, abs=0.3) and result["true_entropy"] < result["nats"]
    signatures = tf.saved_model.load(str(moons_run.saved_models / "1")).signatures
    np.testing.assert_allclose(signatures["log_prob"](images=test[:9])["log_prob"], model.log_prob(test[:9]), rtol=1e-5)
    out = tmp_path / "points.png"
    assert sample.main(["sample", f"--run_dir={moons_run}", "--num=50", f"--out={out}"]) == 0
    assert sample.main(["sample", f"--run_dir={moons_run}", "--enlarge=2", f"--out={out}"]) == 1
    assert "enlarge: requires a flow of images; " in capsys.readouterr().err
    for path in (out, *moons_run.samples.iterdir(), moons_run.path / "loss_curve.png"):
        with PIL.Image.open(path) as picture:
            assert min(picture.size) > 200 and len(set(picture.convert("L").tobytes())) > 2


def test_pictures_omit_non_finite_and_very_large_vectors(tmp_path):
    for size in (1, 2):
        vectors = np.random.RandomState(0).normal(size=(50, size)).astype(np.float32)
        vectors[3], vectors[4], vectors[5] = np.inf, np.nan, 3e38
        png_files.save_events(vectors, None, tmp_path / "points.png")
        with PIL.Image.open(tmp_path / "points.png") as picture:
            assert len(set(picture.convert("L").tobytes())) > 2


def test_figure_shows_data_samples_density_and_latent_grid(moons_run, tmp_path, capsys):
    out = tmp_path / "figure.png"
    assert figure2d.main(["figure2d", f"--run_dir={moons_run}", f"--out={out}"]) == 0
    with PIL.Image.open(out) as picture:
        assert picture.width > 3 * picture.height

    model, points = keras.saving.load_model(moons_run.model_path), data.load("toy:two_moons").arrays["test"]
    first, second, density, grid = plane_figure.figure(model, points, num=100, seed=3).axes
    np.testing.assert_array_equal(first.collections[0].get_offsets(), points[:100])
    np.testing.assert_allclose(second.collections[0].get_offsets(), model.sample(100, seed=3), rtol=1e-6)
    (image,), (left, right, bottom, top) = density.images, density.images[0].get_extent()
    cell = ((right - left) / 199) * ((top - bottom) / 199)
    assert 0.5 < image.get_array().sum() * cell < 1.01  # the probability that the model assigns to the view
    middle = np.exp(model.log_prob(np.array([[left, bottom], [right, bottom]], "float32")))
    np.testing.assert_allclose(image.get_array()[0, [0, -1]], middle, rtol=1e-4)
    lines = grid.collections[0].get_segments()
    assert len(lines) == 50
    latents = model.encode(np.stack(lines).astype("float32")).numpy()
    np.testing.assert_allclose(latents, plane_figure.latent_grid(3.0, 25, 200), atol=1e-3)
    horizontal, vertical = np.split(plane_figure.latent_grid(3.0, 25, 200), 2)
    assert (np.ptp(horizontal[..., 1], axis=1) == 0).all() and (np.ptp(vertical[..., 0], axis=1) == 0).all()

    line = error_of(capsys, interpolate.main, f"--run_dir={moons_run}", "--data=toy:two_moons", f"--out={out}")
    assert line == "data: interpolation requires images; two_moons holds vectors of 2 numbers"
    line = error_of(capsys, evaluate.main, f"--run_dir={moons_run}", "--data=digits")
    assert line.startswith("data: digits has images of shape (8, 8, 1) and 17 gray levels; the model in")
    assert line.endswith("was trained on vectors of 2 numbers")


def test_image_presets_reject_vectors():
    toy = data.load("toy:banana")
    for name in ("digits_glow", "digits_maf", "realnvp_cifar10"):
        with pytest.raises(ValueError, match=f"preset: {name} is for images; banana has vectors of 2 numbers"):
            configure(name, presets.get(name), "toy:banana", toy)


def test_bad_specs_are_rejected():
    for spec, said in (("toy:moon", "toy density must be one of two_moons, rings, .*; got 'moon'"),
                       ("toy", "must be one of digits, .*, toy:NAME, array:FILE; got 'toy'"),
                       ("array:", "must have a name or a path after the colon"),
                       ("array:no.npy", "array file no.npy does not exist")):
        with pytest.raises(ValueError, match=f"data: {said}"):
            data.load(spec)
