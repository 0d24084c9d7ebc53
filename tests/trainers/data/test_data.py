# SPDX-License-Identifier: Apache-2.0
"""Data sets: splits, order, batches and prepared sets."""

import numpy as np
import pytest
import sklearn.datasets
import tensorflow as tf
import tensorflow_datasets as tfds
from small_runs import arrays

from trainers import data as data_lib
from trainers.data import prepared_sets

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture(scope="module")
def digits(cache):
    return data_lib.load("digits", str(cache))


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


def test_order_depends_on_seed_and_epoch_only(digits):
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


def test_dataset_does_not_change_the_global_random_state(digits):
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
def test_dataset_rejects_bad_arguments(digits, message, kwargs):
    with pytest.raises(ValueError, match=message):
        data_lib.dataset(digits, **{"split": "test", "batch_size": 8, "shuffle": True, **kwargs})


def test_prepared_sets_are_stored_once_and_never_incomplete(tmp_path, monkeypatch, capsys):
    images = np.zeros([20, 2, 2, 1], np.uint8)
    calls = []

    def make_splits():
        calls.append(1)
        return {"train": prepared_sets.keyed_examples(images, None, None, "zeros")}

    def killed(*args, **kwargs):
        raise KeyboardInterrupt

    features = prepared_sets.image_features((2, 2, 1), None)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(prepared_sets, "_move_into_place", killed)
        prepared_sets.open_or_prepare("zeros", "abc", features, make_splits, str(tmp_path))
    assert not list(tmp_path.rglob("*.tfrecord*"))
    for _ in range(2):
        builder = prepared_sets.open_or_prepare("zeros", "abc", features, make_splits, str(tmp_path))
        assert builder.info.splits["train"].num_examples == 20
    assert len(calls) == 2  # The killed call and the next call. The last call reads the stored set.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["zeros"]
    assert not capsys.readouterr().out


@pytest.mark.parametrize("labels, message", [([0, 3], "got 3"), ([-1, 0], "got -1"), ([0], "but 1 labels")])
def test_labels_must_match_the_images(labels, message):
    with pytest.raises(ValueError, match=message):
        prepared_sets.keyed_examples(np.zeros([2, 2, 2, 1], np.uint8), np.array(labels), 3, "x")


def test_unwritable_cache(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="cannot store digits in .*; set TFP_GLOW_DATA_DIR to a writable directory"):
        data_lib.load("digits", str(tmp_path / "file"))


@pytest.mark.parametrize(
    "spec, message",
    [
        ("mnist", "data: must be one of digits, tfds:NAME, idx:DIR, folder:DIR, .*; got 'mnist'"),
        ("digits:8", "data: must be one of"),
        ("", "data: must be one of"),
        ("tfds", "data: must be one of"),
        ("tfds:", "must have a name or a path after the colon"),
        ("tfds:no_such_set", "TFDS cannot open 'no_such_set': Dataset no_such_set not found"),
        ("tfds:imdb_reviews", "no 8-bit image feature"),
        ("folder:/nowhere/at/all", "folder /nowhere/at/all does not exist"),
        ("idx:/nowhere/at/all", "idx directory /nowhere/at/all does not exist"),
    ],
)
def test_bad_specs_are_rejected(spec, message):
    with tfds.testing.mock_data(), pytest.raises(ValueError, match=message) as caught:
        data_lib.load(spec)
    assert "\n" not in str(caught.value)
