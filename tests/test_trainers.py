# SPDX-License-Identifier: Apache-2.0
"""The trainers: whole runs of seconds, resuming, refusals, and what is left in a run directory."""

import contextlib
import dataclasses
import gzip
import io
import json
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from tfp_glow import serving
from tfp_glow.flows import config_from_dict
from trainers import (
    baseline,
    data,
    evaluate,
    evaluation,
    interpolate,
    latents,
    models,
    optimizers,
    pictures,
    presets,
    sample,
    strategy,
    train,
)
from trainers.checkpoints import Checkpoints
from trainers.flow_fields import fit_flow
from trainers.run_dir import RunDir, differences
from trainers.training import configure, training_batches

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


def train_digits(directory, *flags):
    return train.main(["train", "--preset=digits_glow_smoke", "--data=digits", f"--output_dir={directory}", *flags])


def write_idx(directory, sizes, shape=(28, 28)):
    """Files as Fashion-MNIST's."""
    random = np.random.default_rng(0)
    for prefix, size in sizes.items():
        images = random.integers(0, 256, (size, *shape), dtype="uint8")
        labels = random.integers(0, 10, size, dtype="uint8")
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            header = struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape)
            (directory / f"{prefix}-{kind}-ubyte.gz").write_bytes(gzip.compress(header + array.tobytes()))


def check_artefacts(run, epochs):
    """All that a finished run leaves, and that it loads."""
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
    assert (run.saved_models / "model.config").exists() and (served / serving.WARMUP).exists()
    signatures = tf.saved_model.load(str(served)).signatures
    points = tf.random.stateless_uniform((3, *model.event_shape), (1, 2), maxval=2.0**model.num_bits)
    np.testing.assert_allclose(signatures["log_prob"](images=points)["log_prob"], model.log_prob(points), rtol=1e-5)
    assert run.is_finished()
    return model


