# SPDX-License-Identifier: Apache-2.0
"""Parts of the trainers: batches, image grids, learning rates, presets and strategies."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_runs import write_idx

from tfp_glow.flows import config_from_dict
from trainers import data, presets
from trainers.distribute import strategies
from trainers.evaluation import histogram_baseline, scores
from trainers.optimization import optimizers
from trainers.reporting import png_files
from trainers.runs.configuration import configure, fit_flow
from trainers.runs.run_directory import differences
from trainers.training.training_batches import training_batches


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


def test_training_batches_resume_at_any_step(digits):
    preset = presets.get("digits_glow_smoke")
    config = configure("digits_glow_smoke", preset, "digits", digits)
    assert config["training"]["pixel_noise"] > 0
    assert not {"beta_2", "weight_decay"} & set(config["training"])  # As in the files of earlier versions.
    whole = [images.numpy() for images in training_batches(config, digits, 0).take(90)]  # 84 per epoch
    for step in (3, 84, 86):
        np.testing.assert_array_equal(next(iter(training_batches(config, digits, step))), whole[step])


def test_pixel_noise_replaces_pixels_with_gray_levels(digits):
    preset = dataclasses.replace(presets.get("digits_glow_smoke"), batch_size=1350, pixel_noise=0.1)
    noisy = configure("digits_glow_smoke", preset, "digits", digits)
    clean = {**noisy, "training": {**noisy["training"], "pixel_noise": 0.0}}
    a, b = (next(iter(training_batches(config, digits, 0))).numpy() for config in (noisy, clean))
    changed = a[a != b]
    assert changed.size / a.size == pytest.approx(0.1 * 16 / 17, rel=0.2)
    assert set(changed) == set(range(17))


def test_histogram_baseline():
    train_images = np.array([0, 0, 1, 2]).reshape(4, 1, 1, 1)
    test_images = np.array([0, 2]).reshape(2, 1, 1, 1)
    # The counts are 2, 1, 1, 0. Add-one smoothing gives probability 3/8 to value 0 and 2/8 to value 2.
    expected = -(np.log2(3 / 8) + np.log2(2 / 8)) / 2
    for batches in ([test_images], [test_images[:1], test_images[1:]]):
        bits = histogram_baseline.histogram_bits_per_dim(
            [train_images[:3], train_images[3:]], batches, (1, 1, 1), num_levels=4)
        assert bits == pytest.approx(expected)


def test_grid_scales_gray_levels():
    images = np.zeros((5, 2, 2, 1), "uint8")
    images[1], images[4], images[2] = 16, 8, 31
    picture = png_files.image_grid(images, num_levels=17)
    assert picture.mode == "L" and picture.size == (510, 357)  # three columns, two rows, enlarged 51 times
    pixels = np.array(picture)[25::51, 25::51]
    np.testing.assert_array_equal(pixels[1::3, 1::3], [[0, 255, 255], [0, 128, 90]])
    assert (pixels[::3] == 90).all() and (pixels[:, ::3] == 90).all()
    assert png_files.image_grid(np.zeros((2, 600, 600, 3), "uint8"), 256).size == (1203, 602)
    with pytest.raises(ValueError, match="1 or 3 channels"):
        png_files.image_grid(np.zeros((1, 2, 2, 2), "uint8"), 256)


def test_learning_rate_schedule():
    training = {"optimizer": "adamax", "learning_rate": 0.1, "warmup_epochs": 2, "schedule": "constant",
                "ema_momentum": None, "clip_norm": None}

    def rates(**changes):
        schedule = optimizers.make_optimizer({**training, **changes}, 10, 5)._learning_rate
        return [float(schedule(step)) for step in (0, 5, 10, 30, 50)]
    assert rates() == pytest.approx([0, 0.05, 0.1, 0.1, 0.1])
    assert rates(warmup_epochs=0) == pytest.approx([0.1] * 5)
    assert rates(schedule="cosine") == pytest.approx([0, 0.05, 0.1, 0.05, 0])
    assert rates(schedule="cosine", warmup_epochs=10)[-1] == 0.0  # At most half of the steps are warm-up.


# Image side, batch size, bits per channel value and flow, from the commands that Kingma and Dhariwal published and
# from section 4.1 of Dinh, Sohl-Dickstein and Bengio.
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
def test_presets_match_the_papers(name):
    side, batch_size, num_bits, flow = PUBLISHED[name]
    preset = presets.get(name)
    kind = name.split("_")[0]
    own = {"backprop": "reversible"} if kind == "glow" else {}  # Changes training, not the flow.
    assert dict(preset.flow) == {"flow": kind, **flow, **own}
    assert (preset.batch_size, preset.num_bits, preset.learning_rate) == (batch_size, num_bits, 1e-3)
    assert (preset.optimizer, preset.schedule) == ({"glow": "adamax", "realnvp": "adam"}[kind], "constant")
    check_images(name, side, num_bits)


def check_images(name, side, num_bits):
    """Checks that the preset and its smoke preset accept images of the size in the paper."""
    images = data.ImageData(name, (side, side, 3), 256, None, {})
    for each in (name, f"{name}_smoke"):
        arguments = config_from_dict(fit_flow(each, presets.get(each), images)[0]).arguments
        assert (arguments["image_shape"], arguments["num_bits"]) == ((side, side, 3), num_bits)


# Couplings and transformer blocks per coupling, from section 3 of Kolesnikov, Pinto and Tschannen and their code.
JETS = {"jet_imagenet64": (32, 2), "jet_large_imagenet64": (64, 5)}


@pytest.mark.parametrize("name", JETS)
def test_presets_of_jet_match_the_paper(name):
    preset, (depth, block_depth) = presets.get(name), JETS[name]
    assert dict(preset.flow) == {"flow": "jet", "patch_size": 4, "depth": depth, "block_depth": block_depth,
                                 "width": 512, "num_heads": 8, "backprop": "reversible"}
    assert (preset.optimizer, preset.beta_2, preset.learning_rate, preset.weight_decay, preset.clip_norm) == (
        "adamw", 0.95, 3e-4, 1e-5, 1.0)
    assert preset.schedule == "cosine" and preset.warmup_epochs == preset.epochs // 10
    check_images(name, 64, 8)


def test_adamw_decays_weights_with_the_learning_rate():
    """Gradients are 0, so the decay alone changes the weight: 0.1 per step at the highest learning rate."""
    preset = dataclasses.replace(presets.get("jet_imagenet64"), learning_rate=0.01, weight_decay=0.1, warmup_epochs=1)
    optimizer = optimizers.make_optimizer(vars(preset), epochs=3, steps_per_epoch=2)
    weight, values = keras.Variable(1.0), []
    for _ in range(4):
        optimizer.apply([keras.ops.zeros(())], [weight])
        values.append(float(weight))
    shares = [0.0, 0.5, 1.0, 0.5 * (1.0 + np.cos(np.pi / 4))]
    np.testing.assert_allclose(values, np.cumprod([1.0 - 0.1 * share for share in shares]), rtol=1e-5)
    assert (optimizer.beta_2, optimizer.global_clipnorm) == (0.95, 1.0)
    config = configure("x", presets.get("cifar10_jet_smoke"), "noise", data.ImageData(
        "noise", (32, 32, 3), 256, None, {split: tf.data.Dataset.range(64) for split in data.SPLITS}))
    assert (config["training"]["beta_2"], config["training"]["weight_decay"]) == (0.95, 1e-5)


@pytest.mark.parametrize(("wrong", "message"), [
    ({"beta_2": 1.0}, "beta_2: must be in"), ({"weight_decay": -0.1}, "weight_decay: must be in"),
    ({"weight_decay": float("nan")}, "weight_decay"), ({"optimizer": "adam"}, "beta_2: .* 0.999 for other"),
    ({"optimizer": "adam", "beta_2": 0.999}, "weight_decay: .* 0 for other"), ({"optimizer": "lion"}, "adamw; got"),
])
def test_wrong_options_of_adamw_raise(wrong, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(presets.get("jet_imagenet64"), **wrong)


def test_presets_are_complete_and_checked():
    families = {"digits": ("glow", "realnvp", "nice", "maf", "iaf", "glow_classes", "realnvp_classes"),
                "fashion_mnist": ("glow", "realnvp", "best", "coupling", "pixelcnn"),
                "cifar10": ("glow", "glow_classes", "coupling", "jet", "pixelcnn"),
                "toy": ("realnvp", "maf", "nsf")}
    small = {f"{family}_{system}" for family, systems in families.items() for system in systems}
    expected = {*PUBLISHED, *JETS, *small}
    assert set(presets.PRESETS) == expected | {f"{name}_smoke" for name in expected}
    budgets = {(p.batch_size, p.epochs, p.optimizer, p.learning_rate, p.schedule, p.warmup_epochs, p.pixel_noise)
               for p in (presets.get(f"digits_{system}") for system in families["digits"])}
    assert len(budgets) == 1  # equal budgets make results comparable
    assert presets.get("digits_glow", epochs=3, seed=None).epochs == 3
    with pytest.raises(ValueError, match="preset: no preset has the name 'glow_cifar'; did you mean glow_cifar10"):
        presets.get("glow_cifar")
    with pytest.raises(ValueError, match="did you mean digits_glow_smoke"):
        presets.get("digits_glow_smok")
    with pytest.raises(ValueError, match="no preset has the name '☃'; `--list_presets` lists all presets"):
        presets.get("☃")


def test_strategies_reject_bad_arguments():
    class Two:
        num_replicas_in_sync = 2
    strategies.check_batch(4, Two)
    with pytest.raises(ValueError, match="batch_size: must be divisible by the 2 replicas; got 5"):
        strategies.check_batch(5, Two)
    with pytest.raises(ValueError, match="strategy: must be one of"):
        strategies.choose("tpu")
    assert strategies.choose("none").num_replicas_in_sync == 1


def test_differences_of_nested_dictionaries():
    there, here = {"a": 1, "b": {"c": 2, "d": 3}}, {"a": 1, "b": {"c": 5}, "e": 6}
    assert differences(there, here) == {"b.c": (2, 5), "b.d": (3, None), "e": (None, 6)}


def test_eight_bit_images_are_reduced_to_the_bits_of_the_model(tmp_path):
    write_idx(tmp_path, {"train": 20}, shape=(8, 8))
    gray = data.load(f"idx:{tmp_path}")
    preset = dataclasses.replace(presets.get("digits_glow_smoke"), num_bits=5)
    config = configure("digits_glow_smoke", preset, "idx", gray)
    scores.check_data(config, gray, "run")
    assert (config["data_levels"], config["num_levels"], config["flow"]["num_bits"]) == (256, 32, 5)
    for batches in (training_batches(config, gray, 0).take(1), scores.split_batches(config, gray, "train", 16)):
        assert 16 < max(images.numpy().max() for images in batches) < 32
