# SPDX-License-Identifier: Apache-2.0
"""Functions that build, compile, load and save the model of a run."""

import math
import os
import pathlib
import shutil
import warnings
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

import tfp_glow
from tfp_glow.flows import config_from_file

from ..optimization.optimizers import make_optimizer
from .atomic_files import replacing, sync_tree
from .checkpoints import Checkpoints
from .run_directory import RunDirectory


def build(config: Mapping[str, Any]) -> tfp_glow.FlowModel:
    """Builds the model of a run, with initial weights.

    Args:
      config: configuration of the run, a dict, as `trainers.runs.configuration.configure` returns.

    Returns:
      A `tfp_glow.FlowModel`, not compiled.

    Raises:
      ValueError: if an argument of the flow in `config` has an invalid value.
    """
    flow, dequantizer = (
        arguments and config_from_file({**arguments, "seed": config["seed"]}).build()
        for arguments in (config["flow"], config.get("dequantizer")))
    return tfp_glow.FlowModel(flow, num_bits=config["num_bits"], seed=config["seed"], dequantizer=dequantizer,
                              weight_y=config["training"].get("weight_y", 0.0))


def compile_model(model: tfp_glow.FlowModel, config: Mapping[str, Any], jit_compile: bool = False) -> None:
    """Compiles the model of a run with the optimizer and the learning rate schedule of the run.

    Args:
      model: the model, as `build` returns.
      config: configuration of the run, a dict, as `trainers.runs.configuration.configure` returns.
      jit_compile: bool. If True, XLA compiles the training step. Default False.
    """
    optimizer = make_optimizer(config["training"], config["epochs"], config["steps_per_epoch"])
    model.compile(optimizer, jit_compile=jit_compile)


def load_best(model: tfp_glow.FlowModel, run: RunDirectory) -> dict[str, Any] | None:
    """Loads the checkpoint with the fewest validation bits per dimension into a model.

    If the optimizer keeps a moving average of the weights, the weights of the model are then set to the average, unless
    the weights themselves had fewer bits per dimension at the checkpoint. If the run has checkpoints within its first
    epoch only, the newest is loaded.

    Args:
      model: the model of the run, compiled by `compile_model`.
      run: the run directory.

    Returns:
      The record of the checkpoint, a dict (see `trainers.runs.checkpoints.Checkpoints`), or None if the run has no
      checkpoint.

    Raises:
      ValueError: if there are checkpoints and all of them are damaged.
    """
    record = Checkpoints(run.checkpoints).restore_best(model)
    if record and record.get("averaged", True):
        model.optimizer.finalize_variable_values(model.trainable_variables)
    return record


def load(run: RunDirectory) -> tuple[tfp_glow.FlowModel, str]:
    """Loads the trained model of a run.

    For a finished run, the function loads `model.keras`, which holds the weights after the epoch with the fewest
    validation bits per dimension. For a run that is not finished, it builds the model and calls `load_best`.

    If `model.keras` of a finished run is damaged or missing, the function warns, loads the best checkpoint and writes
    the file again, unless another process uses the directory or the directory cannot be written.

    Args:
      run: the run directory.

    Returns:
      A pair `(model, source)`: a `tfp_glow.FlowModel`, and a str that names the source of its weights, such as
      `"model.keras, epoch 3 of 5"`.

    Raises:
      ValueError: if the directory holds no run; if the run has neither an intact `model.keras` nor a checkpoint; or if
        all checkpoints are damaged.
    """
    config, result = run.config(), run.result()
    is_trained = result is not None and result["epochs"] >= config["epochs"]
    damage = None
    if result is not None and is_trained:
        try:
            model = keras.saving.load_model(run.model_path, compile=False)
            return model, f"model.keras, epoch {result['best_epoch']} of {config['epochs']}"
        except MemoryError:
            raise
        except Exception as error:  # The readers of zip, HDF5 and JSON raise errors of different classes.
            damage = " ".join(str(error).split())[:200]
    model = build(config)
    compile_model(model, config)
    record = load_best(model, run)
    if record is None:
        raise ValueError(f"run_dir: {run} has neither model.keras nor a checkpoint yet" if damage is None else
                         f"run_dir: {run.model_path} cannot be loaded, and there is no checkpoint from which to write "
                         f"it again; train again in another directory: {damage}")
    source = f"its best checkpoint, epoch {record['epoch']} of {config['epochs']}"
    if result is None or damage is None:
        return model, f"training is not finished; {source}"
    model = exported_model(model, config)
    is_written = record["epoch"] == result["best_epoch"] and _write_again(model, run)
    warnings.warn(f"{run.model_path} was damaged or missing; "
                  f"{'it is written again from' if is_written else 'these are the weights of'} the checkpoint of epoch "
                  f"{record['epoch']}", stacklevel=2)
    return model, source


