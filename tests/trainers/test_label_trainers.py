# SPDX-License-Identifier: Apache-2.0
"""The command-line programs with class-conditional flows: short runs, evaluation, samples and errors.

Training and evaluation have graphs. Samples and interpolations are eager; tests/models/test_labels.py has their graphs.
"""

import json

import keras
import numpy as np
import PIL.Image
import pytest
from small_flows import eagerly
from small_runs import error_of

from trainers import data, evaluate, interpolate, presets, sample, train
from trainers.evaluation import latent_paths, scores
from trainers.runs import class_labels
from trainers.runs.configuration import configure
from trainers.runs.run_directory import RunDirectory
from trainers.training.training_batches import training_batches


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFP_GLOW_DATA_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


def train_digits(directory, preset, *flags):
    return train.main(["train", f"--preset={preset}", "--data=digits", f"--output_dir={directory}", *flags])


@pytest.fixture(scope="module")
def glow_run(tmp_path_factory):
    """A finished run that the tests of this module share. Tests must not change it."""
    directory = tmp_path_factory.mktemp("runs") / "digits"
    assert train_digits(directory, "digits_glow_classes_smoke") == 0
    return RunDirectory(directory)


@pytest.fixture(scope="module")
def model(glow_run):
    return keras.saving.load_model(glow_run.model_path)


