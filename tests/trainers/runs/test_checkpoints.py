# SPDX-License-Identifier: Apache-2.0
"""Checkpoints and run directories with damaged or partial files, and on a full disk. test_resuming.py tests runs."""

import copy
import errno
import json
import warnings
import zipfile

import keras
import numpy as np
import pytest

from trainers.runs.atomic_files import room_in, write_json
from trainers.runs.checkpoints import Checkpoints
from trainers.runs.run_directory import RunDirectory

pytestmark = pytest.mark.matrix


def tiny_model(value):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(1e-3), loss="mse")
    model.set_weights([np.full((2, 1), value), np.zeros(1)])
    return model


@pytest.fixture
def three(tmp_path):
    """Checkpoints of epochs 1 to 3. Epoch 2 is the best one. All kernel weights equal the epoch number."""
    checkpoints = Checkpoints(tmp_path)
    for epoch, bits in enumerate([3.0, 1.0, 2.0], 1):
        checkpoints.save(tiny_model(epoch), epoch, bits)
    return checkpoints


def flip(path, place, bit=3):
    """Flips one bit of a file."""
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
    """Restores a checkpoint and returns a kernel weight and the epoch."""
    model = tiny_model(0)
    record = restore(model)
    return model.get_weights()[0][0, 0], record["epoch"]


# Checkpoints.


def test_the_last_and_the_best_checkpoints_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    assert checkpoints.restore_last(tiny_model(0)) is None
    for epoch, bits in enumerate([3.0, 1.0, 2.0, float("nan"), 2.5], 1):
        checkpoints.save(tiny_model(epoch), epoch, bits)
    assert [record["epoch"] for record in checkpoints.records()] == [2, 4, 5]
    assert len(list(tmp_path.iterdir())) == 6
    assert restored(checkpoints.restore_best) == (2, 2)
    assert restored(checkpoints.restore_last) == (5, 5)


def test_a_checkpoint_within_an_epoch_is_newer_but_never_the_best(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(tiny_model(0.5), 0, step=7)
    assert restored(checkpoints.restore_best) == (0.5, 0)
    for epoch, step, bits in [(1, 0, 2.0), (1, 1, None), (1, 30, None), (1, 4, None)]:
        checkpoints.save(tiny_model(epoch + step), epoch, bits, step)
    assert [(r["epoch"], r["step"]) for r in checkpoints.records()] == [(1, 0), (1, 4), (1, 30)]
    assert restored(checkpoints.restore_last) == (31, 1)
    assert restored(checkpoints.restore_best) == (1, 1)


@pytest.mark.parametrize("damage", DAMAGES)
def test_restore_skips_damaged_weights(three, tmp_path, damage):
    DAMAGES[damage](tmp_path / "epoch_0003.weights.h5")
    with pytest.warns(UserWarning, match="epoch_0003.weights.h5 is damaged or missing; trying another one"):
        assert restored(three.restore_last) == (2, 2)
    DAMAGES[damage](tmp_path / "epoch_0002.weights.h5")
    with pytest.warns(UserWarning, match="epoch_000[23].weights.h5 is damaged"):
        assert restored(three.restore_best) == (1, 1)
    DAMAGES[damage](tmp_path / "epoch_0001.weights.h5")
    for restore in (three.restore_last, three.restore_best):
        with pytest.warns(UserWarning), pytest.raises(ValueError, match=f"all 3 checkpoints in {tmp_path} are damaged"):
            restore(tiny_model(0))


@pytest.mark.parametrize("damage", ["truncated", "emptied", "flipped"])
def test_restore_skips_damaged_records(three, tmp_path, damage):
    DAMAGES[damage](tmp_path / "epoch_0003.json")
    with pytest.warns(UserWarning, match="epoch_0003.json is damaged and is ignored"):
        assert restored(three.restore_last) == (2, 2)
    for epoch in (1, 2):
        DAMAGES[damage](tmp_path / f"epoch_000{epoch}.json")
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="all 3 checkpoints in .* are damaged"):
        three.restore_last(tiny_model(0))


def test_a_flipped_bit_of_any_byte_of_a_record_is_detected(three, tmp_path):
    path = tmp_path / "epoch_0002.json"
    intact = [record for record in three.records() if record["epoch"] != 2]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for place in range(path.stat().st_size):
            flip(path, place, place % 8)
            assert three.records() == intact, place
            flip(path, place, place % 8)
    assert len(three.records()) == 3


