# SPDX-License-Identifier: Apache-2.0
"""The command-line programs: short training runs, their files, and the programs that read these files."""

import json
import re
import shutil
import subprocess
import sys

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from paths import ROOT
from small_flows import eagerly
from small_runs import eager_programs, program_lines, train_digits, write_idx

from tfp_glow.export import serving_layout
from tfp_glow.flows import config_of
from trainers import data, evaluate, interpolate, sample, train
from trainers.evaluation import latent_paths
from trainers.optimization.averaged_weights import averaged_weights
from trainers.runs import trained_models
from trainers.runs.checkpoints import Checkpoints
from trainers.runs.run_directory import RunDirectory


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


def check_files(run, epochs):
    """Checks all files of a finished run and returns the exported model."""
    history = run.history()
    assert [line["epoch"] for line in history] == list(range(1, epochs + 1))
    for line in history:
        assert set(line) == {"epoch", "loss", "bits_per_dim", "val_bits_per_dim", "learning_rate", "seconds",
                             "images_per_second", "skipped_steps", "data_wait"}
        assert np.isfinite(list(line.values())).all()
    assert sorted(p.name for p in run.samples.iterdir()) == [f"epoch_{e:04d}.png" for e in range(1, epochs + 1)]
    for path in (*run.samples.iterdir(), run.path / "loss_curve.png"):
        with PIL.Image.open(path) as picture:
            assert min(picture.size) > 200 and len(set(picture.convert("L").tobytes())) > 2
    assert not list(run.path.rglob(".partial*"))
    model = keras.saving.load_model(run.model_path)
    served = run.saved_models / str(run.result()["saved_model"])
    assert (run.saved_models / "model.config").exists() and (served / serving_layout.WARMUP_FILE).exists()
    signatures = tf.saved_model.load(str(served)).signatures
    points = tf.random.stateless_uniform((3, *model.event_shape), (1, 2), maxval=2.0**model.num_bits)
    with eagerly():
        log_prob = model.log_prob(points)
    # Random pixels are improbable under mixtures, and rounding in graphs and eager mode differs by processor.
    np.testing.assert_allclose(signatures["log_prob"](images=points)["log_prob"], log_prob, rtol=1e-4)
    assert run.is_finished()
    return model


def evaluated_and_sampled(run, spec, out, capsys, split="test"):
    """Runs `evaluate` and `sample` on a run, eagerly, and returns the JSON result of `evaluate`.

    The tests of the run of the digits below run these programs with graphs.
    """
    with eagerly():
        assert evaluate.main(["evaluate", f"--run_dir={run}", f"--data={spec}", f"--split={split}"]) == 0
        result = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert np.isfinite(result["bits_per_dim"])
        assert sample.main(["sample", f"--run_dir={run}", "--num=4", f"--out={out}"]) == 0
    with PIL.Image.open(out) as picture:
        assert min(picture.size) > 200 and len(set(picture.convert("L").tobytes())) > 2
    return result


def test_digits_run_writes_all_files(digits_run, capsys):
    model = check_files(digits_run, epochs=2)
    # The exported weights are those of the best epoch, or their moving average if it was better.
    config = digits_run.config()
    best = trained_models.build(config)
    trained_models.compile_model(best, config)
    record = Checkpoints(digits_run.checkpoints).restore_best(best)
    assert record["val_bits_per_dim"] == min(line["val_bits_per_dim"] for line in digits_run.history())
    weights = [v.numpy() for v in best.trainable_variables]
    assert all(map(np.array_equal, weights, model.trainable_variables)) == (not record["averaged"])
    with averaged_weights(best):
        assert all(map(np.array_equal, best.trainable_variables, model.trainable_variables)) == record["averaged"]
    assert all(map(np.array_equal, best.trainable_variables, weights))
    assert train_digits(digits_run.path) == 0
    assert "was already finished after 2 epochs" in capsys.readouterr().out


def test_evaluate_counts_every_image_once(digits_run, digits, capsys):
    command = ["evaluate", f"--run_dir={digits_run}", "--data=digits", "--split=test"]
    results = []
    for batch_size in (100, 297):
        assert evaluate.main([*command, f"--batch_size={batch_size}"]) == 0
        results.append(json.loads(capsys.readouterr().out.splitlines()[-1]))
    first, second = results
    assert first["num_examples"] == second["num_examples"] == 297
    assert first["bits_per_dim"] == pytest.approx(second["bits_per_dim"], rel=1e-5)
    # The same bits per dimension, computed from the definition.
    (images,) = data.dataset(digits, "test", 297, shuffle=False, labels=False)
    model = keras.saving.load_model(digits_run.model_path)
    points = images.numpy() + np.random.default_rng(0).random(images.shape).astype("float32")
    expected = -np.mean(model.log_prob(points)) / (64 * np.log(2))
    assert first["bits_per_dim"] == pytest.approx(expected, rel=1e-5)
    assert first["baseline_bits_per_dim"] == pytest.approx(2.4321, abs=1e-4)


