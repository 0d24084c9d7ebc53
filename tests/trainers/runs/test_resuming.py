# SPDX-License-Identifier: Apache-2.0
"""Runs that resume after a stop, a full disk or a damaged checkpoint end like an uninterrupted run."""

import os
import resource
import shutil
import signal
import warnings

import numpy as np
import pytest
from test_checkpoints import DAMAGES, flip

from trainers import sample, train
from trainers.callbacks.checkpoint_saving import SaveCheckpointWithinEpoch
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


@pytest.fixture
def copied_run(digits_run, tmp_path):
    """A copy of the finished run, which a test may damage."""
    return RunDirectory(shutil.copytree(digits_run.path, tmp_path / "copy"))


def test_any_damage_of_the_model_is_mended_from_the_checkpoint(digits_run, copied_run):
    """Flips a bit, cuts, removes or replaces the file."""
    run, whole = copied_run, copied_run.model_path.read_bytes()
    expected = trained_models.load(digits_run)[0].get_weights()
    weights = max(expected, key=np.size)
    # The second flip is in the date of the first member of the archive, which no checksum covers.
    places = [whole.index(weights.tobytes()) + weights.nbytes // 2, 12]
    damages = [*(lambda path, place=place: flip(path, place) for place in places), DAMAGES["removed"],
               lambda path: path.write_text("not a model")]
    num_mended = 0
    for index, damage in enumerate(damages):
        damage(run.model_path)
        assert run.is_finished() == (run.damaged_exports() == []) == (index == 1)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model, source = trained_models.load(run)
        assert all(map(np.array_equal, model.get_weights(), expected))
        if "checkpoint" in source:  # otherwise the bit has no effect, for example in a date
            num_mended += 1
            assert str(caught[-1].message).endswith(
                "was damaged or missing; it is written again from the checkpoint of epoch 2")
            assert run.is_finished() and trained_models.load(run)[1] == "model.keras, epoch 2 of 2"
        run.model_path.write_bytes(whole)
        run.update_checksum(run.model_path)
    assert num_mended >= len(damages) - 1


def test_a_damaged_model_without_checkpoints_is_one_clear_error(copied_run, tmp_path, capsys):
    for path in copied_run.checkpoints.iterdir():
        path.unlink()
    copied_run.model_path.write_text("not a model")
    assert sample.main(["sample", f"--run_dir={copied_run}", "--num=1", f"--out={tmp_path / 'grid.png'}"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: run_dir: {copied_run.model_path} cannot be loaded, and there is no checkpoint from")
    assert "; train again in another directory: " in line


def test_train_mends_a_finished_run(digits_run, copied_run, capsys):
    """One command mends a damaged model, SavedModel and result, and a history without lines."""
    run, intact = copied_run, copied_run.saved_models / "1" / "saved_model.pb"
    before = intact.stat().st_mtime_ns
    run.model_path.write_bytes(b"")
    run.history_path.write_text(run.history_path.read_text().partition("\n")[0] + "\n")
    assert train_digits(run) == 0
    output = capsys.readouterr()
    assert output.err.splitlines() == [
        f"warning: {run.model_path} is damaged or missing; the run is finished again from its checkpoints",
        f"warning: {run.history_path} has no line of epoch 2; training continues, and learning curves leave out what "
        "is missing"]
    assert f"{run}: is finished after 2 epochs; model.keras holds the weights of epoch 2" in output.out
    assert intact.stat().st_mtime_ns == before and run.result() == digits_run.result()

    variables = run.saved_models / "1" / "variables" / "variables.data-00000-of-00001"
    DAMAGES["flipped"](variables)
    (run.path / "result.json").write_text("[]")
    run.history_path.unlink()
    assert train_digits(run) == 0
    assert "is damaged: it must be a JSON object; got []; run the command" in capsys.readouterr().err
    assert run.result() == digits_run.result() and run.is_finished()
    assert [path.name for path in run.saved_models.iterdir() if path.is_dir()] == ["1"]
    assert all(map(np.array_equal, *(trained_models.load(each)[0].get_weights() for each in (run, digits_run))))
    assert train_digits(run) == 0
    assert "was already finished after 2 epochs" in capsys.readouterr().out


def test_weights_that_are_not_finite_are_not_exported(copied_run, capsys):
    """The checkpoint of the last epoch has a NaN, as after an update with a huge learning rate."""
    run = copied_run
    broken = trained_models.build(run.config())
    trained_models.compile_model(broken, run.config())
    Checkpoints(run.checkpoints).restore_last(broken)
    for path in (run.path / "result.json", run.model_path, *run.checkpoints.iterdir()):
        path.unlink()
    shutil.rmtree(run.saved_models)
    broken.trainable_variables[0].assign(broken.trainable_variables[0] * np.nan)
    Checkpoints(run.checkpoints).save(broken, 2, float("nan"), averaged=False)
    assert train_digits(run) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: training: the weights are not finite (")
    assert f") after the best epoch, so no model is exported to {run}; train again in another directory" in line
    assert not any((run.path / name).exists() for name in ("result.json", "model.keras", "saved_model"))
    finite = trained_models.build(run.config())
    with pytest.raises(ValueError, match="the bits per dimension of the validation split are nan after the best epoch"):
        trained_models.check_finite(finite, float("nan"), run)
    trained_models.check_finite(finite, 3.0, run)


@pytest.mark.slow
def test_sigterm_saves_a_checkpoint_and_the_same_command_resumes_exactly(digits_run, tmp_path, monkeypatch, capsys):
    run, at = RunDirectory(tmp_path / "run"), SaveCheckpointWithinEpoch.on_train_batch_end

    def terminate(self, batch, logs=None):
        if (self._epoch, batch) == (1, 1):
            os.kill(os.getpid(), signal.SIGTERM)
        at(self, batch, logs)

    with monkeypatch.context() as patch:
        patch.setattr(SaveCheckpointWithinEpoch, "on_train_batch_end", terminate)
        assert train_digits(run) == 143
    assert capsys.readouterr().err == ("terminated; saved a checkpoint after epoch 1 and 2 steps; the same command "
                                       "resumes the run\n")
    assert (run.checkpoints / "epoch_0001_step_000002.json").exists() and len(run.history()) == 1
    assert train_digits(run) == 0
    assert "resuming after epoch 1 and 2 steps" in capsys.readouterr().out
    check_same_end(run, digits_run)
