# SPDX-License-Identifier: Apache-2.0
"""The data layer: every kind of SPEC, its splits, its order and its refusals."""

import gzip
import struct

import numpy as np
import PIL.Image
import pytest
import sklearn.datasets
import tensorflow as tf
import tensorflow_datasets as tfds

from trainers import data as data_lib
from trainers.data import store


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _own_cache(cache, monkeypatch):
    monkeypatch.setenv("TFP_GLOW_DATA_DIR", str(cache))


@pytest.fixture(scope="module")
def digits(cache):
    return data_lib.load("digits", str(cache))


def arrays(data, split):
    """All images and labels of a split in stored order."""
    size = data.num_examples(split)
    (batch,) = data_lib.dataset(data, split, size, shuffle=False)
    assert len(batch[0]) == size
    return batch[0].numpy(), batch[1].numpy()


def rows(images):
    return {image.tobytes() for image in images}


# digits and the pipeline


def test_digits_split_is_the_documented_one(digits):
    bunch = sklearn.datasets.load_digits()
    order = np.random.RandomState(0).permutation(1797)
    parts = {"train": order[:1350], "validation": order[1350:1500], "test": order[1500:]}
    for split, part in parts.items():
        images, labels = arrays(digits, split)
        np.testing.assert_array_equal(images[..., 0], bunch.images[part])
        np.testing.assert_array_equal(labels, bunch.target[part])
    assert (digits.image_shape, digits.num_levels, digits.num_bits) == ((8, 8, 1), 17, 5)
    assert digits.num_classes == 10 and digits.label_names[3] == "3"


def epochs(data, count, **kwargs):
    steps = data_lib.num_batches(data, "train", 100)
    batches = iter(data_lib.dataset(data, "train", 100, shuffle=True, repeat=True, **kwargs))
    return [np.concatenate([next(batches)[0].numpy() for _ in range(steps)]) for _ in range(count)]


def test_order_is_a_function_of_seed_and_epoch_alone(digits):
    tf.random.set_seed(1)
    first = epochs(digits, 3, seed=5, flip=True)
    tf.random.set_seed(2)
    resumed = epochs(digits, 1, seed=5, epoch=2, flip=True)
    np.testing.assert_array_equal(first[2], resumed[0])
    other = epochs(digits, 1, seed=6, epoch=2, flip=True)
    for a, b in ((first[0], first[1]), (first[1], first[2]), (resumed[0], other[0])):
        assert not np.array_equal(a, b)
    plain = epochs(digits, 2, seed=5)
    assert all(sorted(map(bytes, epoch)) == sorted(map(bytes, arrays(digits, "train")[0])) for epoch in plain)


def test_dataset_leaves_the_global_random_state_alone(digits):
    tf.random.set_seed(3)
    expected = tf.random.uniform([4]).numpy()
    tf.random.set_seed(3)
    data_lib.dataset(digits, "train", 10, shuffle=True, flip=True)
    np.testing.assert_array_equal(tf.random.uniform([4]), expected)


def test_flip_mirrors_about_half_of_the_images(digits):
    plain, flipped = epochs(digits, 1)[0], epochs(digits, 1, flip=True)[0]
    same = (plain == flipped).all((1, 2, 3))
    mirrored = (plain[:, :, ::-1] == flipped).all((1, 2, 3))
    assert (same | mirrored).all()
    assert 0.4 < mirrored.mean() < 0.6


@pytest.mark.parametrize("drop, sizes", [(False, [64, 64, 22]), (True, [64, 64])])
def test_batches(digits, drop, sizes):
    batches = data_lib.dataset(digits, "validation", 64, shuffle=False, drop_remainder=drop)
    assert [len(images) for images, _ in batches] == sizes
    assert len(batches) == data_lib.num_batches(digits, "validation", 64, drop) == len(sizes)
    images, labels = batches.element_spec
    assert (images.dtype, images.shape[1:]) == (tf.uint8, (8, 8, 1))
    assert (labels.dtype, images.shape[0]) == (tf.int64, 64 if drop else None)
    bare = data_lib.dataset(digits, "validation", 64, shuffle=False, drop_remainder=drop, labels=False)
    assert bare.element_spec == images


def test_repeat_is_endless_and_shards_batches(digits):
    batches = data_lib.dataset(digits, "train", 64, shuffle=True, repeat=True)
    assert batches.cardinality() == tf.data.INFINITE_CARDINALITY
    policy = batches.options().experimental_distribute.auto_shard_policy
    assert policy == tf.data.experimental.AutoShardPolicy.DATA


