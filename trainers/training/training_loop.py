# SPDX-License-Identifier: Apache-2.0
"""`train`: trains the model of a run from its newest checkpoint to the last epoch, and writes the final files.

A checkpoint holds the weights and the variables of the optimizer, such as the number of the step. The order of the
data, flips, noise and the learning rate are functions of the seed and the number of the step. On one device, a run that
is killed and resumed therefore ends with the weights of an uninterrupted run, bit for bit.
"""

import contextlib
import math
import warnings
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

import tfp_glow
from tfp_glow.models.nonfinite_steps import SkippedStepsWarning

from ..callbacks.averaged_weights import KeepTrainingWeights
from ..callbacks.checkpoint_saving import SaveCheckpointWithinEpoch
from ..callbacks.data_wait import DataWait
from ..callbacks.progress_bar import ProgressBar
from ..callbacks.run_callbacks import run_callbacks
from ..callbacks.tensorboard_events import TensorBoardEvents
from ..data import ImageData, VectorData
from ..distribute import strategies, workers
from ..evaluation import scores
from ..reporting import charts, png_files
from ..runs import class_labels, stop_signals, trained_models
from ..runs.checkpoints import Checkpoints
from ..runs.run_directory import RunDirectory
from .training_batches import first_batch, training_batches, validation_batch, validation_batches


def build_model(config: Mapping[str, Any], scope: tf.distribute.Strategy) -> tfp_glow.FlowModel:
    """Builds the model of a run under a distribution strategy.

    The weights have their random initial values; the data-dependent initialization is not done yet.

    With several worker processes, call `trainers.distribute.workers.agree_on_config` before this function.

    Args:
      config: configuration of the run, a dict, as `trainers.runs.configuration.configure` returns.
      scope: the distribution strategy, a `tf.distribute.Strategy`.

    Returns:
      A `tfp_glow.FlowModel`, not compiled.

    Raises:
      ValueError: if an argument of the flow in `config` has an invalid value.
    """
    with scope.scope():
        return trained_models.build(config)


