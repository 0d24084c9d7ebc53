# SPDX-License-Identifier: Apache-2.0
"""Cropping, resizing and attributes of images, in data sets and on the command line."""

import json

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from small_flows import eagerly
from small_runs import arrays
from test_data_files import write_images

from trainers import data as data_lib
from trainers import evaluate, interpolate, presets, train
from trainers.data.crop_and_resize import CropAndResize
from trainers.data.tfds_builders import image_data_from_builder


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TFP_GLOW_DATA_DIR", str(tmp_path / "cache"))


def resized(image, **sides):
    return CropAndResize(**sides)(tf.constant(image)).numpy()


def test_crop_is_central_and_resize_averages_pixels():
    image = np.random.RandomState(0).randint(0, 256, (7, 10, 3)).astype("uint8")
    np.testing.assert_array_equal(resized(image), image)
    np.testing.assert_array_equal(resized(image, crop=4), image[1:5, 3:7])
    means = image[1:5, 3:7].reshape(2, 2, 2, 2, 3).mean(axis=(1, 3))
    result = resized(image, crop=4, resize=2)
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, np.round(means))
    # Without a crop, the largest central square is resized. Along each side, 3 pixels average 7/3 pixels each.
    weights = np.clip(np.minimum.outer([7 / 3, 14 / 3, 7], np.arange(1, 8))
                      - np.maximum.outer([0, 7 / 3, 14 / 3], np.arange(7)), 0, None) * 3 / 7
    means = np.einsum("ai,bj,ijc->abc", weights, weights, image[:, 1:8].astype(float))
    assert np.abs(resized(image, resize=3) - means).max() <= 0.501
    np.testing.assert_array_equal(resized(image[:, :7], resize=7), image[:, :7])
    np.testing.assert_array_equal(resized(image[:4, :4], resize=8), np.kron(image[:4, :4], np.ones((2, 2, 1), "uint8")))


@pytest.mark.parametrize("layout", ["classes", "flat", "splits"])
def test_folders_of_images_of_several_sizes(layout, tmp_path):
    root = tmp_path / "images"
    for label, size in (("a", (9, 12)), ("b", (16, 8))):
        where = {"classes": root / label, "flat": root, "splits": root / "train" / label}[layout]
        write_images(where, 10, size=size, seed=size[0], ending=f"{label}.png")
    data = data_lib.load(f"folder:{root}", crop=8, resize=4)
    assert data.image_shape == (4, 4, 3)
    assert data.label_names == (None if layout == "flat" else ("a", "b"))
    seen = {image.tobytes() for split in data_lib.SPLITS for image in arrays(data, split)[0]}
    expected = {resized(np.asarray(PIL.Image.open(path)), crop=8, resize=4).tobytes() for path in root.rglob("*.png")}
    assert seen == expected and len(seen) == 20
    again = data_lib.load(f"folder:{root}", crop=8)
    assert again.image_shape == (8, 8, 3)
    with pytest.raises(ValueError, match="must have the same size unless --crop or --resize is given; .* is "):
        data_lib.load(f"folder:{root}")
    with pytest.raises(ValueError, match=r"crop: must not be larger than an image; .*b.png is 16x8; got 9$"):
        data_lib.load(f"folder:{root}", crop=9)


@pytest.mark.parametrize(("config", "message"), [
    ({"crop": 20}, r"crop: must not be larger than an image; .* is 6x4; got 20, the run's crop$"),
    ({}, r"must have the same size unless the run was trained with --crop or --resize; .* is 6x4, .* is 6x5$")])
def test_errors_name_the_crop_of_a_run(config, message, tmp_path):
    for label, size in (("a", (6, 4)), ("b", (6, 5))):
        write_images(tmp_path / label, 5, size=size, seed=size[1])
    with pytest.raises(ValueError, match=message):
        data_lib.load_for_run(f"folder:{tmp_path}", config)
    with pytest.raises(ValueError, match="resize: is for images; toy:two_moons has vectors; got 4, the run's resize$"):
        data_lib.load_for_run("toy:two_moons", {"resize": 4})


def test_sets_of_the_tfds_catalog():
    with tfds.testing.mock_data(num_examples=12):
        data = data_lib.load("tfds:downsampled_imagenet/32x32", resize=8)  # Mocked images have random sizes.
        assert data.image_shape == (8, 8, 3)
        images, _ = arrays(data, "train")
        assert images.dtype == np.uint8 and images.shape[1:] == (8, 8, 3)
        cifar = data_lib.load("tfds:cifar10")
        small = data_lib.load("tfds:cifar10", crop=30, resize=15)
        for split in data_lib.SPLITS:
            (images, labels), (whole, same) = arrays(small, split), arrays(cifar, split)
            np.testing.assert_array_equal(labels, same)
            np.testing.assert_array_equal(images, [resized(image, crop=30, resize=15) for image in whole])
        with pytest.raises(ValueError, match="crop: must not be larger than an image; an image of cifar10 is 32x32"):
            data_lib.load("tfds:cifar10", crop=33)


