# SPDX-License-Identifier: Apache-2.0
"""Images from IDX files, folders and TFDS: the loaded data and the errors."""

import gzip

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from small_runs import arrays, rows, write_idx_file

from trainers import data as data_lib

pytestmark = pytest.mark.usefixtures("cache")


def idx_dir(path, train=40, test=7, ending=".gz", seed=0):
    rng = np.random.default_rng(seed)
    for prefix, size in (("train", train), ("t10k", test)):
        if size:
            images = rng.integers(0, 256, (size, 5, 4), np.uint8)
            write_idx_file(path / f"{prefix}-images-idx3-ubyte{ending}", images)
            write_idx_file(path / f"{prefix}-labels-idx1-ubyte{ending}", np.arange(size, dtype=np.uint8) % 3)
    return path


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_idx(tmp_path, ending):
    data = data_lib.load(f"idx:{idx_dir(tmp_path, ending=ending)}")
    assert (data.image_shape, data.num_levels, data.num_bits, data.num_classes) == ((5, 4, 1), 256, 8, 3)
    assert [data.num_examples(split) for split in data_lib.SPLITS] == [36, 4, 7]
    raw = (tmp_path / f"train-images-idx3-ubyte{ending}").read_bytes()
    source = np.frombuffer((gzip.decompress(raw) if ending else raw)[16:], np.uint8).reshape(40, 5, 4, 1)
    order = np.random.RandomState(0).permutation(40)
    for split, part in (("train", order[:36]), ("validation", order[36:])):
        images, labels = arrays(data, split)
        np.testing.assert_array_equal(images, source[part])
        np.testing.assert_array_equal(labels, part % 3)


def test_idx_without_test_and_labels_and_with_changed_content(tmp_path):
    idx_dir(tmp_path, train=20, test=0)
    (tmp_path / "train-labels-idx1-ubyte.gz").unlink()
    data = data_lib.load(f"idx:{tmp_path}")
    assert data.num_classes is None and data.label_names is None
    parts = {split: arrays(data, split) for split in data_lib.SPLITS}
    assert [len(images) for images, _ in parts.values()] == [17, 1, 2]
    assert len(set.union(*(rows(images) for images, _ in parts.values()))) == 20
    assert not parts["train"][1].any()

    idx_dir(tmp_path, train=20, test=0, seed=1)
    assert not rows(arrays(data_lib.load(f"idx:{tmp_path}"), "train")[0]) & rows(parts["train"][0])


