# SPDX-License-Identifier: Apache-2.0
"""Checkpoints and run directories: damaged, half written, on a full disk; test_resuming.py has whole runs."""

import errno
import warnings

import keras
import numpy as np
import pytest

from trainers.runs.checkpoints import Checkpoints
from trainers.runs.atomic_files import room_in, write_json
from trainers.runs.run_directory import RunDir


def tiny_model(value):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(1e-3), loss="mse")
    model.set_weights([np.full((2, 1), value), np.zeros(1)])
    return model


@pytest.fixture
def three(tmp_path):
    """Checkpoints of epochs 1 to 3, of which the second is the best; the weights are the epoch."""
    checkpoints = Checkpoints(tmp_path)
    for epoch, bits in enumerate([3.0, 1.0, 2.0], 1):
        checkpoints.save(tiny_model(epoch), epoch, bits)
    return checkpoints


def flip(path, place, bit=3):
    """Turns one bit of a file over."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << bit
    path.write_bytes(content)


DAMAGES = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "emptied": lambda path: path.write_bytes(b""),
    "flipped": lambda path: flip(path, path.stat().st_size // 2),
    "removed": lambda path: path.unlink(),
}


def restored(restore):
    """The weight and the epoch that a restore gives."""
    model = tiny_model(0)
    record = restore(model)
    return model.get_weights()[0][0, 0], record["epoch"]


# Checkpoints.


def test_the_last_and_the_best_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    assert checkpoints.restore_last(tiny_model(0)) is None
    for epoch, bits in enumerate([3.0, 1.0, 2.0, float("nan"), 2.5], 1):
        checkpoints.save(tiny_model(epoch), epoch, bits)
    assert [record["epoch"] for record in checkpoints.records()] == [2, 4, 5]
    assert len(list(tmp_path.iterdir())) == 6
    assert restored(checkpoints.restore_best) == (2, 2)
    assert restored(checkpoints.restore_last) == (5, 5)


def test_within_an_epoch_is_newer_but_never_best(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(tiny_model(0.5), 0, step=7)
    assert restored(checkpoints.restore_best) == (0.5, 0)
    for epoch, step, bits in [(1, 0, 2.0), (1, 1, None), (1, 30, None), (1, 4, None)]:
        checkpoints.save(tiny_model(epoch + step), epoch, bits, step)
    assert [(r["epoch"], r["step"]) for r in checkpoints.records()] == [(1, 0), (1, 4), (1, 30)]
    assert restored(checkpoints.restore_last) == (31, 1)
    assert restored(checkpoints.restore_best) == (1, 1)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_weights_fall_back(three, tmp_path, damage):
    DAMAGES[damage](tmp_path / "epoch_0003.weights.h5")
    with pytest.warns(UserWarning, match="epoch_0003.weights.h5 is damaged or missing; trying another"):
        assert restored(three.restore_last) == (2, 2)
    DAMAGES[damage](tmp_path / "epoch_0002.weights.h5")
    with pytest.warns(UserWarning, match="epoch_000[23].weights.h5 is damaged"):
        assert restored(three.restore_best) == (1, 1)
    DAMAGES[damage](tmp_path / "epoch_0001.weights.h5")
    for restore in (three.restore_last, three.restore_best):
        with pytest.warns(UserWarning), pytest.raises(ValueError, match=f"all 3 in {tmp_path} are damaged"):
            restore(tiny_model(0))


@pytest.mark.parametrize("damage", ["truncated", "emptied", "flipped"])
def test_damaged_records_fall_back(three, tmp_path, damage):
    DAMAGES[damage](tmp_path / "epoch_0003.json")
    with pytest.warns(UserWarning, match="epoch_0003.json is damaged; left out"):
        assert restored(three.restore_last) == (2, 2)
    for epoch in (1, 2):
        DAMAGES[damage](tmp_path / f"epoch_000{epoch}.json")
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="all 3 in .* are damaged"):
        three.restore_last(tiny_model(0))


def test_no_bit_of_a_record_goes_unnoticed(three, tmp_path):
    path = tmp_path / "epoch_0002.json"
    whole = [record for record in three.records() if record["epoch"] != 2]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for place in range(path.stat().st_size):
            for bit in range(8):
                flip(path, place, bit)
                assert three.records() == whole, (place, bit)
                flip(path, place, bit)
    assert len(three.records()) == 3


def test_records_of_another_form_are_damaged(three, tmp_path):
    for content in ([], 3, None, {"epoch": 3}, {"record_sha256": ""}):
        write_json(content, tmp_path / "epoch_0003.json")
        with pytest.warns(UserWarning, match="epoch_0003.json is damaged"):
            assert [record["epoch"] for record in three.records()] == [1, 2]


# The run directory.


def test_what_a_kill_leaves_of_a_new_directory_is_taken_up(tmp_path):
    config = {"epochs": 1, "training": {"schedule": "constant"}}
    (tmp_path / ".partial.config.json").touch()
    run = RunDir(tmp_path)
    run.open(config)
    for directory in (run.samples, run.checkpoints):
        directory.rmdir()
        run.open(config)
        assert directory.is_dir()


def test_rewind_drops_what_is_half_written(tmp_path):
    run = RunDir(tmp_path)
    run.open({"epochs": 1})
    (tmp_path / "saved_model" / ".partial" / "variables").mkdir(parents=True)
    (run.checkpoints / ".partial.epoch_0003.json").touch()
    for epoch in (1, 2, 3):
        run.add_history({"epoch": epoch})
    with open(run.history_path, "a") as file:
        file.write('{"epoch": 4, "lo')
    run.rewind(2)
    assert run.history_path.read_text() == '{"epoch": 1}\n{"epoch": 2}\n'
    assert not list(tmp_path.rglob(".partial*"))


def test_a_damaged_line_of_history_is_told(tmp_path):
    run = RunDir(tmp_path)
    run.history_path.write_bytes(b'{"epoch": 1}\n{"epoch"\xff 2}\n{"epoch": 3}\n')
    with pytest.warns(UserWarning, match="history.jsonl, line 2 is damaged; left out"):
        assert run.history() == [{"epoch": 1}, {"epoch": 3}]


@pytest.mark.parametrize("error", [
    OSError(errno.ENOSPC, "No space left on device"),
    RuntimeError("Can't decrement id ref count (file write failed: errno = 28, message = 'No space left on device')"),
    OSError(errno.EDQUOT, "whatever")], ids=["system", "hdf5", "quota"])
def test_a_full_disk_is_told_by_directory(error):
    with pytest.raises(OSError, match="output_dir: runs/a: (No space left on device|Disk quota exceeded); what was"):
        with room_in("runs/a"):
            try:
                raise error
            finally:
                raise TypeError("on the way out")
    with pytest.raises(OSError, match="Permission denied"), room_in("runs/a"):
        raise PermissionError(errno.EACCES, "Permission denied")