def train(
    run: RunDirectory,
    config: Mapping[str, Any],
    data: ImageData | VectorData,
    scope: tf.distribute.Strategy,
    model: tfp_glow.FlowModel,
    jit_compile: bool = False,
    verbose: int = 1,
    checkpoint_minutes: float | None = None,
    events: bool = True,
    max_skipped: int = 10,
) -> dict[str, Any] | None:
    """Trains a run to its last epoch and writes the final files.

    If the run has a checkpoint, training resumes from the newest one. Otherwise it starts with the data-dependent
    initialization.

    Args:
      run: the run directory. Call `run.open(config)` before.
      config: configuration of the run, a dict, as `trainers.runs.configuration.configure` returns.
      data: the data set of the run, an `ImageData` or a `VectorData`.
      scope: the distribution strategy, a `tf.distribute.Strategy`.
      model: the model that `build_model(config, scope)` returns.
      jit_compile: bool. If True, XLA compiles the training step. Default False.
      verbose: int. 0 prints no progress, 1 prints a progress bar and one line per epoch, 2 prints one line per epoch.
        Default 1.
      checkpoint_minutes: float, least number of minutes between checkpoints within an epoch; 0 saves after each step.
        Default None: no checkpoints within an epoch. With several worker processes, each value is treated as
        None.
      events: bool. If True, event files for TensorBoard are written. Default True.
      max_skipped: int, at least 1, number of consecutive skipped steps at which training stops with an error. A step is
        skipped if its loss or gradient is not finite. Default 10.

    Returns:
      The content of `result.json`, a dict (see `trainers.runs.trained_models.save`), or None in a worker that is not
      the chief.

    Raises:
      ValueError: if the batch size is not divisible by the number of replicas; if all checkpoints are damaged; if
        `max_skipped` consecutive steps are skipped; if the best weights or their bits per dimension are not finite;
        or if the weights of the workers differ.
    """
    training, steps, epochs = config["training"], config["steps_per_epoch"], config["epochs"]
    strategies.check_batch(training["batch_size"], scope)
    with scope.scope():
        trained_models.compile_model(model, config, jit_compile)
    result = run.result()
    if result is not None and result["epochs"] >= epochs:
        for name in run.damaged_exports():
            warnings.warn(f"{run.path / name} is damaged or missing; the run is finished again from its checkpoints",
                          stacklevel=2)
    checkpoints = Checkpoints(run.checkpoints)
    record = checkpoints.restore_last(model)
    done, step = (record["epoch"], record["step"]) if record else (0, 0)
    run.rewind(done)
    bits = f" of {config['num_bits']} bits per channel value" if config["num_bits"] else ""
    if workers.are_several(scope):
        checkpoint_minutes = None  # Within an epoch, the metrics of a worker cover only its part of each batch.
    if not run.writes:
        verbose, events = 0, False
    print(f"{config['preset']} on {data.name}: {data.num_examples('train')} {data.description}{bits}, "
          f"{sum(math.prod(v.shape) for v in model.trainable_variables):,} parameters, "
          f"{scope.num_replicas_in_sync} replica(s), {epochs} epochs of {steps} steps", flush=True)
    if record:
        print(f"{run}: resuming after epoch {done}{f' and {step} steps' if step else ''}", flush=True)
    else:
        model.initialize(*first_batch(config, data))
    workers.agree_on_weights(scope, model)

    wait = DataWait() if scope.num_replicas_in_sync == 1 else None
    tensorboard = [TensorBoardEvents(run, validation_batch(config, data))] if events else []

    validation_data = validation_batches(config, data)

    def fit(first_epoch: int, first_step: int, end: int, record: dict[str, Any] | None = None) -> None:
        batches = training_batches(config, data, first_epoch * steps + first_step)
        model.fit(
            wait.watched(batches) if wait else batches, shuffle=False, initial_epoch=first_epoch, epochs=end,
            steps_per_epoch=steps - first_step, verbose=0,
            validation_data=validation_data,
            callbacks=[
                *([wait] if wait else []),
                *run_callbacks(run, checkpoints, training["batch_size"], config["num_levels"],
                               training["temperature"], config["seed"], max_skipped, validation_data,
                               tensorboard),
                SaveCheckpointWithinEpoch(checkpoints, checkpoint_minutes, record), KeepTrainingWeights(),
                *([bar] if verbose else [])])

    unit = "images" if config["num_levels"] else "vectors"
    # Several workers have no checkpoints within an epoch, so each of them stops at once after SIGTERM.
    deferred = contextlib.nullcontext() if workers.are_several(scope) else stop_signals.deferred()
    with (deferred, warnings.catch_warnings(),
          contextlib.closing(ProgressBar(epochs, steps, done * steps + step, unit, live=verbose == 1)) as bar):
        warnings.simplefilter("ignore", SkippedStepsWarning)  # The bar and the lines show the number.
        if step:  # In one call of `fit`, all epochs have the same length. The rest of an epoch is a separate call.
            fit(done, step, done + 1, record)
            done += 1
        if done < epochs:
            fit(done, 0, epochs)
    workers.agree_on_weights(scope, model)
    if not run.writes:
        return None
    png_files.save_png(charts.learning_curve(run.history(), training=training), run.path / "loss_curve.png")
    skipped_steps = model.skipped_steps  # of the last checkpoint, before the best one is loaded
    best = trained_models.load_best(model, run)
    if best is None:
        raise ValueError(f"checkpoints: {run.checkpoints} has no checkpoint; run the same command again")
    final = trained_models.exported_model(model, config)
    val_bits_per_dim = _validation_bits(final, config, data)
    trained_models.check_finite(final, val_bits_per_dim, run)
    trained_models.save(final, config, run, best, val_bits_per_dim, skipped_steps)
    return run.result()


def _validation_bits(model: tfp_glow.FlowModel, config: Mapping[str, Any], data: ImageData | VectorData) -> float:
    """Computes the bits per dimension of the validation split with the noise and the batches of `trainers.evaluate`."""
    labels = class_labels.is_class_conditional(config)
    return scores.bits_per_dim(model, scores.split_batches(config, data, "validation", 256, labels))[0]