def evaluated(run, capsys):
    assert evaluate.main(["evaluate", f"--run_dir={run}", "--data=digits", "--split=test"]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def tiles_of(path, columns, rows):
    """Returns the images of a picture of 8x8 images, with shape `[rows, columns, 8, 8]`."""
    picture = np.array(PIL.Image.open(path))
    factor = picture.shape[1] // (9 * columns + 1)
    assert picture.shape == ((9 * rows + 1) * factor, (9 * columns + 1) * factor)
    pixels = picture[factor // 2::factor, factor // 2::factor]
    return np.array([[pixels[9 * r + 1:9 * r + 9, 9 * c + 1:9 * c + 9] for c in range(columns)] for r in range(rows)])


def gray(images):
    return np.round(np.minimum(images, 16)[..., 0] * (255 / 16))


def test_run_keeps_classes_and_accuracy(glow_run, model):
    config = glow_run.config()
    assert config["label_names"] == [str(digit) for digit in range(10)]
    assert (config["flow"]["num_classes"], config["training"]["weight_y"]) == (10, 0.01)
    for line in glow_run.history():
        assert 0.0 <= line["accuracy"] <= 1.0 and 0.0 <= line["val_accuracy"] <= 1.0
        assert line["loss"] - line["bits_per_dim"] == pytest.approx(0.01 * np.log2(10), rel=0.5)
    assert model.condition_spec.name == "labels" and model.classifier is not None
    with PIL.Image.open(glow_run.sample_path(1)) as picture:
        assert picture.size[0] > picture.size[1]  # ten columns, seven rows


def test_evaluate_computes_bits_given_the_class_and_accuracy_by_bayes_rule(glow_run, model, digits, capsys):
    result = evaluated(glow_run, capsys)
    (images, labels), = data.dataset(digits, "test", 297, shuffle=False)
    points = images.numpy() + np.random.default_rng(0).random(images.shape).astype("float32")
    log_probs = np.stack([model.log_prob(points, condition=label) for label in range(10)], axis=1)
    assert result["accuracy"] == pytest.approx(np.mean(log_probs.argmax(axis=1) == labels))
    given = np.take_along_axis(log_probs, labels.numpy()[:, None], 1)
    assert result["bits_per_dim"] == pytest.approx(-given.mean() / (64 * np.log(2)), rel=1e-5)
    assert evaluate.main(["evaluate", f"--run_dir={glow_run}", "--data=digits", "--noclassify"]) == 0
    assert "accuracy" not in json.loads(capsys.readouterr().out.splitlines()[-1])


def test_sample_draws_all_classes_in_turn_or_one_class(glow_run, model, tmp_path):
    out = tmp_path / "grid.png"
    command = ["sample", f"--run_dir={glow_run}", "--num=20", "--seed=3", f"--out={out}"]
    with eagerly():
        assert sample.main(command) == 0
        expected = model.sample(20, temperature=0.7, seed=3, condition=np.arange(20) % 10)
        np.testing.assert_array_equal(tiles_of(out, 10, 2).reshape(20, 8, 8), gray(expected))
        assert sample.main([*command, "--label=7", "--num=4"]) == 0
        expected = model.sample(4, temperature=0.7, seed=3, condition=7)
        np.testing.assert_array_equal(tiles_of(out, 2, 2).reshape(4, 8, 8), gray(expected))


def test_interpolation_ends_with_real_images(glow_run, model, digits, tmp_path):
    out = tmp_path / "between.png"
    command = ["interpolate", f"--run_dir={glow_run}", "--data=digits", "--num=2", "--steps=3", f"--out={out}"]
    images, labels = next(iter(data.dataset(digits, "test", 4, shuffle=True)))
    with eagerly():
        assert interpolate.main(command) == 0
        rows = tiles_of(out, 3, 2)
        np.testing.assert_array_equal(rows[:, [0, 2]].reshape(4, 8, 8), gray(images))
        assert interpolate.main([*command, "--attribute=3"]) == 0
        np.testing.assert_array_equal(tiles_of(out, 3, 2)[:, 1], gray(next(iter(data.dataset(
            digits, "test", 2, shuffle=True, labels=False)))))
        between = latent_paths.interpolate(model, images[:1], images[1:2], 4, (labels[:1], labels[1:2]))
        z = (2 * model.encode(images[0], labels[0]) + model.encode(images[1], labels[1])) / 3
        assert np.abs(between[0, 1].astype(int) - model.decode(z, labels[0]).numpy()).max() <= 1  # rounding


@pytest.mark.slow
def test_realnvp_run(tmp_path, capsys):
    run = RunDirectory(tmp_path / "run")
    assert train_digits(run, "digits_realnvp_classes_smoke", "--epochs=1", "--noreport", "--notensorboard") == 0
    capsys.readouterr()
    result = evaluated(run, capsys)
    assert 0.0 <= result["accuracy"] <= 1.0
    # Evaluation and the validation during training use different noise and different images.
    assert result["bits_per_dim"] == pytest.approx(run.result()["val_bits_per_dim"], abs=0.3)
    assert "accuracy" not in run.history()[0]  # the preset has no classifier
    assert sample.main(["sample", f"--run_dir={run}", "--num=10", "--label=1", f"--out={tmp_path / 'grid.png'}"]) == 0


def test_training_batches_have_labels_and_noise_does_not_change_them(digits):
    config = configure("digits_glow_classes", presets.get("digits_glow_classes"), "digits", digits)
    plain = configure("digits_glow", presets.get("digits_glow"), "digits", digits)
    assert "label_names" not in plain and not class_labels.is_class_conditional(plain)
    (noisy, labels), images = (next(iter(training_batches(each, digits, 5))) for each in (config, plain))
    np.testing.assert_array_equal(noisy, images)
    expected = list(data.dataset(digits, "train", 64, shuffle=True, drop_remainder=True).take(6))[5]
    np.testing.assert_array_equal(labels, expected[1])
    assert 0.01 < np.mean(noisy != expected[0]) < 0.1


def write_images(directory, *names):
    for name in names:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(np.full((8, 8), 3, "uint8")).save(directory / name)


def test_errors(glow_run, tmp_path):
    write_images(tmp_path / "loose", *(f"{i}.png" for i in range(20)))
    write_images(tmp_path / "sorted", *(f"{name}/{i}.png" for name in "ab" for i in range(20)))
    new, out = f"--output_dir={tmp_path / 'new'}", f"--out={tmp_path / 'grid.png'}"
    for main, flags, said in [
            (train.main, ["--preset=digits_glow_classes", f"--data=folder:{tmp_path}/loose", new],
             "preset: digits_glow_classes is for data with labels of at least two classes; loose has no labels"),
            (sample.main, [f"--run_dir={glow_run}", out, "--label=ten"],
             "label: must be one of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9; got 'ten'")]:
        assert said in error_of(main, *flags)
    assert not (tmp_path / "new").exists()
    plain = {"flow": {"image_shape": [8, 8, 1]}, "data_levels": 256}
    with pytest.raises(ValueError, match="label: is for class-conditional models; the model of run has no classes"):
        class_labels.label_by_name("3", plain, "run")
    for folder, have in (("loose", "no labels"), ("sorted", "the classes a, b")):
        images = data.load(f"folder:{tmp_path}/{folder}")
        scores.check_data(plain, images, "run")
        with pytest.raises(ValueError, match=f"data: {folder} has {have}; the model in run was trained on a, c"):
            scores.check_data({**plain, "label_names": ["a", "c"]}, images, "run")


@pytest.mark.parametrize(("num_classes", "number", "columns"), [
    (10, 64, 10), (2, 64, 8), (3, 64, 9), (1000, 64, None), (None, 64, None), (10, 10, 10)])
def test_grids_have_at_least_one_column_per_class(num_classes, number, columns):
    class Model:
        class functions:
            class condition:
                pass
    Model.functions.condition.num_classes = num_classes
    assert class_labels.columns(Model, number) == columns


@pytest.mark.parametrize(("changes", "message"), [
    ({"weight_y": -0.5}, "weight_y: must not be negative .*; got -0.5"),
    ({"class_conditional": False}, "weight_y: .* must be 0 if class_conditional is False; got 0.01")])
def test_preset_fields_are_checked(changes, message):
    with pytest.raises(ValueError, match=message):
        presets.get("digits_glow_classes", **changes)