def test_json_that_is_not_a_record_gives_a_warning(three, tmp_path):
    for content in ([], 3, None, {"epoch": 3}, {"record_sha256": ""}):
        write_json(content, tmp_path / "epoch_0003.json")
        with pytest.warns(UserWarning, match="epoch_0003.json is damaged"):
            assert [record["epoch"] for record in three.records()] == [1, 2]


# The run directory.

CONFIG = {
    "preset": "digits_glow", "data": "digits", "crop": None, "resize": None, "data_levels": 17, "num_levels": 17,
    "num_bits": 5, "flow": {"flow": "glow", "image_shape": [8, 8, 1]}, "dequantizer": None, "epochs": 1,
    "steps_per_epoch": 4, "seed": 0,
    "training": {"batch_size": 16, "optimizer": "adam", "learning_rate": 0.001, "warmup_epochs": 1,
                 "schedule": "constant", "ema_momentum": 0.99, "clip_norm": None, "init_batch_size": 32, "flip": False,
                 "pixel_noise": 0.05, "temperature": 0.7}}
RESULT = {"epochs": 1, "best_epoch": 1, "val_bits_per_dim": 2.5, "skipped_steps": 0, "saved_model": 1}


def test_check_writes_nothing(tmp_path):
    run = RunDirectory(tmp_path / "run")
    run.check(CONFIG)
    assert not run.path.exists()
    run.open(CONFIG)
    times = {path: path.stat().st_mtime_ns for path in (run.path, *run.path.rglob("*"))}
    run.check({**CONFIG, "epochs": 2})
    for config, resume, message in [({**CONFIG, "seed": 1}, True, r"another configuration: seed 0 \(now 1\)"),
                                    (CONFIG, False, "already holds a run, and --resume=false")]:
        for method in (run.check, run.open):
            with pytest.raises(ValueError, match=message):
                method(config, resume)
    assert times == {path: path.stat().st_mtime_ns for path in (run.path, *run.path.rglob("*"))}
    run.open({**CONFIG, "epochs": 2})
    assert run.config()["epochs"] == 2


def test_a_run_is_finished_only_for_its_number_of_epochs(tmp_path):
    run = RunDirectory(tmp_path)
    assert not run.is_finished() and not run.is_finished(CONFIG)
    run.open(CONFIG)
    with zipfile.ZipFile(run.model_path, "w") as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", b"")
    assert not run.is_finished()
    run.finish(RESULT)
    assert run.is_finished() and run.is_finished(CONFIG) and not run.is_finished({**CONFIG, "epochs": 2})


def test_an_incomplete_new_directory_is_completed(tmp_path):
    (tmp_path / ".partial.config.json").touch()
    run = RunDirectory(tmp_path)
    run.open(CONFIG)
    for directory in (run.samples, run.checkpoints):
        directory.rmdir()
        run.open(CONFIG)
        assert directory.is_dir()


def test_rewind_deletes_partial_files_and_history(tmp_path):
    run = RunDirectory(tmp_path)
    run.open(CONFIG)
    (tmp_path / "saved_model" / ".partial" / "variables").mkdir(parents=True)
    (run.checkpoints / ".partial.epoch_0003.json").touch()
    for epoch in (1, 2, 3):
        run.add_history({"epoch": epoch})
    with pytest.warns(UserWarning, match="history.jsonl has no line of epochs 4, 5; training continues"):
        run.rewind(5)
    with open(run.history_path, "a") as file:
        file.write('{"epoch": 4, "lo')
    run.rewind(2)
    assert run.history_path.read_text() == '{"epoch": 1}\n{"epoch": 2}\n'
    assert not list(tmp_path.rglob(".partial*"))


def test_a_damaged_line_of_the_history_gives_a_warning(tmp_path):
    run = RunDirectory(tmp_path)
    run.history_path.write_bytes(b'{"epoch": 1}\n{"epoch"\xff 2}\n{"epoch": 3}\n')
    with pytest.warns(UserWarning, match="history.jsonl, line 2 is damaged and is ignored"):
        assert run.history() == [{"epoch": 1}, {"epoch": 3}]


def replaced(value, path, new):
    """Returns a copy of a nested dict whose entry at a path such as `"training.flip"` has another value."""
    value = copy.deepcopy(value)
    *outer, last = path.split(".")
    inner = value
    for name in outer:
        inner = inner[name]
    if new is KeyError:
        del inner[last]
    else:
        inner[last] = new
    return value