def test_sample_is_reproducible(digits_run, tmp_path):
    paths = [tmp_path / name for name in ("a.png", "b.png", "c.png")]
    for path, seed in zip(paths, (1, 1, 2), strict=True):
        assert sample.main(["sample", f"--run_dir={digits_run}", "--num=9", "--temperature=0.7", f"--seed={seed}",
                            f"--out={path}"]) == 0
    a, b, c = (np.array(PIL.Image.open(path)) for path in paths)
    assert a.shape == (504, 504)  # 3x3 images of 8x8 pixels with lines between them, enlarged 18 times
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_the_temperature_of_samples_is_that_of_the_training(digits_run, tmp_path, capsys):
    warm = RunDirectory(tmp_path / "warm")
    shutil.copytree(digits_run.path, warm.path)
    config = digits_run.config()
    assert config["training"]["temperature"] == 0.7
    config["training"]["temperature"] = 0.9
    (warm.path / "config.json").write_text(json.dumps(config))
    pictures = {}
    path, flag = tmp_path / "grid.png", "--temperature=0.7"
    for run, flags in ((digits_run, ()), (digits_run, (flag,)), (warm, ()), (warm, (flag,))):
        assert sample.main(["sample", f"--run_dir={run}", "--num=4", f"--out={path}", *flags]) == 0
        shown = re.search(r"at temperature ([\d.]+) \(", capsys.readouterr().out)[1]
        pictures[run is warm, flags] = shown, path.read_bytes()
    assert [shown for shown, _ in pictures.values()] == ["0.7", "0.7", "0.9", "0.7"]
    first, same, warmer, again = (picture for _, picture in pictures.values())
    assert first == same == again != warmer


def test_sample_enlarges(digits_run, tmp_path):
    assert sample.main(["sample", f"--run_dir={digits_run}", "--num=4", "--enlarge=2",
                        f"--out={tmp_path / 'grid.png'}"]) == 0
    assert PIL.Image.open(tmp_path / "grid.png").size == (490, 490)  # 2x2 images of 16x16, enlarged 14 times


def test_fashion_mnist_run(tmp_path, capsys):
    write_idx(tmp_path, {"train": 80, "t10k": 17})
    run = RunDirectory(tmp_path / "run")
    assert train.main(["train", "--preset=fashion_mnist_glow_smoke", f"--data=idx:{tmp_path}", f"--output_dir={run}",
                       "--epochs=1"]) == 0
    assert check_files(run, epochs=1).event_shape == (28, 28, 1)
    assert evaluated_and_sampled(run, f"idx:{tmp_path}", tmp_path / "grid.png", capsys)["num_examples"] == 17


def test_cifar10_run_and_more_epochs(tmp_path, capsys):
    """Trains twice, eagerly. test_smoke.py trains a Glow of the same form, `glow_imagenet32_smoke`, with graphs."""
    run = RunDirectory(tmp_path / "run")
    command = ["train", "--preset=glow_cifar10_smoke", "--data=tfds:cifar10", f"--output_dir={run}"]
    with tfds.testing.mock_data(num_examples=40):
        with eager_programs():
            assert train.main([*command, "--epochs=1"]) == 0
            assert run.is_finished()
            assert train.main(command) == 0  # allowed because the schedule is constant
        assert check_files(run, epochs=2).event_shape == (32, 32, 3)
        assert sorted(p.name for p in run.saved_models.iterdir()) == ["1", "2", "model.config"]
        assert evaluated_and_sampled(run, "tfds:cifar10", tmp_path / "grid.png", capsys)["num_examples"] == 40
        assert train.main([*command, "--epochs=1"]) == 1
    assert capsys.readouterr().err.endswith("another configuration: epochs 2 (now 1); choose another directory\n")


@pytest.mark.parametrize("system", ["nice", "maf", "iaf"])
def test_digits_runs_of_the_other_systems(system, tmp_path, capsys):
    run = RunDirectory(tmp_path / "run")
    assert train.main(["train", f"--preset=digits_{system}_smoke", "--data=digits", f"--output_dir={run}",
                       "--epochs=1"]) == 0
    model = check_files(run, epochs=1)
    assert (config_of(model.distribution).flow, model.event_shape, model.num_bits) == (system, (8, 8, 1), 5)
    result = evaluated_and_sampled(run, "digits", tmp_path / "grid.png", capsys, "validation")
    # Evaluation and the validation during training use different noise.
    assert result["bits_per_dim"] == pytest.approx(run.result()["val_bits_per_dim"], abs=0.1)
    assert result["nats"] == pytest.approx(result["bits_per_dim"] * 64 * np.log(2))