def exported_model(model: tfp_glow.FlowModel, config: Mapping[str, Any]) -> tfp_glow.FlowModel:
    """Returns a copy of the trained model of a run without an optimizer, whose variables are on one device.

    Args:
      model: a `tfp_glow.FlowModel` of the run.
      config: configuration of the run, a dict, as `trainers.runs.configuration.configure` returns.

    Returns:
      A `tfp_glow.FlowModel` with the weights of `model`, not compiled.
    """
    copy = build(config)
    copy.set_weights(model.get_weights())
    return copy


def check_finite(model: tfp_glow.FlowModel, bits_per_dim: float, run: RunDirectory) -> None:
    """Checks that a trained model may be exported: its weights and its bits per dimension are finite.

    Args:
      model: a `tfp_glow.FlowModel`.
      bits_per_dim: float, bits per dimension of the validation split.
      run: the run directory, for the error message.

    Raises:
      ValueError: if a weight or `bits_per_dim` is not finite.
    """
    broken = [v.path for v in model.variables if "float" in v.dtype and not np.isfinite(v.numpy()).all()]
    if broken or not math.isfinite(bits_per_dim):
        reason = f"the weights are not finite ({broken[0]})" if broken else (
            f"the bits per dimension of the validation split are {bits_per_dim}")
        raise ValueError(f"training: {reason} after the best epoch, so no model is exported to {run}; train again in "
                         "another directory with a lower --learning_rate or --clip_norm")


def save(model: tfp_glow.FlowModel, config: Mapping[str, Any], run: RunDirectory, record: Mapping[str, Any],
         val_bits_per_dim: float, skipped_steps: int) -> None:
    """Writes the trained model of a run and `result.json` to the run directory. Each write is atomic.

    The model is written as `model.keras`, and as a SavedModel in `saved_model/VERSION/`. `VERSION` is 1 when the run
    finishes for the first time. It grows by 1 each time the run finishes again with more epochs. TensorFlow Serving can
    serve the SavedModel: `saved_model/model.config` gives the model the name of the preset, and the SavedModel has
    warm-up requests. `checksums.json` holds the hashes of these files. If the run was finished and some of its files
    are damaged, `VERSION` stays, and an intact SavedModel is not written again.

    `result.json` is written last. Its entries are

    - `epochs`: int, number of epochs of the run;
    - `best_epoch`: int, `record["epoch"]`, the epoch after which the model has the saved weights;
    - `val_bits_per_dim`: float, the argument `val_bits_per_dim`;
    - `skipped_steps`: int, the argument `skipped_steps`;
    - `saved_model`: int, `VERSION`.

    Args:
      model: the trained `tfp_glow.FlowModel`, as `exported_model` returns.
      config: configuration of the run, a dict, as `trainers.runs.configuration.configure` returns.
      run: the run directory.
      record: dict, the record of the checkpoint that has these weights, as `load_best` returns.
      val_bits_per_dim: float, bits per dimension of the validation split, as `trainers.evaluation.scores` computes them
        with seed 0.
      skipped_steps: int, number of skipped steps of the run.
    """
    old = run.result()
    is_repair = old is not None and old["epochs"] >= config["epochs"]
    if old is not None:
        version = old["saved_model"] + (not is_repair)
    else:  # A damaged result.json is missing here. Directories of a process that was killed are written again.
        version = max([int(path.name) for path in run.saved_models.glob("[1-9]*") if path.name.isdecimal()], default=1)
    path = run.saved_models / str(version)
    if not (old is not None and is_repair and old["best_epoch"] == record["epoch"] and run.is_intact(path)):
        _export(model, run, path)
    if not (run.saved_models / "model.config").exists():
        tfp_glow.write_model_config(run.saved_models, config["preset"])
    with replacing(run.model_path) as temporary:
        model.save(temporary)
    run.write_checksums([path, run.model_path])
    run.finish({"epochs": config["epochs"], "best_epoch": record["epoch"], "val_bits_per_dim": val_bits_per_dim,
                "skipped_steps": skipped_steps, "saved_model": version})


def _export(model: tfp_glow.FlowModel, run: RunDirectory, path: pathlib.Path) -> None:
    """Writes the SavedModel with its warm-up requests."""
    temporary = run.saved_models / ".partial"
    for leftover in (temporary, path):  # From a process that was killed before it wrote result.json, or damaged.
        shutil.rmtree(leftover, ignore_errors=True)
    run.saved_models.mkdir(exist_ok=True)
    tfp_glow.export_saved_model(model, temporary)
    tfp_glow.write_warmup_requests(temporary)
    sync_tree(temporary)
    os.replace(temporary, path)


def _write_again(model: tfp_glow.FlowModel, run: RunDirectory) -> bool:
    """Writes `model.keras` and its checksum again, if possible. Returns True if they were written."""
    try:
        with run.locked():
            with replacing(run.model_path) as temporary:
                model.save(temporary)
            run.update_checksum(run.model_path)
    except (OSError, ValueError):
        return False
    return True