@pytest.mark.parametrize("content", [
    [], 3, "x", None, {}, {"epochs": 1},
    *(replaced(CONFIG, path, new) for path, new in [
        ("epochs", 0), ("epochs", True), ("epochs", [1]), ("epochs", KeyError), ("training", 3), ("training", KeyError),
        ("training.batch_size", "16"), ("training.flip", None), ("training.ema_momentum", 1.5), ("flow", []),
        ("flow.image_shape", 8), ("flow.image_shape", [8, "x", 1]), ("flow.flow", 3),
        ("flow.width", "8"), ("flow.hidden_sizes", [8, None]), ("num_bits", "5"),
        ("seed", -1), ("preset", None), ("data", {}), ("crop", "no")])], ids=str)
def test_a_config_of_a_wrong_form_is_one_clear_error(content, tmp_path):
    run = RunDirectory(tmp_path)
    run.open(CONFIG)
    (tmp_path / "config.json").write_text(json.dumps(content))
    for call in (run.config, lambda: run.check(CONFIG), lambda: run.open(CONFIG)):
        with pytest.raises(ValueError, match=r"config.json: .* is damaged: it.*; restore the file, or train again in"):
            call()


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", "{}", '"x"', "[" * 10_000, "\x00\xff", *(
    json.dumps(replaced(RESULT, path, new)) for path, new in [
        ("epochs", "1"), ("best_epoch", None), ("val_bits_per_dim", []), ("saved_model", 0), ("saved_model", KeyError),
        ("skipped_steps", -1)])], ids=lambda text: text[:40])
def test_a_damaged_result_counts_as_not_finished(text, tmp_path):
    run = RunDirectory(tmp_path)
    run.open(CONFIG)
    (tmp_path / "result.json").write_text(text)
    with pytest.warns(UserWarning, match="result.json: .* is damaged: .*; run the command that trained the model"):
        assert run.result() is None and not run.is_finished()


def test_history_lines_of_a_wrong_form_give_a_warning(tmp_path):
    run = RunDirectory(tmp_path)
    for content in ("[]", "3", "null", "{}", '{"epoch": 0}', '{"epoch": "2"}', '{"epoch": 2, "loss": "low"}',
                    '{"epoch": 2, "bits_per_dim": null}', "[" * 10_000):
        run.history_path.write_text(f'{{"epoch": 1, "loss": NaN}}\n{content}\n{{"epoch": 3}}\n')
        with pytest.warns(UserWarning, match="history.jsonl, line 2 is damaged and is ignored"):
            assert [line["epoch"] for line in run.history()] == [1, 3]
        with pytest.warns(UserWarning, match="line 2 is damaged"):
            assert run.missing_epochs(4) == [2, 4]


def test_damaged_files_of_the_trained_model_are_found(tmp_path):
    run = RunDirectory(tmp_path)
    run.open(CONFIG)
    exported = run.saved_models / "1"
    files = [run.model_path, exported / "saved_model.pb", exported / "variables" / "variables.index",
             exported / "assets.extra" / "requests"]
    for path in files:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(1000))
    run.write_checksums([exported, run.model_path])
    run.finish(RESULT)
    assert run.is_finished() and run.is_intact(exported) and run.damaged_exports() == []
    for damage in DAMAGES.values():
        for path in files:
            damage(path)
            name = str(path.relative_to(tmp_path))
            assert run.damaged_exports() == ([name] if path is not files[-1] else [])  # others write to assets.extra/
            assert run.is_finished() == (path is files[-1])
            path.write_bytes(bytes(1000))
    run.model_path.write_bytes(b"new")
    run.update_checksum(run.model_path)
    assert run.is_finished()
    (tmp_path / "checksums.json").unlink()  # as in runs of earlier versions
    assert run.damaged_exports() == ["model.keras"] and not run.is_intact(exported)


@pytest.mark.parametrize("error", [
    OSError(errno.ENOSPC, "No space left on device"),
    RuntimeError("Can't decrement id ref count (file write failed: errno = 28, message = 'No space left on device')"),
    OSError(errno.EDQUOT, "another text")], ids=["system", "hdf5", "quota"])
def test_a_full_disk_error_names_the_directory(error):
    with pytest.raises(OSError, match="output_dir: runs/a: (No space left on device|Disk quota exceeded); all saved"):
        with room_in("runs/a"):
            try:
                raise error
            finally:
                raise TypeError("during cleanup")
    with pytest.raises(OSError, match="Permission denied"), room_in("runs/a"):
        raise PermissionError(errno.EACCES, "Permission denied")