def test_validation_replaces_a_missing_test_split(tmp_path):
    """The papers test on the validation split of ImageNet and LSUN. TFDS has no test split of them."""
    write_images(tmp_path / "train" / "a", 20)
    write_images(tmp_path / "validation" / "a", 3, seed=1)
    builder = tfds.folder_dataset.ImageFolder(str(tmp_path), shape=(6, 4, 3), dtype=tf.uint8)
    for validation_is_test, sizes in ((True, [18, 2, 3]), (False, [18, 3, 2])):
        data = image_data_from_builder(builder, "set", validation_is_test=validation_is_test)
        assert [data.num_examples(split) for split in data_lib.SPLITS] == sizes


def test_images_of_four_channels_are_refused(tmp_path):
    """Else the first picture of samples would end the training, after the first epoch."""
    write_images(tmp_path / "train" / "a", 3)
    builder = tfds.folder_dataset.ImageFolder(str(tmp_path), shape=(6, 4, 4), dtype=tf.uint8)
    with pytest.raises(ValueError, match="^data: set has images of 4 channels; they must have 1 or 3"):
        image_data_from_builder(builder, "set")


def test_presets_crop_and_resize_as_the_papers_do():
    published = {"realnvp_celeba64": (148, 64), "realnvp_lsun": (171, 64), "glow_lsun": (171, 64),
                 "realnvp_imagenet64": (None, None), "glow_cifar10": (None, None)}
    for name, sides in published.items():
        for each in (name, f"{name}_smoke"):
            assert (presets.get(each).crop, presets.get(each).resize) == sides


@pytest.mark.parametrize(("message", "spec", "sides"), [
    ("crop: must be an integer of at least 1; got -3", "digits", {"crop": -3}),
    ("resize: must be an integer of at least 1; got 0", "digits", {"resize": 0}),
    ("crop: must not be larger than an image; an image of digits is 8x8; got 9", "digits", {"crop": 9, "resize": 4}),
    ("resize: is for images; toy:two_moons has vectors; got 4", "toy:two_moons", {"resize": 4}),
])
def test_bad_sides_are_rejected(message, spec, sides):
    with pytest.raises(ValueError, match=message):
        data_lib.load(spec, **sides)


def test_attributes_become_labels():
    with tfds.testing.mock_data(num_examples=20):
        faces = data_lib.load("tfds:celeb_a", crop=148, resize=64)
        assert faces.image_shape == (64, 64, 3) and faces.label_names is None
        assert len(faces.attribute_names) == 40 and "Smiling" in faces.attribute_names
        smiling = faces.labeled_by("Smiling")
        assert smiling.label_names == ("not Smiling", "Smiling") and smiling.image_shape == (64, 64, 3)
        (images, labels), (plain, _) = arrays(smiling, "train"), arrays(faces, "train")
        np.testing.assert_array_equal(images, plain)
        builder = tfds.builder("celeb_a")
        expected = [int(example["attributes"]["Smiling"]) for example in builder.as_dataset(split="train").take(18)]
        assert labels.tolist() == expected and 0 < sum(expected) < 18
    with pytest.raises(ValueError, match="must be one of the attributes of celeb_a .*Smiling.*; got 'Grinning'"):
        faces.labeled_by("Grinning")


def test_a_run_keeps_its_crop_and_resize(tmp_path, capsys):
    """Trains, evaluates and interpolates on mocked CelebA images of 4x4 pixels."""
    run = tmp_path / "run"
    with tfds.testing.mock_data(num_examples=40):
        command = ["train", "--preset=digits_nice_smoke", "--data=tfds:celeb_a", f"--output_dir={run}", "--epochs=1",
                   "--crop=148", "--noreport", "--notensorboard"]
        assert train.main([*command, "--resize=4"]) == 0
        config = json.loads((run / "config.json").read_text())
        assert (config["crop"], config["resize"], config["flow"]["event_shape"]) == (148, 4, [4, 4, 3])
        assert train.main([*command, "--resize=8"]) == 1
        assert "flow.event_shape [4, 4, 3] (now [8, 8, 3]); resize 4 (now 8)" in capsys.readouterr().err
        of_run = [f"--run_dir={run}", "--data=tfds:celeb_a"]
        out = tmp_path / "out.png"
        with eagerly():
            assert evaluate.main(["evaluate", *of_run, "--split=test", "--nobaseline"]) == 0
            assert json.loads(capsys.readouterr().out.splitlines()[-1])["num_examples"] == 40
            assert interpolate.main(["interpolate", *of_run, "--attribute=Smiling", "--num=1", "--steps=3",
                                     f"--out={out}"]) == 0
        assert out.exists()