@pytest.mark.parametrize(
    "message, kwargs",
    [
        ("split: must be one of train, validation, test; got 'tets'", {"split": "tets"}),
        ("batch_size: must be at least 1; got 0", {"batch_size": 0}),
        ("batch_size: test of digits has only 297 examples", {"batch_size": 298, "drop_remainder": True}),
        ("num_bits: must be in .5, 8. for digits; got 4", {"num_bits": 4}),
        ("seed: must not be negative; got -1", {"seed": -1}),
        ("epoch: must not be negative; got -2", {"epoch": -2}),
    ],
)
def test_dataset_refuses(digits, message, kwargs):
    with pytest.raises(ValueError, match=message):
        data_lib.dataset(digits, **{"split": "test", "batch_size": 8, "shuffle": True, **kwargs})


# The store


def test_store_is_written_once_and_never_half(tmp_path, monkeypatch, capsys):
    images = np.zeros([20, 2, 2, 1], np.uint8)
    calls = []

    def splits():
        calls.append(1)
        return {"train": store.array_examples(images, None, None, "zeros")}

    def killed(*args, **kwargs):
        raise KeyboardInterrupt

    spec = store.features((2, 2, 1), None)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(store, "_move", killed)
        store.stored("zeros", "abc", spec, splits, str(tmp_path))
    assert not list(tmp_path.rglob("*.tfrecord*"))
    for _ in range(2):
        builder = store.stored("zeros", "abc", spec, splits, str(tmp_path))
        assert builder.info.splits["train"].num_examples == 20
    assert len(calls) == 2  # the killed run and the next; the last one read what was stored
    assert sorted(path.name for path in tmp_path.iterdir()) == ["zeros"]
    assert not capsys.readouterr().out


@pytest.mark.parametrize("labels, message", [([0, 3], "got 3"), ([-1, 0], "got -1"), ([0], "but 1 labels")])
def test_labels_must_fit(labels, message):
    with pytest.raises(ValueError, match=message):
        store.array_examples(np.zeros([2, 2, 2, 1], np.uint8), np.array(labels), 3, "x")


def test_unwritable_cache(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="cannot store digits in"):
        data_lib.load("digits", str(tmp_path / "file"))


# IDX files


def write_idx(path, array):
    raw = struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)


def idx_dir(path, train=40, test=7, ending=".gz", seed=0):
    rng = np.random.default_rng(seed)
    for prefix, size in (("train", train), ("t10k", test)):
        if size:
            images = rng.integers(0, 256, (size, 5, 4), np.uint8)
            write_idx(path / f"{prefix}-images-idx3-ubyte{ending}", images)
            write_idx(path / f"{prefix}-labels-idx1-ubyte{ending}", np.arange(size, dtype=np.uint8) % 3)
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


def test_idx_without_test_and_labels_then_changed(tmp_path):
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


