# SPDX-License-Identifier: Apache-2.0
"""Runs that resume after a stop, a full disk or a damaged checkpoint end like an uninterrupted run."""

import random
import resource
import shutil

import numpy as np
import pytest
from test_checkpoints import DAMAGES, flip

from trainers import sample, train
from trainers.runs import trained_models
from trainers.runs.checkpoints import Checkpoints
from trainers.runs.run_directory import RunDirectory


def train_digits(directory, *flags):
    return train.main(["train", "--preset=digits_glow_smoke", "--data=digits", f"--output_dir={directory}", *flags])


def check_same_end(run, other):
    """Checks that two runs have equal weights, optimizer states, results and histories, except for timings."""
    ends = []
    for each in (run, other):
        model = trained_models.build(each.config())
        trained_models.compile_model(model, each.config())
        assert Checkpoints(each.checkpoints).restore_last(model)["epoch"] == 2
        assert int(model.optimizer.iterations) == 8 and model.optimizer.use_ema
        exported, _ = trained_models.load(each)
        ends.append([v.numpy() for v in (*model.variables, *model.optimizer.variables, *exported.variables)])
    assert all(map(np.array_equal, *ends))
    assert run.result() == other.result()
    for a, b in zip(run.history(), other.history(), strict=True):
        assert {key for key in a if a[key] != b[key]} <= {"seconds", "images_per_second", "data_wait"}
    assert not list(run.path.rglob(".partial*"))


def stop_at(monkeypatch, epoch, step):
    """Raises `KeyboardInterrupt` after the checkpoint at this epoch and step is written."""
    save = Checkpoints.save

    def stop(self, model, e, val_bits_per_dim=None, step=0, *, at=(epoch, step)):
        save(self, model, e, val_bits_per_dim, step)
        if (e, step) == at:
            raise KeyboardInterrupt
    monkeypatch.setattr(Checkpoints, "save", stop)


@pytest.mark.slow
def test_a_run_resumes_after_a_stop_and_a_full_disk(digits_run, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        stop_at(patch, epoch=0, step=2)
        assert train_digits(tmp_path / "run", "--checkpoint_minutes=0") == 130
    run = RunDirectory(tmp_path / "run")
    # The history also has an epoch without a checkpoint.
    run.add_history(digits_run.history()[0])
    # There is no best checkpoint yet, so the last one is loaded.
    assert sample.main(["sample", f"--run_dir={run}", "--num=1", f"--out={tmp_path / 'grid.png'}"]) == 0
    assert "not finished; its best checkpoint, epoch 0 of 2" in capsys.readouterr().out

    # A file size limit simulates a full disk: HDF5 fails in the same way.
    held = {path: path.read_bytes() for path in run.checkpoints.iterdir()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (max(map(len, held.values())) // 2, limits[1]))
    try:
        assert train_digits(run, "--checkpoint_minutes=0") == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert capsys.readouterr().err == (f"error: output_dir: {run}: File too large; all saved files are complete; free "
                                       "some space and run the same command to resume\n")
    assert held == {path: path.read_bytes() for path in run.checkpoints.iterdir()}

    assert train_digits(run) == 0
    assert "resuming after epoch 0 and 2 steps" in capsys.readouterr().out
    check_same_end(run, digits_run)


def test_a_run_with_a_damaged_checkpoint_repeats_an_epoch_exactly(digits_run, tmp_path, capsys):
    run = RunDirectory(shutil.copytree(digits_run.path, tmp_path / "run"))
    for name in ("result.json", "model.keras"):  # as after a kill before the end
        (run.path / name).unlink()
    DAMAGES["flipped"](run.checkpoints / "epoch_0002.weights.h5")
    assert train_digits(run) == 0
    output = capsys.readouterr()
    assert "resuming after epoch 1" in output.out
    assert output.err == f"warning: checkpoint {run.checkpoints}/epoch_0002.weights.h5 is damaged or missing; " \
                       "trying another one\n"
    check_same_end(run, digits_run)


def test_a_damaged_model_raises(digits_run, tmp_path):
    run = RunDirectory(shutil.copytree(digits_run.path, tmp_path / "run"))
    whole = run.model_path.read_bytes()
    weights = max(trained_models.load(digits_run)[0].get_weights(), key=np.size)
    places = [whole.index(weights.tobytes()) + weights.nbytes // 2, *random.Random(0).sample(range(len(whole)), 12)]
    for place in places:
        flip(run.model_path, place)
        try:
            model, _ = trained_models.load(run)
        except ValueError as error:
            assert "model.keras cannot be loaded: " in str(error)
        else:  # the bit has no effect, for example in a date
            assert all(map(np.array_equal, model.get_weights(), trained_models.load(digits_run)[0].get_weights()))
        run.model_path.write_bytes(whole)
    assert trained_models.load(run)