def test_num_bits_rounds_down(tmp_path):
    data = data_lib.load(f"idx:{idx_dir(tmp_path)}")
    full, _ = arrays(data, "train")
    ((reduced, _),) = data_lib.dataset(data, "train", 36, shuffle=False, num_bits=3)
    np.testing.assert_array_equal(reduced, full // 32)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-5])


IDX_DAMAGE = {
    "corrupt idx file .*train-images.*: sizes .* do not match its 795 bytes": lambda d: truncate(
        d / "train-images-idx3-ubyte"
    ),
    "corrupt idx file .*: 0 bytes are too few": lambda d: (d / "t10k-images-idx3-ubyte").write_bytes(b""),
    "magic number must be 2049; got 2051": lambda d: write_idx_file(
        d / "train-labels-idx1-ubyte", np.zeros([40, 1, 1], np.uint8)
    ),
    "40 images but 39 labels": lambda d: write_idx_file(d / "train-labels-idx1-ubyte", np.zeros(39, np.uint8)),
    r"labels of .* test must be in \[0, 3\); got 9": lambda d: write_idx_file(
        d / "t10k-labels-idx1-ubyte", np.full(7, 9, np.uint8)
    ),
    "the same size; got .5, 4. and .6, 6.": lambda d: write_idx_file(
        d / "t10k-images-idx3-ubyte", np.zeros([7, 6, 6], np.uint8)
    ),
    "must hold train-images-idx3-ubyte": lambda d: (d / "train-images-idx3-ubyte").unlink(),
    "or for none; got images of train, test and labels of train$": lambda d: (d / "t10k-labels-idx1-ubyte").unlink(),
}


@pytest.mark.parametrize("message", IDX_DAMAGE)
def test_damaged_idx_files_are_rejected(tmp_path, message):
    IDX_DAMAGE[message](idx_dir(tmp_path, ending=""))
    with pytest.raises(ValueError, match=message):
        data_lib.load(f"idx:{tmp_path}")


def test_truncated_gzip_files_are_rejected(tmp_path):
    truncate(idx_dir(tmp_path) / "train-images-idx3-ubyte.gz")
    with pytest.raises(ValueError, match="corrupt idx file"):
        data_lib.load(f"idx:{tmp_path}")


def write_images(directory, count, mode="RGB", size=(4, 6), seed=0, ending=".png"):
    directory.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for number in range(count):
        pixels = rng.integers(0, 256, (size[1], size[0], 3), np.uint8)
        PIL.Image.fromarray(pixels).convert(mode).save(directory / f"{number}{ending}")
    return directory


def pixels_in(directory, mode):
    return {np.asarray(PIL.Image.open(path).convert(mode)).tobytes() for path in directory.rglob("*.png")}


def test_folder_with_splits_is_read_in_place(tmp_path, cache):
    for number, label in enumerate(("cat", "dog")):
        write_images(tmp_path / "train" / label, 6, seed=number)
        write_images(tmp_path / "test" / label, 2, seed=10 + number)
    data = data_lib.load(f"folder:{tmp_path}")
    assert (data.image_shape, data.label_names, data.num_bits) == ((6, 4, 3), ("cat", "dog"), 8)
    assert [data.num_examples(split) for split in data_lib.SPLITS] == [11, 1, 4]
    assert rows(arrays(data, "test")[0]) == pixels_in(tmp_path / "test", "RGB")
    images = {split: rows(arrays(data, split)[0]) for split in ("train", "validation")}
    assert images["train"] | images["validation"] == pixels_in(tmp_path / "train", "RGB")
    dogs = pixels_in(tmp_path / "train" / "dog", "RGB")
    images, labels = arrays(data, "train")
    assert [image.tobytes() in dogs for image in images] == labels.tolist()
    assert not (cache / "folder").exists()  # Only the result of the check is stored.


@pytest.mark.parametrize("labels", [["a", "b"], [""]])
def test_flat_folder_of_gray_images(tmp_path, labels):
    for number, label in enumerate(labels):
        write_images(tmp_path / label, 20 // len(labels), mode="L", seed=number)
    data = data_lib.load(f"folder:{tmp_path}")
    assert data.image_shape == (6, 4, 1)
    assert data.label_names == (("a", "b") if len(labels) == 2 else None)
    parts = {split: arrays(data, split) for split in data_lib.SPLITS}
    assert [len(images) for images, _ in parts.values()] == [17, 1, 2]
    assert set.union(*(rows(images) for images, _ in parts.values())) == pixels_in(tmp_path, "L")
    if data.num_classes:
        in_b = pixels_in(tmp_path / "b", "L")
        for images, classes in parts.values():
            assert [image.tobytes() in in_b for image in images] == classes.tolist()


def test_mixed_modes_become_rgb(tmp_path):
    for number, mode in enumerate(("L", "1", "RGB", "RGBA", "P", "LA")):
        write_images(tmp_path, 1, mode, seed=number, ending=f"-{mode}.png")
    data = data_lib.load(f"folder:{tmp_path}")
    assert data.image_shape == (6, 4, 3)
    seen = set.union(*(rows(arrays(data, split)[0]) for split in data_lib.SPLITS))
    assert seen == pixels_in(tmp_path, "RGB")


def test_jpeg(tmp_path):
    write_images(tmp_path, 5, ending=".JPG")
    data = data_lib.load(f"folder:{tmp_path}")
    assert [data.num_examples(split) for split in data_lib.SPLITS] == [3, 1, 1]
    images, _ = arrays(data, "test")
    close = [
        np.abs(images[0].astype(int) - np.asarray(PIL.Image.open(path)).astype(int)).max()
        for path in tmp_path.iterdir()
    ]
    assert min(close) <= 4  # Two decoders may round differently.


def write_16_bit_rgb(path):
    """Writes a 16-bit RGB file with TensorFlow. Pillow reads such files but cannot write them."""
    path.write_bytes(tf.io.encode_png(tf.zeros([6, 4, 3], tf.uint16)).numpy())


FOLDER_DAMAGE = {
    "0.png is 4x6, .*odd/0.png is 5x6": lambda d: write_images(d / "odd", 1, size=(5, 6)),
    "corrupt image .*a/1.png": lambda d: truncate(d / "a" / "1.png"),
    "corrupt image .*a/text.png": lambda d: (d / "a" / "text.png").write_text("not an image"),
    "8 bits per channel value; .*deep.png": lambda d: write_16_bit_rgb(d / "a" / "deep.png"),
    "8 bits per channel value; .*gray.png": lambda d: PIL.Image.new("I;16", (4, 6)).save(d / "a" / "gray.png"),
    "either all images or none must be in class directories": lambda d: write_images(d, 1),
    "images must be in .*CLASS or in .*SPLIT/CLASS with a directory .*train; found .*a/b/0.png": (
        lambda d: write_images(d / "a" / "b", 1)),
    "a/9.png is a link to a file that does not exist": lambda d: (d / "a" / "9.png").symlink_to(d / "nowhere.png"),
    "too few train images": lambda d: [(d / "a" / f"{n}.png").unlink() for n in (1, 2)],
    "no images .* in": lambda d: [(d / "a" / f"{n}.png").unlink() for n in (0, 1, 2)],
    "must be in SPLIT/CLASS/, because .*train exists; found .*a/0.png": lambda d: write_images(d / "train", 1),
    "has no train images; its splits with images: test": lambda d: [
        (d / "train").mkdir(),
        write_images(d / "test" / "a", 1),
        [(d / "a" / f"{n}.png").unlink() for n in (0, 1, 2)],
    ],
}


@pytest.mark.parametrize("message", FOLDER_DAMAGE)
def test_damaged_folders_are_rejected(tmp_path, message):
    write_images(tmp_path / "a", 3)
    FOLDER_DAMAGE[message](tmp_path)
    with pytest.raises(ValueError, match=message) as caught:
        data_lib.load(f"folder:{tmp_path}")
    assert "\n" not in str(caught.value)


def test_tfds_mocked():
    with tfds.testing.mock_data(num_examples=20):
        data = data_lib.load("tfds:cifar10")
    assert (data.image_shape, data.num_levels, data.num_classes) == ((32, 32, 3), 256, 10)
    assert [data.num_examples(split) for split in data_lib.SPLITS] == [18, 2, 20]
    batches = list(data_lib.dataset(data, "train", 9, shuffle=True))
    assert [images.shape for images, _ in batches] == [(9, 32, 32, 3)] * 2


def test_tfds_images_of_several_sizes():
    with tfds.testing.mock_data(num_examples=5), pytest.raises(ValueError, match="must have the same size"):
        data_lib.load("tfds:downsampled_imagenet/32x32")


def test_tfds_network_failure_is_one_line(tmp_path, monkeypatch):
    def fails(*args, **kwargs):
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr("trainers.data.tfds_catalog._resolves", lambda host: True)
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", fails)
    with pytest.raises(ValueError, match="^data: tfds:cifar10 cannot be prepared: no route$"):
        data_lib.load("tfds:cifar10", str(tmp_path))
    monkeypatch.setattr("trainers.data.tfds_catalog._resolves", lambda host: False)
    monkeypatch.setattr("urllib.request.getproxies", dict)
    with pytest.raises(ValueError, match="not on disk, and .* cannot be reached"):
        data_lib.load("tfds:cifar10", str(tmp_path))
    with pytest.raises(ValueError, match="^data: tfds:cifar10 is not on disk"):
        data_lib.load("tfds:cifar10", str(tmp_path), download=False)


def test_names_of_splits_in_any_case(tmp_path):
    for number, split in enumerate(("Train", "VAL", "Testing")):
        write_images(tmp_path / split / "a", 4 + number, seed=number)
    data = data_lib.load(f"folder:{tmp_path}")
    assert [data.num_examples(split) for split in data_lib.SPLITS] == [4, 5, 6]
    assert data.label_names == ("a",)


def test_two_directories_of_one_split_are_rejected(tmp_path):
    for split in ("train", "val", "valid"):
        write_images(tmp_path / split / "a", 4)
    with pytest.raises(ValueError, match=r"several directories for the validation split: val, valid; merge them"):
        data_lib.load(f"folder:{tmp_path}")


@pytest.mark.parametrize("layout", ["", "cat", "train/cat"])
def test_hidden_and_added_files_are_left_out(layout, tmp_path):
    write_images(tmp_path / layout, 6)
    for name in ("__MACOSX", ".thumbnails", "@eaDir", ".Trash/cat"):
        write_images(tmp_path / layout / name, 2, seed=5)
        write_images(tmp_path / name, 2, seed=5)
    (tmp_path / layout / "._0.png").write_text("Finder's notes")
    data = data_lib.load(f"folder:{tmp_path}")
    assert sum(data.num_examples(split) for split in data_lib.SPLITS) == 6
    assert data.label_names == (("cat",) if layout else None)


def test_images_that_are_left_out_are_reported(tmp_path):
    write_images(tmp_path / "train" / "a", 6)
    write_images(tmp_path / "extra" / "a", 2)
    write_images(tmp_path / "test" / "b", 2)
    (tmp_path / "train" / "a" / "x.webp").touch()
    with pytest.warns(UserWarning) as caught:
        data = data_lib.load(f"folder:{tmp_path}")
    said = " ".join(str(warning.message) for warning in caught)
    assert "images in extra of" in said and "1 images in other formats than PNG and JPEG" in said
    assert "test images of classes without train images: b" in said
    assert [data.num_examples(split) for split in data_lib.SPLITS] == [5, 1, 2]


def test_classes_with_names_of_splits_are_reported(tmp_path):
    write_images(tmp_path / "val", 4)
    write_images(tmp_path / "test", 4, seed=1)
    with pytest.warns(UserWarning, match="no directory named train; the directories test, val are read as classes"):
        assert data_lib.load(f"folder:{tmp_path}").label_names == ("test", "val")
