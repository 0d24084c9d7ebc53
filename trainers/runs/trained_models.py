# SPDX-License-Identifier: Apache-2.0
"""The model of a run: build, compile, load and export it."""

import os
import shutil
from collections.abc import Mapping
from typing import Any

import keras

import tfp_glow
from tfp_glow.flows import config_from_dict
from trainers.optimization.optimizers import make_optimizer
from trainers.runs.atomic_files import replacing, sync_tree
from trainers.runs.checkpoints import Checkpoints
from trainers.runs.run_directory import RunDirectory


def build(
    config: Mapping[str, Any], model_class: type[tfp_glow.FlowModel] = tfp_glow.FlowModel,
) -> tfp_glow.FlowModel:
    """Builds the model of a run's configuration, with initial weights.

    Args:
      config: the run's configuration, see `trainers.runs.configuration.configure`.
      model_class: `tfp_glow.FlowModel`, the default, or a subclass.

    Raises:
      ValueError: if the value of an argument of the flow is invalid.
    """
    flow, dequantizer = (
        arguments and config_from_dict({**arguments, "seed": config["seed"]}).build()
        for arguments in (config["flow"], config.get("dequantizer")))
    return model_class(flow, num_bits=config["num_bits"], seed=config["seed"], dequantizer=dequantizer,
                       weight_y=config["training"].get("weight_y", 0.0))


def compile_model(model: tfp_glow.FlowModel, config: Mapping[str, Any], jit_compile: bool = False) -> None:
    """Compiles a model with the optimizer of a run's configuration.

    Args:
      model: the model.
      config: the run's configuration.
      jit_compile: whether XLA compiles the training step; default False.
    """
    optimizer = make_optimizer(config["training"], config["epochs"], config["steps_per_epoch"])
    model.compile(optimizer, jit_compile=jit_compile)


def load_best(model: tfp_glow.FlowModel, run: RunDirectory) -> dict[str, Any] | None:
    """Loads the best checkpoint by validation; with a moving average of the weights, the weights are set to it.

    Args:
      model: a model of the run, compiled by `compile_model`.
      run: the run directory.

    Returns:
      The record of the checkpoint, or None if the run has no checkpoint yet.

    Raises:
      ValueError: if all checkpoints are damaged.
    """
    record = Checkpoints(run.checkpoints).restore_best(model)
    if record:
        model.optimizer.finalize_variable_values(model.trainable_variables)
    return record


def load(run: RunDirectory) -> tuple[tfp_glow.FlowModel, str]:
    """Loads the trained model of a run.

    For a finished run, this is `model.keras`, with the weights of the best epoch. Otherwise it is the best checkpoint.

    Args:
      run: the run directory.

    Returns:
      The model, and a phrase that names its source, such as `"model.keras, epoch 3 of 5"`.

    Raises:
      ValueError: if the run has neither `model.keras` nor a checkpoint, or its files are damaged.
    """
    config = run.config()
    result = run.result()
    if result is not None and run.is_finished():
        try:
            model = keras.saving.load_model(run.model_path, compile=False)
        except Exception as error:  # The readers of zip, HDF5 and JSON raise different classes for a damaged file.
            raise ValueError(f"run_dir: {run.model_path} cannot be loaded: {error}") from error
        return model, f"model.keras, epoch {result['best_epoch']} of {config['epochs']}"
    model = build(config)
    compile_model(model, config)
    record = load_best(model, run)
    if record is None:
        raise ValueError(f"run_dir: {run} has neither model.keras nor a checkpoint yet")
    return model, f"training is not finished; its best checkpoint, epoch {record['epoch']} of {config['epochs']}"


def save(model: tfp_glow.FlowModel, config: Mapping[str, Any], run: RunDirectory, record: Mapping[str, Any]) -> None:
    """Writes the final files of a run atomically: `saved_model/N/`, `model.keras` and, last, `result.json`.

    TensorFlow Serving can serve `saved_model/` under the name of the preset; see `trainers.serving`.

    Args:
      model: a model with the final weights.
      config: the run's configuration.
      run: the run directory.
      record: the record of the checkpoint that holds the final weights.
    """
    # A new model has no optimizer and is on one device.
    final = build(config)
    final.set_weights(model.get_weights())
    version = (run.result() or {"saved_model": 0})["saved_model"] + 1
    temporary, path = run.saved_models / ".partial", run.saved_models / str(version)
    for leftover in (temporary, path):  # An export that was killed leaves them; result.json does not name them.
        shutil.rmtree(leftover, ignore_errors=True)
    run.saved_models.mkdir(exist_ok=True)
    tfp_glow.export_saved_model(final, temporary)
    try:
        tfp_glow.write_warmup_requests(temporary)
    except ImportError as error:
        print(f"{path}: exported without warm-up requests for TensorFlow Serving: {error}", flush=True)
    sync_tree(temporary)
    os.replace(temporary, path)
    if not (run.saved_models / "model.config").exists():
        tfp_glow.write_model_config(run.saved_models, config["preset"])
    with replacing(run.model_path) as temporary:
        final.save(temporary)
    run.finish({"epochs": config["epochs"], "best_epoch": record["epoch"],
                "val_bits_per_dim": record["val_bits_per_dim"], "skipped_steps": run.history()[-1]["skipped_steps"],
                "saved_model": version})
