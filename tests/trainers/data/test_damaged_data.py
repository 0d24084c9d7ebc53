# SPDX-License-Identifier: Apache-2.0
"""Lost, truncated and changed files of data sets, and full disks: repaired, or reported with a remedy."""

import errno
import os
import resource
import shutil
import warnings

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from small_runs import arrays, error_of, write_idx
from test_data_files import write_images

from trainers import data as data_lib
from trainers import evaluate
from trainers.data import image_folder, prepared_sets


def truncate(path):
    path.write_bytes(path.read_bytes()[:path.stat().st_size // 2])


def flip(path):
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    path.write_bytes(raw)


DAMAGE = {"truncated": truncate, "flipped": flip, "empty": lambda path: path.write_bytes(b""),
          "lost": lambda path: path.unlink()}


@pytest.fixture()
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TFP_GLOW_DATA_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture()
def spec(tmp_path, cache):
    (tmp_path / "idx").mkdir()
    write_idx(tmp_path / "idx", {"train": 20, "t10k": 5}, shape=(4, 4))
    return f"idx:{tmp_path / 'idx'}"


def quietly(spec, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return data_lib.load(spec, **kwargs)


def all_arrays(data):
    return [array for split in data_lib.SPLITS for array in arrays(data, split)]


def test_damaged_prepared_sets_are_stored_again(spec, cache):
    expected = all_arrays(quietly(spec))
    (home,) = cache.glob("idx/*")
    names = sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())
    assert len(names) == 6  # two files of records, two of TFDS's infos, the names of the labels, the list of files
    records = next(name for name in names if "train.tfrecord" in name)
    for name, kind in [*zip(names, 2 * [*DAMAGE], strict=False), *((records, kind) for kind in DAMAGE)]:
        DAMAGE[kind](home / name)
        with pytest.warns(UserWarning, match=f"prepared set in {home} is damaged and is stored again.*{name}"):
            data = data_lib.load(spec)
        if name == records:
            assert all(map(np.array_equal, all_arrays(data), expected))
    shutil.rmtree(home / "1.0.0")
    with pytest.warns(UserWarning, match="is missing"):
        data_lib.load(spec)
    quietly(spec)
    assert [path.name for path in cache.iterdir()] == ["idx"]


def test_copied_sets_are_not_damaged(spec, cache):
    """A copy has the same content and other times."""
    quietly(spec)
    (home,) = cache.glob("idx/*")
    for path in home.rglob("*"):
        os.utime(path, ns=(1, 1))
    quietly(spec)
    quietly(spec, verify=True)


def test_a_change_that_keeps_the_time_is_found_when_it_is_read(spec, cache, monkeypatch, digits_run):
    """Of a large set, the hashes are compared on demand, or if a time has changed."""
    monkeypatch.setattr(prepared_sets, "_HASHED_BYTES", 0)

    def damage(home):
        path = next(home.rglob("*train*tfrecord*"))
        before = path.stat()
        flip(path)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        return path

    quietly(spec)
    (home,) = cache.glob("idx/*")
    damage(home)
    with pytest.warns(UserWarning, match="the content of .* has changed"):
        data_lib.load(spec, verify=True)
    damage(home)
    data = quietly(spec)
    with pytest.raises(tf.errors.DataLossError), data_lib.one_line_if_damaged(None):
        all_arrays(data)
    with (pytest.raises(ValueError, match=f"^data: the prepared set in {home} is damaged: .*; run the same command"),
          data_lib.one_line_if_damaged(data.find_damage)):
        all_arrays(data)
    with pytest.warns(UserWarning, match="is stored again"):
        data_lib.load(spec)

    data_lib.load("digits")
    path = damage(next(cache.glob("digits/*")))
    line = error_of(evaluate.main, f"--run_dir={digits_run}", "--data=digits", "--split=train", "--nobaseline")
    assert str(path) in line and "run the same command again" in line


def test_errors_without_damage_stay(spec):
    data = data_lib.load(spec)
    assert data.find_damage() is None
    with pytest.raises(tf.errors.InvalidArgumentError), data_lib.one_line_if_damaged(data.find_damage):
        tf.debugging.assert_equal(1, 2)


def test_a_set_that_tfds_cannot_open_is_stored_again(spec, monkeypatch):
    data_lib.load(spec)
    opened, calls = tfds.builder_from_directory, []

    def fails_once(path):
        calls.append(path)
        if len(calls) == 1:
            raise RuntimeError("written by a newer version")
        return opened(path)

    monkeypatch.setattr(tfds, "builder_from_directory", fails_once)
    with pytest.warns(UserWarning, match="TFDS cannot open it: written by a newer version"):
        data_lib.load(spec)


@pytest.mark.parametrize("error", [
    OSError(errno.ENOSPC, "No space left on device"),
    RuntimeError("... No space left on device; output file"),
    tf.errors.ResourceExhaustedError(None, None, "x.tfrecord; No space left on device"),
    OSError("Not enough disk space. Needed: Unknown size"),
])
def test_full_disks_are_reported(spec, cache, monkeypatch, error):
    def fails(*args, **kwargs):
        raise RuntimeError("TFDS adds a note") from error

    monkeypatch.setattr(tfds.dataset_builders, "store_as_tfds_dataset", fails)
    with pytest.raises(ValueError, match=f"^data: cannot store idx in {cache}: No space left on device; set TFP_GLOW_"):
        data_lib.load(spec)
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_a_limit_of_the_file_size_is_reported(spec, cache):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        with pytest.raises(ValueError, match=f"^data: cannot store idx in {cache}: File too large; set TFP_GLOW_DATA"):
            data_lib.load(spec)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not [path for path in cache.rglob("*") if path.is_file()]
    quietly(spec)


def test_directories_of_killed_processes_are_removed(spec, cache):
    old, new = cache / ".incomplete-old", cache / ".incomplete-new"
    for path in (old, new):
        path.mkdir(parents=True)
        (path / "x").write_text("x")
    os.utime(old, (1, 1))
    data_lib.load(spec)
    assert not old.exists() and new.exists()


# Sets of TFDS. The folder belongs to the user, so nothing in it is deleted.


@pytest.fixture(scope="module")
def tfds_home(tmp_path_factory):
    root = tmp_path_factory.mktemp("tfds")
    random = np.random.default_rng(0)

    def examples(number):
        return [(key, {"image": random.integers(0, 256, (28, 28, 1), "uint8"), "label": key % 10})
                for key in range(number)]

    features = tfds.features.FeaturesDict({
        "image": tfds.features.Image(shape=(28, 28, 1)), "label": tfds.features.ClassLabel(num_classes=10)})
    tfds.dataset_builders.store_as_tfds_dataset(
        name="mnist", version="3.0.1", features=features, data_dir=str(root),
        split_datasets={"train": examples(30), "test": examples(5)})
    return root / "mnist" / "3.0.1"


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_sets_of_tfds_are_named(tfds_home, tmp_path, kind):
    for name in ("dataset_info.json", "mnist-test.tfrecord-00000-of-00001", "mnist-train.tfrecord-00000-of-00001"):
        home = shutil.copytree(tfds_home, tmp_path / name / "mnist" / "3.0.1")
        DAMAGE[kind](home / name)
        before = {path: path.read_bytes() for path in home.iterdir()}
        with pytest.raises(ValueError, match=f"^data: the files of tfds:mnist are damaged: {home / name} .*; "
                                             f"delete the folder {home} ") as caught:
            data = data_lib.load("tfds:mnist", str(tmp_path / name))
            with data_lib.one_line_if_damaged(data.find_damage):
                all_arrays(data)
        assert "\n" not in str(caught.value)
        assert before == {path: path.read_bytes() for path in home.iterdir()}


def test_intact_sets_of_tfds_are_read(tfds_home):
    data = data_lib.load("tfds:mnist", str(tfds_home.parents[1]), verify=True)
    assert [data.num_examples(split) for split in data_lib.SPLITS] == [27, 3, 5]
    assert data.find_damage() is None


# Folders of images.


@pytest.fixture()
def decoded(monkeypatch):
    """The paths that were decoded."""
    paths, decode = [], image_folder._decode

    def counting(path):
        paths.append(path)
        return decode(path)

    monkeypatch.setattr(image_folder, "_decode", counting)
    return paths


@pytest.mark.parametrize("layout", ["", "a", "train/a"])
def test_folders_are_decoded_once(layout, tmp_path, cache, decoded):
    root = tmp_path / "images"
    write_images(root / layout, 5)
    expected = all_arrays(quietly(f"folder:{root}"))
    assert len(decoded) == 5
    moved = root.rename(tmp_path / "moved")
    assert all(map(np.array_equal, all_arrays(quietly(f"folder:{moved}")), expected))
    assert len(decoded) == 5
    quietly(f"folder:{moved}", verify=True)
    assert len(decoded) == 10

    path = moved / layout / "3.png"
    before = path.stat()
    flip(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(ValueError, match=f"corrupt image {path}"):
        quietly(f"folder:{moved}")
    write_images(moved / layout, 5, seed=7)
    assert not all(map(np.array_equal, all_arrays(quietly(f"folder:{moved}")), expected))
    for record in (cache / "folder_checks").iterdir():
        record.write_text("{}")
    quietly(f"folder:{moved}")


def test_a_check_of_a_folder_keeps_its_errors(tmp_path, cache, decoded):
    write_images(tmp_path / "a", 4, size=(4, 6))
    write_images(tmp_path / "b", 4, size=(5, 9))
    for _ in range(2):
        with pytest.raises(ValueError, match=f"{tmp_path}/a/0.png is 4x6, {tmp_path}/b/0.png is 5x9"):
            data_lib.load(f"folder:{tmp_path}")
        with pytest.raises(ValueError, match=f"crop: must not be larger than an image; {tmp_path}/a/0.png is 4x6; got"):
            data_lib.load(f"folder:{tmp_path}", crop=5)
        assert data_lib.load(f"folder:{tmp_path}", crop=4).image_shape == (4, 4, 3)
    assert len(decoded) == 8


@pytest.mark.parametrize(("damage", "message"), [
    (lambda path: path.unlink(), "was removed while it was in use"), (flip, "was changed while it was in use")])
def test_files_that_are_read_in_place_are_named(damage, message, tmp_path, cache):
    write_images(tmp_path / "train" / "a", 9)
    write_images(tmp_path / "test" / "a", 3)
    data = data_lib.load(f"folder:{tmp_path}")
    damage(tmp_path / "test" / "a" / "2.png")
    with (pytest.raises(ValueError, match=f"^data: image {tmp_path}/test/a/2.png {message}; run the same command"),
          data_lib.one_line_if_damaged(data.find_damage)):
        all_arrays(data)