def test_interpolation_begins_and_ends_with_real_images(digits_run, digits, tmp_path):
    out = tmp_path / "between.png"
    assert interpolate.main(["interpolate", f"--run_dir={digits_run}", "--data=digits", "--num=3", "--steps=5",
                             "--seed=1", f"--out={out}"]) == 0
    images = next(iter(data.dataset(digits, "test", 6, shuffle=True, seed=1, labels=False))).numpy()
    picture = np.array(PIL.Image.open(out))
    factor = picture.shape[1] // 46  # five images of 8x8 pixels and six lines
    assert picture.shape == (28 * factor, 46 * factor)
    tiles = picture[factor // 2::factor, factor // 2::factor]
    for row in range(3):
        for column, image in ((0, images[2 * row]), (4, images[2 * row + 1])):
            tile = tiles[9 * row + 1:9 * row + 9, 9 * column + 1:9 * column + 9]
            np.testing.assert_array_equal(tile, np.round(image[..., 0] * (255 / 16)))
    model, _ = trained_models.load(digits_run)
    halfway = latent_paths.interpolate(model, images[:1], images[1:2], 3)[0, 1]
    mean = model.encode(images[:2]).numpy().mean(axis=0)
    assert np.abs(halfway.astype(int) - model.decode(mean[None]).numpy()[0]).max() <= 1  # rounding


def test_attribute_direction_is_the_difference_of_means(digits_run, digits, tmp_path):
    out = tmp_path / "three.png"
    assert interpolate.main(["interpolate", f"--run_dir={digits_run}", "--data=digits", "--attribute=3", "--num=2",
                             "--steps=3", f"--out={out}"]) == 0
    with PIL.Image.open(out) as picture:
        assert picture.size == (504, 342)  # three columns, two rows
    model, _ = trained_models.load(digits_run)
    (images, labels), = data.dataset(digits, "test", 297, shuffle=False)
    batches = data.dataset(digits, "test", 100, shuffle=False)
    direction = latent_paths.class_direction(model, batches, 3)
    encoded = model.encode(images).numpy()
    expected = encoded[labels == 3].mean(axis=0) - encoded[labels != 3].mean(axis=0)
    np.testing.assert_allclose(direction, expected, atol=1e-4)
    moved = latent_paths.manipulate(model, images[:5], direction, 3)
    np.testing.assert_array_equal(moved[:, 1], images[:5])
    assert np.abs(moved[:, 2].astype(int) - model.decode(encoded[:5] + direction).numpy()).max() <= 1
    top = latent_paths.of_level(model, "top")
    assert not top[:32].any() and top[32:].all()
    edited = latent_paths.interpolate(model, images[:1], images[1:2], 3, changed=top)[0]
    np.testing.assert_array_equal(edited[0], images[0])
    expected = model.decode(np.concatenate([encoded[:1, :32], encoded[1:2, 32:]], axis=1)).numpy()[0]
    assert np.abs(edited[2].astype(int) - expected).max() <= 1
    with pytest.raises(ValueError, match="level: must be one of level 1, top; got 'level 2'"):
        latent_paths.of_level(model, "level 2")
    with pytest.raises(ValueError, match="0 images have it and 297 do not"):
        latent_paths.class_direction(model, [(images, labels)], 10)


@pytest.mark.slow
def test_two_replicas_train_like_one_device(digits_run, tmp_path):
    """Runs the program in a new process: TensorFlow cannot create logical devices after it initializes the devices."""
    command = [sys.executable, "-m", "trainers.train", "--preset=digits_glow_smoke", "--data=digits",
               f"--output_dir={tmp_path / 'run'}", "--strategy=mirrored", "--replicas=2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, program_lines(done.stderr)) == (0, []), done.stderr
    assert (tmp_path / "run" / "report.html").exists() and (tmp_path / "run" / "tensorboard").exists()
    assert [line.split(": ")[0] for line in done.stdout.splitlines() if "bits/dim, validation" in line] == [
        "epoch 1/2", "epoch 2/2"]
    for one, two in zip(digits_run.history(), RunDirectory(tmp_path / "run").history(), strict=True):
        assert one["bits_per_dim"] == pytest.approx(two["bits_per_dim"], abs=1e-4)
        assert one["val_bits_per_dim"] == pytest.approx(two["val_bits_per_dim"], abs=1e-4)