def test_num_bits_floors(tmp_path):
    data = data_lib.load(f"idx:{idx_dir(tmp_path)}")
    full, _ = arrays(data, "train")
    ((reduced, _),) = data_lib.dataset(data, "train", 36, shuffle=False, num_bits=3)
    np.testing.assert_array_equal(reduced, full // 32)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-5])


IDX_DAMAGE = {
    "corrupt idx file .*train-images.*: sizes .* do not fit its 795 bytes": lambda d: truncate(
        d / "train-images-idx3-ubyte"
    ),
    "corrupt idx file .*: 0 bytes are too few": lambda d: (d / "t10k-images-idx3-ubyte").write_bytes(b""),
    "magic number must be 2049; got 2051": lambda d: write_idx(
        d / "train-labels-idx1-ubyte", np.zeros([40, 1, 1], np.uint8)
    ),
    "40 images but 39 labels": lambda d: write_idx(d / "train-labels-idx1-ubyte", np.zeros(39, np.uint8)),
    r"labels of .* test must be in \[0, 3\); got 9": lambda d: write_idx(
        d / "t10k-labels-idx1-ubyte", np.full(7, 9, np.uint8)
    ),
    "one size; got .5, 4. and .6, 6.": lambda d: write_idx(
        d / "t10k-images-idx3-ubyte", np.zeros([7, 6, 6], np.uint8)
    ),
    "holds no train-images-idx3-ubyte": lambda d: (d / "train-images-idx3-ubyte").unlink(),
    "images of .* but labels of .'train'.": lambda d: (d / "t10k-labels-idx1-ubyte").unlink(),
}


@pytest.mark.parametrize("message", IDX_DAMAGE)
def test_idx_refuses(tmp_path, message):
    IDX_DAMAGE[message](idx_dir(tmp_path, ending=""))
    with pytest.raises(ValueError, match=message):
        data_lib.load(f"idx:{tmp_path}")


def test_idx_refuses_truncated_gzip(tmp_path):
    truncate(idx_dir(tmp_path) / "train-images-idx3-ubyte.gz")
    with pytest.raises(ValueError, match="corrupt idx file"):
        data_lib.load(f"idx:{tmp_path}")


# Folders


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
    before = sorted(cache.rglob("*"))
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
    assert sorted(cache.rglob("*")) == before


@pytest.mark.parametrize("labels", [["a", "b"], [""]])
def test_flat_folder_of_grey_images(tmp_path, labels):
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
    assert min(close) <= 4  # two decoders may round differently


def deep_rgb(path):
    """A 16-bit RGB file, which Pillow reads but cannot write."""
    path.write_bytes(tf.io.encode_png(tf.zeros([6, 4, 3], tf.uint16)).numpy())


FOLDER_DAMAGE = {
    "0.png is 4x6, .*odd/0.png is 5x6": lambda d: write_images(d / "odd", 1, size=(5, 6)),
    "corrupt image .*a/1.png": lambda d: truncate(d / "a" / "1.png"),
    "corrupt image .*a/text.png": lambda d: (d / "a" / "text.png").write_text("not an image"),
    "8 bits a channel; .*deep.png": lambda d: deep_rgb(d / "a" / "deep.png"),
    "8 bits a channel; .*grey.png": lambda d: PIL.Image.new("I;16", (4, 6)).save(d / "a" / "grey.png"),
    "all in class folders or none": lambda d: write_images(d, 1),
    "too few train images": lambda d: [(d / "a" / f"{n}.png").unlink() for n in (1, 2)],
    "no images .* in": lambda d: [(d / "a" / f"{n}.png").unlink() for n in (0, 1, 2)],
    "beside .*train images must be in SPLIT/CLASS/; found .*a/0.png": lambda d: write_images(d / "train", 1),
    "has no train images; it has test": lambda d: [
        (d / "train").mkdir(),
        write_images(d / "test" / "a", 1),
        [(d / "a" / f"{n}.png").unlink() for n in (0, 1, 2)],
    ],
}


@pytest.mark.parametrize("message", FOLDER_DAMAGE)
def test_folder_refuses(tmp_path, message):
    write_images(tmp_path / "a", 3)
    FOLDER_DAMAGE[message](tmp_path)
    with pytest.raises(ValueError, match=message) as caught:
        data_lib.load(f"folder:{tmp_path}")
    assert "\n" not in str(caught.value)


# TFDS's catalogue, and specs as such


def test_tfds_mocked():
    with tfds.testing.mock_data(num_examples=20):
        data = data_lib.load("tfds:cifar10")
    assert (data.image_shape, data.num_levels, data.num_classes) == ((32, 32, 3), 256, 10)
    assert [data.num_examples(split) for split in data_lib.SPLITS] == [18, 2, 20]
    batches = list(data_lib.dataset(data, "train", 9, shuffle=True))
    assert [images.shape for images, _ in batches] == [(9, 32, 32, 3)] * 2


def test_tfds_images_of_several_sizes():
    with tfds.testing.mock_data(num_examples=5), pytest.raises(ValueError, match="must all be one size"):
        data_lib.load("tfds:downsampled_imagenet/32x32")


def test_tfds_network_failure_is_one_line(tmp_path, monkeypatch):
    def fails(*args, **kwargs):
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr("trainers.data.catalog._resolves", lambda host: True)
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", fails)
    with pytest.raises(ValueError, match="^data: tfds:cifar10 cannot be prepared: no route$"):
        data_lib.load("tfds:cifar10", str(tmp_path))
    monkeypatch.setattr("trainers.data.catalog._resolves", lambda host: False)
    monkeypatch.setattr("urllib.request.getproxies", dict)
    with pytest.raises(ValueError, match="not on disk, and .* cannot be reached"):
        data_lib.load("tfds:cifar10", str(tmp_path))
    with pytest.raises(ValueError, match="^data: tfds:cifar10 is not on disk"):
        data_lib.load("tfds:cifar10", str(tmp_path), download=False)


@pytest.mark.parametrize(
    "spec, message",
    [
        ("mnist", "unknown kind of set 'mnist'; known are digits, tfds:NAME, idx:DIR, folder:DIR"),
        ("digits:8", "unknown kind"),
        ("", "unknown kind"),
        ("tfds", "unknown kind"),
        ("tfds:", "nothing after the colon"),
        ("tfds:no_such_set", "TFDS cannot open 'no_such_set': Dataset no_such_set not found"),
        ("tfds:imdb_reviews", "no 8-bit image feature"),
        ("folder:/nowhere/at/all", "folder /nowhere/at/all does not exist"),
        ("idx:/nowhere/at/all", "idx directory /nowhere/at/all does not exist"),
    ],
)
def test_spec_refused(spec, message):
    with tfds.testing.mock_data(), pytest.raises(ValueError, match=message) as caught:
        data_lib.load(spec)
    assert "\n" not in str(caught.value)