def evaluated_and_sampled(run, spec, out, capsys, split="test"):
    """What `evaluate` says of a run; `sample` has drawn from it."""
    assert evaluate.main(["evaluate", f"--run_dir={run}", f"--data={spec}", f"--split={split}"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert np.isfinite(result["bits_per_dim"])
    assert sample.main(["sample", f"--run_dir={run}", "--num=4", f"--out={out}"]) == 0
    with PIL.Image.open(out) as picture:
        assert min(picture.size) > 200 and len(set(picture.convert("L").tobytes())) > 2
    return result


# Whole runs.


def test_digits_run_leaves_everything(digits_run, capsys):
    model = check_artefacts(digits_run, epochs=2)
    # The exported weights are the moving average at the best epoch, not the last weights.
    config = digits_run.config()
    best = models.build(config)
    models.compile_model(best, config)
    record = Checkpoints(digits_run.checkpoints).restore_best(best)
    assert record["val_bits_per_dim"] == min(line["val_bits_per_dim"] for line in digits_run.history())
    weights = [v.numpy() for v in best.trainable_variables]
    assert not all(map(np.array_equal, weights, model.trainable_variables))
    with optimizers.averaged_weights(best):
        assert all(map(np.array_equal, best.trainable_variables, model.trainable_variables))
    assert all(map(np.array_equal, best.trainable_variables, weights))
    assert train_digits(digits_run.path) == 0
    assert "was finished after 2 epochs" in capsys.readouterr().out


def test_evaluate_counts_every_image_once(digits_run, digits, capsys):
    command = ["evaluate", f"--run_dir={digits_run}", "--data=digits", "--split=test"]
    results = []
    for batch_size in (100, 297):
        assert evaluate.main([*command, f"--batch_size={batch_size}"]) == 0
        results.append(json.loads(capsys.readouterr().out.splitlines()[-1]))
    first, second = results
    assert first["num_examples"] == second["num_examples"] == 297
    assert first["bits_per_dim"] == pytest.approx(second["bits_per_dim"], rel=1e-5)
    # By hand, from the definition.
    (images,) = data.dataset(digits, "test", 297, shuffle=False, labels=False)
    model = keras.saving.load_model(digits_run.model_path)
    points = images.numpy() + np.random.default_rng(0).random(images.shape).astype("float32")
    by_hand = -np.mean(model.log_prob(points)) / (64 * np.log(2))
    assert first["bits_per_dim"] == pytest.approx(by_hand, rel=1e-5)
    assert first["baseline_bits_per_dim"] == pytest.approx(2.4321, abs=1e-4)


def test_sample_is_reproducible(digits_run, tmp_path):
    paths = [tmp_path / name for name in ("a.png", "b.png", "c.png")]
    for path, seed in zip(paths, (1, 1, 2), strict=True):
        assert sample.main(["sample", f"--run_dir={digits_run}", "--num=9", "--temperature=0.7", f"--seed={seed}",
                            f"--out={path}"]) == 0
    a, b, c = (np.array(PIL.Image.open(path)) for path in paths)
    assert a.shape == (504, 504)  # 3x3 images of 8x8 and the lines between, enlarged 18 times
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_sample_enlarges(digits_run, tmp_path):
    assert sample.main(["sample", f"--run_dir={digits_run}", "--num=4", "--enlarge=2",
                        f"--out={tmp_path / 'grid.png'}"]) == 0
    assert PIL.Image.open(tmp_path / "grid.png").size == (490, 490)  # 2x2 images of 16x16, enlarged 14 times


def test_fashion_mnist_run(tmp_path, capsys):
    write_idx(tmp_path, {"train": 80, "t10k": 17})
    run = RunDir(tmp_path / "run")
    assert train.main(["train", "--preset=fashion_mnist_glow_smoke", f"--data=idx:{tmp_path}", f"--output_dir={run}",
                       "--epochs=1"]) == 0
    assert check_artefacts(run, epochs=1).event_shape == (28, 28, 1)
    assert evaluated_and_sampled(run, f"idx:{tmp_path}", tmp_path / "grid.png", capsys)["num_examples"] == 17


def test_cifar10_run_and_more_epochs(tmp_path, capsys):
    run = RunDir(tmp_path / "run")
    command = ["train", "--preset=glow_cifar10_smoke", "--data=tfds:cifar10", f"--output_dir={run}"]
    with tfds.testing.mock_data(num_examples=40):
        assert train.main([*command, "--epochs=1"]) == 0
        assert run.is_finished()
        assert train.main(command) == 0  # the schedule is constant, so epochs may grow
        assert check_artefacts(run, epochs=2).event_shape == (32, 32, 3)
        assert sorted(p.name for p in run.saved_models.iterdir()) == ["1", "2", "model.config"]
        assert evaluated_and_sampled(run, "tfds:cifar10", tmp_path / "grid.png", capsys)["num_examples"] == 40
        assert train.main([*command, "--epochs=1"]) == 1
    assert capsys.readouterr().err.endswith("another configuration: epochs 2 (now 1)\n")


@pytest.mark.parametrize("system", ["nice", "maf", "iaf"])
def test_digits_runs_of_the_other_systems(system, tmp_path, capsys):
    run = RunDir(tmp_path / "run")
    assert train.main(["train", f"--preset=digits_{system}_smoke", "--data=digits", f"--output_dir={run}",
                       "--epochs=1"]) == 0
    model = check_artefacts(run, epochs=1)
    assert (model.distribution.config.flow_name, model.event_shape, model.num_bits) == (system, (8, 8, 1), 5)
    result = evaluated_and_sampled(run, "digits", tmp_path / "grid.png", capsys, "validation")
    # Evaluating draws other noise than validation while training.
    assert result["bits_per_dim"] == pytest.approx(run.result()["val_bits_per_dim"], abs=0.1)
    assert result["nats"] == pytest.approx(result["bits_per_dim"] * 64 * np.log(2))


def test_interpolation_begins_and_ends_with_real_images(digits_run, digits, tmp_path):
    out = tmp_path / "between.png"
    assert interpolate.main(["interpolate", f"--run_dir={digits_run}", "--data=digits", "--num=3", "--steps=5",
                             "--seed=1", f"--out={out}"]) == 0
    images = next(iter(data.dataset(digits, "test", 6, shuffle=True, seed=1, labels=False))).numpy()
    picture = np.array(PIL.Image.open(out))
    factor = picture.shape[1] // 46  # five images of 8x8 and six lines
    assert picture.shape == (28 * factor, 46 * factor)
    tiles = picture[factor // 2::factor, factor // 2::factor]
    for row in range(3):
        for column, image in ((0, images[2 * row]), (4, images[2 * row + 1])):
            tile = tiles[9 * row + 1:9 * row + 9, 9 * column + 1:9 * column + 9]
            np.testing.assert_array_equal(tile, np.round(image[..., 0] * (255 / 16)))
    model, _ = models.load(digits_run)
    halfway = latents.interpolate(model, images[:1], images[1:2], 3)[0, 1]
    mean = model.encode(images[:2]).numpy().mean(axis=0)
    assert np.abs(halfway.astype(int) - model.decode(mean[None]).numpy()[0]).max() <= 1  # a rounding apart at most


def test_attributes_move_along_the_difference_of_means(digits_run, digits, tmp_path):
    out = tmp_path / "three.png"
    assert interpolate.main(["interpolate", f"--run_dir={digits_run}", "--data=digits", "--attribute=3", "--num=2",
                             "--steps=3", f"--out={out}"]) == 0
    with PIL.Image.open(out) as picture:
        assert picture.size == (504, 342)  # three columns, two rows
    model, _ = models.load(digits_run)
    (images, labels), = data.dataset(digits, "test", 297, shuffle=False)
    batches = data.dataset(digits, "test", 100, shuffle=False)
    direction = latents.class_direction(model, batches, 3)
    encoded = model.encode(images).numpy()
    by_hand = encoded[labels == 3].mean(axis=0) - encoded[labels != 3].mean(axis=0)
    np.testing.assert_allclose(direction, by_hand, atol=1e-4)
    moved = latents.manipulate(model, images[:5], direction, 3)
    np.testing.assert_array_equal(moved[:, 1], images[:5])
    assert np.abs(moved[:, 2].astype(int) - model.decode(encoded[:5] + direction).numpy()).max() <= 1
    with pytest.raises(ValueError, match="attribute: 0 images have it and 297 do not"):
        latents.class_direction(model, [(images, labels)], 10)


def test_two_replicas_learn_the_same(digits_run, tmp_path):
    """And the command line as users call it; logical devices need a process of their own."""
    command = [sys.executable, "-m", "trainers.train", "--preset=digits_glow_smoke", "--data=digits",
               f"--output_dir={tmp_path / 'run'}", "--strategy=mirrored", "--replicas=2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "run" / "report.html").exists() and (tmp_path / "run" / "tensorboard").exists()
    assert [line.split(": ")[0] for line in done.stdout.splitlines() if "bits/dim, validation" in line] == [
        "epoch 1/2", "epoch 2/2"]
    for one, two in zip(digits_run.history(), RunDir(tmp_path / "run").history(), strict=True):
        assert one["bits_per_dim"] == pytest.approx(two["bits_per_dim"], abs=1e-4)
        assert one["val_bits_per_dim"] == pytest.approx(two["val_bits_per_dim"], abs=1e-4)


# The data of a step.


def test_training_batches_go_on_from_any_step(digits):
    preset = presets.get("digits_glow_smoke")
    config = configure("digits_glow_smoke", preset, "digits", digits)
    assert config["training"]["pixel_noise"] > 0
    whole = [images.numpy() for images in training_batches(config, digits, 0).take(90)]  # 84 make an epoch
    for step in (3, 84, 86):
        np.testing.assert_array_equal(next(iter(training_batches(config, digits, step))), whole[step])


def test_pixel_noise_replaces_pixels_by_levels(digits):
    preset = dataclasses.replace(presets.get("digits_glow_smoke"), batch_size=1350, pixel_noise=0.1)
    noisy = configure("digits_glow_smoke", preset, "digits", digits)
    clean = {**noisy, "training": {**noisy["training"], "pixel_noise": 0.0}}
    a, b = (next(iter(training_batches(config, digits, 0))).numpy() for config in (noisy, clean))
    changed = a[a != b]
    assert changed.size / a.size == pytest.approx(0.1 * 16 / 17, rel=0.2)
    assert set(changed) == set(range(17))


def tiny_model(value):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(1e-3), loss="mse")
    model.set_weights([np.full((2, 1), value), np.zeros(1)])
    return model


# Refusals: one line on stderr, exit code 1.


def error_of(main, *flags):
    """The one line that a refusal writes."""
    with contextlib.redirect_stderr(io.StringIO()) as stderr:
        assert main(["program", *map(str, flags)]) == 1
    (line,) = stderr.getvalue().splitlines()
    assert line.startswith("error: ")
    return line


@pytest.mark.parametrize(("flags", "said"), [
    (["--preset=no_glow"], "flag --preset=no_glow: value should be one of <digits_glow|"),
    (["--epoch=3"], "Unknown command line flag 'epoch'"),
    (["--seed=one"], "flag --seed=one: invalid literal for int"),
    (["digits"], "unexpected argument 'digits'"),
    (["--output_dir="], "output_dir: "),
    (["--data=mnist"], "data: unknown kind of set 'mnist'; known are digits, tfds:NAME, idx:DIR, folder:DIR"),
    (["--data=folder:nowhere"], "data: folder nowhere does not exist"),
    (["--data=idx:nowhere"], "data: idx directory nowhere does not exist"),
    (["--batch_size=2000"], "batch_size: train of digits has only 1350 examples; got 2000"),
    (["--batch_size=0"], "batch_size: must be at least 1; got 0"),
    (["--epochs=0"], "epochs: must be at least 1; got 0"),
    (["--learning_rate=nan"], "learning_rate: must be positive; got nan"),
    (["--seed=-1"], "seed: must not be negative; got -1"),
    (["--preset=glow_cifar10", "--data=idx:{tmp}"], "divisible by 2**num_levels = 8; received (12, 12, 1)"),
    (["--strategy=mirrored"], "replicas: --strategy=mirrored needs --replicas=N on a machine without GPUs"),
    (["--replicas=2"], "replicas: must be at least 1, and go with --strategy=mirrored; got 2 with --strategy=auto"),
    (["--output_dir={tmp}/file"], "{tmp}/file is a file"),
    (["--output_dir={tmp}/other"], "{tmp}/other is no run directory, but holds notes.txt; choose another"),
    (["--output_dir={run}", "--seed=3", "--batch_size=8"],
     "{run} holds a run of another configuration: seed 0 (now 3); training.batch_size 16 (now 8)"),
    (["--output_dir={run}", "--epochs=9"], "another configuration: epochs 2 (now 9)"),
    (["--output_dir={run}", "--resume=false"], "{run} holds a run already, and --resume=false; choose another"),
])
def test_train_refuses(flags, said, digits_run, tmp_path):
    names = {"tmp": tmp_path, "run": digits_run}
    write_idx(tmp_path, {"train": 20}, shape=(12, 12))
    (tmp_path / "file").touch()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    before = {p: p.stat().st_mtime_ns for p in digits_run.path.rglob("*")}
    defaults = ["--preset=digits_glow_smoke", "--data=digits", f"--output_dir={tmp_path / 'new'}"]
    line = error_of(train.main, *defaults, *(flag.format(**names) for flag in flags))
    assert said.format(**names) in line
    assert before == {p: p.stat().st_mtime_ns for p in digits_run.path.rglob("*")}
    assert (tmp_path / "other" / "notes.txt").read_text() == "mine"
    assert not (tmp_path / "new").exists()


def test_a_missing_flag_is_named():
    assert "Flag --output_dir must have a value" in error_of(train.main, "--preset=digits_glow", "--data=digits")


def test_evaluate_and_sample_refuse(digits_run, tmp_path):
    write_idx(tmp_path, {"train": 20}, shape=(8, 8))
    empty = RunDir(tmp_path / "run")
    empty.open(digits_run.config())
    broken = shutil.copytree(digits_run.path, tmp_path / "broken")
    (broken / "model.keras").write_bytes(b"PK")
    out = f"--out={tmp_path / 'grid.png'}"
    for main, flags, said in [
            (evaluate.main, [f"--run_dir={tmp_path}", "--data=digits"], "is no run directory: it has no config.json"),
            (evaluate.main, [f"--run_dir={empty}", "--data=digits"], "has neither model.keras nor a checkpoint yet"),
            (evaluate.main, [f"--run_dir={broken}", "--data=digits"], "model.keras cannot be loaded"),
            (evaluate.main, [f"--run_dir={digits_run}", f"--data=idx:{tmp_path}"],
             "has images of shape (8, 8, 1) and 256 grey levels; the model in"),
            (evaluate.main, [f"--run_dir={digits_run}", "--data=digits", "--split=all"], "flag --split=all"),
            (interpolate.main, [f"--run_dir={digits_run}", "--data=digits", out, "--attribute=ten"],
             "attribute: must be a label of digits, one of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9; got 'ten'"),
            (interpolate.main, [f"--run_dir={digits_run}", "--data=digits", out, "--num=149"],
             "num: 149 rows need 298 images; test of digits has 297"),
            (sample.main, [f"--run_dir={empty}", out], "has neither model.keras nor a checkpoint yet"),
            (sample.main, [f"--run_dir={digits_run}", out, "--num=0"], "flag --num=0"),
            (sample.main, [f"--run_dir={digits_run}", out, "--temperature=-1"], "flag --temperature=-1"),
            (sample.main, [f"--run_dir={digits_run}", f"--out={tmp_path}/no/grid.png"], "No such file or directory")]:
        assert said in error_of(main, *flags)


def test_the_command_line_writes_one_line():
    """In a process of its own, where TensorFlow would have its say as well."""
    command = [sys.executable, "-m", "trainers.train", "--preset=digits_glow", "--output_dir=nowhere"]
    done = subprocess.run([*command, "--data=folder:nowhere"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "error: data: folder nowhere does not exist\n")
    done = subprocess.run([*command, "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "--[no]resume" in done.stdout and not done.stderr


def test_one_process_at_a_time(tmp_path):
    run = RunDir(tmp_path)
    with run.locked(), pytest.raises(ValueError, match="another process is training"), run.locked():
        pass
    with run.locked():
        pass


# The parts.


def test_histogram_baseline():
    train_images = np.array([0, 0, 1, 2]).reshape(4, 1, 1, 1)
    test_images = np.array([0, 2]).reshape(2, 1, 1, 1)
    # Counts 2, 1, 1, 0 and one more each: 3/8 and 2/8.
    expected = -(np.log2(3 / 8) + np.log2(2 / 8)) / 2
    for batches in ([test_images], [test_images[:1], test_images[1:]]):
        bits = baseline.histogram_bits_per_dim([train_images[:3], train_images[3:]], batches, (1, 1, 1), num_levels=4)
        assert bits == pytest.approx(expected)


def test_grid_scales_grey_levels():
    images = np.zeros((5, 2, 2, 1), "uint8")
    images[1], images[4], images[2] = 16, 8, 31
    picture = pictures.grid(images, num_levels=17)
    assert picture.mode == "L" and picture.size == (510, 357)  # three columns, two rows; 51 for 1
    pixels = np.array(picture)[25::51, 25::51]
    np.testing.assert_array_equal(pixels[1::3, 1::3], [[0, 255, 255], [0, 128, 90]])
    assert (pixels[::3] == 90).all() and (pixels[:, ::3] == 90).all()
    assert pictures.grid(np.zeros((2, 600, 600, 3), "uint8"), 256).size == (1203, 602)
    with pytest.raises(ValueError, match="1 or 3 channels"):
        pictures.grid(np.zeros((1, 2, 2, 2), "uint8"), 256)


def test_learning_rate_schedule():
    training = {"optimizer": "adamax", "learning_rate": 0.1, "warmup_epochs": 2, "schedule": "constant",
                "ema_momentum": None, "clip_norm": None}

    def rates(**changes):
        schedule = optimizers.make_optimizer({**training, **changes}, 10, 5)._learning_rate
        return [float(schedule(step)) for step in (0, 5, 10, 30, 50)]
    assert rates() == pytest.approx([0, 0.05, 0.1, 0.1, 0.1])
    assert rates(warmup_epochs=0) == pytest.approx([0.1] * 5)
    assert rates(schedule="cosine") == pytest.approx([0, 0.05, 0.1, 0.05, 0])


# Kingma and Dhariwal's published commands, and section 4.1 of Dinh, Sohl-Dickstein and Bengio.
PUBLISHED = {
    "glow_cifar10": (32, 64, 8, {"num_levels": 3, "num_steps": 32, "width": 512, "coupling": "affine"}),
    "glow_imagenet32": (32, 512, 8, {"num_levels": 3, "num_steps": 48, "width": 512, "coupling": "affine"}),
    "glow_imagenet64": (64, 128, 8, {"num_levels": 4, "num_steps": 48, "width": 512, "coupling": "affine"}),
    "glow_lsun": (64, 128, 8, {"num_levels": 3, "num_steps": 48, "width": 512, "coupling": "affine"}),
    "glow_celebahq256": (256, 40, 5, {"num_levels": 6, "num_steps": 32, "width": 512, "coupling": "additive"}),
    "realnvp_cifar10": (32, 64, 8, {"num_scales": 2, "num_blocks": 8, "width": 64}),
    "realnvp_imagenet32": (32, 64, 8, {"num_scales": 4, "num_blocks": 4, "width": 32}),
    "realnvp_imagenet64": (64, 64, 8, {"num_scales": 5, "num_blocks": 2, "width": 32}),
    "realnvp_celeba64": (64, 64, 8, {"num_scales": 5, "num_blocks": 2, "width": 32}),
    "realnvp_lsun": (64, 64, 8, {"num_scales": 5, "num_blocks": 2, "width": 32}),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_presets_are_the_published_ones(name):
    side, batch_size, num_bits, flow = PUBLISHED[name]
    preset = presets.get(name)
    kind = name.split("_")[0]
    own = {"backprop": "reversible"} if kind == "glow" else {}  # How it is trained, not what it is.
    assert dict(preset.flow) == {"flow": kind, **flow, **own}
    assert (preset.batch_size, preset.num_bits, preset.learning_rate) == (batch_size, num_bits, 1e-3)
    assert (preset.optimizer, preset.schedule) == ({"glow": "adamax", "realnvp": "adam"}[kind], "constant")
    # The flow takes images of the paper's size, and so does the small one.
    images = data.ImageData(name, (side, side, 3), 256, None, {})
    for each in (name, f"{name}_smoke"):
        config = config_from_dict(fit_flow(each, presets.get(each), images)[0])
        assert (config.image_shape, config.num_bits) == ((side, side, 3), num_bits)


def test_presets_are_complete_and_checked():
    families = {"digits": ("glow", "realnvp", "nice", "maf", "iaf", "glow_classes", "realnvp_classes"),
                "fashion_mnist": ("glow", "realnvp", "best"), "toy": ("realnvp", "maf")}
    expected = {*PUBLISHED, *(f"{family}_{system}" for family, systems in families.items() for system in systems)}
    assert set(presets.PRESETS) == expected | {f"{name}_smoke" for name in expected}
    budgets = {(p.batch_size, p.epochs, p.optimizer, p.learning_rate, p.schedule, p.warmup_epochs, p.pixel_noise)
               for p in (presets.get(f"digits_{system}") for system in families["digits"])}
    assert len(budgets) == 1  # so that they can be compared
    assert presets.get("digits_glow", epochs=3, seed=None).epochs == 3
    with pytest.raises(ValueError, match="preset: must be one of digits_glow, "):
        presets.get("glow")


def test_strategy_needs_equal_shares():
    class Two:
        num_replicas_in_sync = 2
    strategy.check_batch(4, Two)
    with pytest.raises(ValueError, match="batch_size: must be divisible by the 2 replicas; got 5"):
        strategy.check_batch(5, Two)
    with pytest.raises(ValueError, match="strategy: must be one of"):
        strategy.choose("tpu")
    assert strategy.choose("none").num_replicas_in_sync == 1


def test_differences_are_nested():
    there, here = {"a": 1, "b": {"c": 2, "d": 3}}, {"a": 1, "b": {"c": 5}, "e": 6}
    assert differences(there, here) == {"b.c": (2, 5), "b.d": (3, None), "e": (None, 6)}


def test_eight_bits_are_reduced_to_the_models(tmp_path):
    write_idx(tmp_path, {"train": 20}, shape=(8, 8))
    grey = data.load(f"idx:{tmp_path}")
    preset = dataclasses.replace(presets.get("digits_glow_smoke"), num_bits=5)
    config = configure("digits_glow_smoke", preset, "idx", grey)
    evaluation.check_fits(config, grey, "run")
    assert (config["data_levels"], config["num_levels"], config["flow"]["num_bits"]) == (256, 32, 5)
    for batches in (training_batches(config, grey, 0).take(1), evaluation.split_batches(config, grey, "train", 16)):
        assert 16 < max(images.numpy().max() for images in batches) < 32
