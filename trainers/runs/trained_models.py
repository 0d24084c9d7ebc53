# SPDX-License-Identifier: Apache-2.0
"""Functions that build, compile, load and save the model of a run."""

import os
import shutil
from collections.abc import Mapping
from typing import Any

import keras

import tfp_glow
from tfp_glow.flows import config_from_dict

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
        arguments and config_from_dict({**arguments, "seed": config["seed"]}).build()
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

    If the optimizer keeps a moving average of the weights, the weights of the model are then set to the average. If the
    run has checkpoints within its first epoch only, the newest is loaded.

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
    if record:
        model.optimizer.finalize_variable_values(model.trainable_variables)
    return record


def load(run: RunDirectory) -> tuple[tfp_glow.FlowModel, str]:
    """Loads the trained model of a run.

    For a finished run, the function loads `model.keras`, which holds the weights after the epoch with the fewest
    validation bits per dimension. For a run that is not finished, it builds the model and calls `load_best`.

    Args:
      run: the run directory.

    Returns:
      A pair `(model, source)`: a `tfp_glow.FlowModel`, and a str that names the source of its weights, such as
      `"model.keras, epoch 3 of 5"`.

    Raises:
      ValueError: if the directory holds no run; if the run has neither `model.keras` nor a checkpoint; or if
        `model.keras`, or all checkpoints, are damaged.
    """
    config = run.config()
    result = run.result()
    if result is not None and run.is_finished():
        try:
            model = keras.saving.load_model(run.model_path, compile=False)
        except Exception as error:  # The readers of zip, HDF5 and JSON raise errors of different classes.
            raise ValueError(f"run_dir: {run.model_path} cannot be loaded: {error}") from error
        return model, f"model.keras, epoch {result['best_epoch']} of {config['epochs']}"
    model = build(config)
    compile_model(model, config)
    record = load_best(model, run)
    if record is None:
        raise ValueError(f"run_dir: {run} has neither model.keras nor a checkpoint yet")
    return model, f"training is not finished; its best checkpoint, epoch {record['epoch']} of {config['epochs']}"


def save(model: tfp_glow.FlowModel, config: Mapping[str, Any], run: RunDirectory, record: Mapping[str, Any]) -> None:
    """Writes the trained model of a run and `result.json` to the run directory. Each write is atomic.

    The model is written as `model.keras`, and as a SavedModel in `saved_model/VERSION/`. `VERSION` is 1 when the run
    finishes for the first time. It grows by 1 each time the run finishes again with more epochs. TensorFlow Serving can
    serve the SavedModel: `saved_model/model.config` gives the model the name of the preset, and the SavedModel has
    warm-up requests.

    `result.json` is written last. Its entries are

    - `epochs`: int, number of epochs of the run;
    - `best_epoch`: int, `record["epoch"]`, the epoch after which the model has the saved weights;
    - `val_bits_per_dim`: float, `record["val_bits_per_dim"]`, bits per dimension of the validation split;
    - `skipped_steps`: int, number of skipped steps of the run;
    - `saved_model`: int, `VERSION`.

    Args:
      model: a `tfp_glow.FlowModel` of the run, with the weights to save.
      config: configuration of the run, a dict, as `trainers.runs.configuration.configure` returns.
      run: the run directory.
      record: dict, the record of the checkpoint that has these weights, as `load_best` returns.
    """
    # The new model has no optimizer, and its variables are on one device.
    final = build(config)
    final.set_weights(model.get_weights())
    version = (run.result() or {"saved_model": 0})["saved_model"] + 1
    temporary, path = run.saved_models / ".partial", run.saved_models / str(version)
    for leftover in (temporary, path):  # From a process that was killed before it wrote result.json.
        shutil.rmtree(leftover, ignore_errors=True)
    run.saved_models.mkdir(exist_ok=True)
    tfp_glow.export_saved_model(final, temporary)
    tfp_glow.write_warmup_requests(temporary)
    sync_tree(temporary)
    os.replace(temporary, path)
    if not (run.saved_models / "model.config").exists():
        tfp_glow.write_model_config(run.saved_models, config["preset"])
    with replacing(run.model_path) as temporary:
        final.save(temporary)
    run.finish({"epochs": config["epochs"], "best_epoch": record["epoch"],
                "val_bits_per_dim": record["val_bits_per_dim"], "skipped_steps": run.history()[-1]["skipped_steps"],
                "saved_model": version})
