# SPDX-License-Identifier: Apache-2.0
"""The model of a run, from its configuration and its files."""

import os
import shutil

import keras

import tfp_glow
from tfp_glow.flows import config_from_dict
from trainers.runs.checkpoints import Checkpoints
from trainers.runs.atomic_files import replacing, sync_tree
from trainers.optimization.optimizers import make_optimizer


def build(config, model_class=tfp_glow.FlowModel):
    """A model of a run's configuration, with fresh weights: a `FlowModel`, or of a class made of it."""
    flow, dequantizer = (fields and config_from_dict({**fields, "seed": config["seed"]}).build()
                         for fields in (config["flow"], config.get("dequantizer")))
    return model_class(flow, num_bits=config["num_bits"], seed=config["seed"], dequantizer=dequantizer,
                       weight_y=config["training"].get("weight_y", 0.0))


def compile_model(model, config, jit_compile=False):
    """Gives a model the optimizer of a run's configuration."""
    optimizer = make_optimizer(config["training"], config["epochs"], config["steps_per_epoch"])
    model.compile(optimizer, jit_compile=jit_compile)


def load_best(model, run):
    """Loads the best checkpoint by validation into a compiled model; its moving average becomes the weights.

    Returns:
      The checkpoint's record, or None if the run has no checkpoint yet.
    """
    record = Checkpoints(run.checkpoints).restore_best(model)
    if record:
        model.optimizer.finalize_variable_values(model.trainable_variables)
    return record


def load(run):
    """The trained model of a run, and where it is from, in words.

    A finished run gives `model.keras`, which has the weights of the best epoch; one that is not finished gives its best
    checkpoint so far.

    Raises:
      ValueError: if the run has neither, or what it has is damaged.
    """
    config = run.config()
    if run.is_finished():
        try:
            model = keras.saving.load_model(run.model_path, compile=False)
        except Exception as error:  # zip, HDF5 and JSON readers have a class each for a damaged file
            raise ValueError(f"run_dir: {run.model_path} cannot be loaded: {error}") from error
        return model, f"model.keras, epoch {run.result()['best_epoch']} of {config['epochs']}"
    model = build(config)
    compile_model(model, config)
    record = load_best(model, run)
    if record is None:
        raise ValueError(f"run_dir: {run} has neither model.keras nor a checkpoint yet")
    return model, f"training is not finished; its best checkpoint, epoch {record['epoch']} of {config['epochs']}"


def save(model, config, run, record):
    """Writes what a finished run leaves: `saved_model/N/`, `model.keras`, `result.json`; each whole or not at all.

    `saved_model/` is ready for TensorFlow Serving under the preset's name, see `trainers.serving`.

    Args:
      model: a model that has the final weights.
      config: the run's configuration.
      run: its `RunDir`.
      record: of the checkpoint that the weights are from.
    """
    # Without optimizer, and on one device.
    final = build(config)
    final.set_weights(model.get_weights())
    version = (run.result() or {"saved_model": 0})["saved_model"] + 1
    temporary, path = run.saved_models / ".partial", run.saved_models / str(version)
    for leftover in (temporary, path):  # of a finish that was killed: no result speaks of it
        shutil.rmtree(leftover, ignore_errors=True)
    run.saved_models.mkdir(exist_ok=True)
    tfp_glow.export_saved_model(final, temporary)
    try:
        tfp_glow.write_warmup_requests(temporary)
    except ImportError as error:
        print(f"{path}: without warm-up requests for TensorFlow Serving; {error}", flush=True)
    sync_tree(temporary)
    os.replace(temporary, path)
    if not (run.saved_models / "model.config").exists():
        tfp_glow.write_model_config(run.saved_models, config["preset"])
    with replacing(run.model_path) as temporary:
        final.save(temporary)
    run.finish({"epochs": config["epochs"], "best_epoch": record["epoch"],
                "val_bits_per_dim": record["val_bits_per_dim"], "skipped_steps": run.history()[-1]["skipped_steps"],
                "saved_model": version})
