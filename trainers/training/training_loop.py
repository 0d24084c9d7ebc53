# SPDX-License-Identifier: Apache-2.0
"""A training run, from configuration to finished directory; the same call goes on with a run that was stopped.

Everything a step depends on is in the checkpoint (weights, optimizer with its step count and moving average) or is a
function of the seed and the step (data order, flips, noise, learning rate), so a run that was killed and resumed ends
with the very weights of one that was not, on one device.
"""

import contextlib
import dataclasses
import math

import tensorflow as tf

from tfp_glow.flows import config_from_dict, config_to_dict
from trainers.distribute import strategies, workers
from trainers.reporting import charts, pictures
from trainers.runs import class_labels, trained_models
from trainers import data as data_lib
from trainers.callbacks.epoch_callbacks import run_callbacks
from trainers.runs.checkpoints import Checkpoints
from trainers.callbacks.data_wait import DataWait
from trainers.runs.configuration import fit_dequantizer, fit_flow
from trainers.optimization.nonfinite_steps import GuardedFlow
from trainers.callbacks.progress_bar import ProgressBar
from trainers.callbacks.tensorboard import RunEvents
from trainers.callbacks.within_epoch import OwnWeights, WithinEpoch


def configure(name, preset, spec, data, seed=0, network_dtype=None):
    """The configuration of a run: all that its result depends on, as a dict that JSON can hold.

    Args:
      name: the preset's name.
      preset: a `Preset`, perhaps with fields changed.
      spec: the data's SPEC.
      data: the `ImageData` or `VectorData` it names.
      seed: a non-negative int, for weights, order of the data, flips and noise.
      network_dtype: dtype or policy of the flow's networks, or None for the flow's default.

    Raises:
      ValueError: if the flow does not fit the data, or a batch is larger than the training split.
    """
    if seed < 0:
        raise ValueError(f"seed: must not be negative; got {seed}")
    flow, num_bits = fit_flow(name, preset, data)
    dequantizer = fit_dequantizer(preset, data, num_bits)
    flow, dequantizer = (fields and _complete(fields, network_dtype) for fields in (flow, dequantizer))
    steps = data_lib.num_batches(data, "train", preset.batch_size, drop_remainder=True)
    training = dataclasses.asdict(preset)
    for key in ("flow", "epochs", "crop", "resize", "num_bits", "dequantization", "dequantizer", "steps_per_epoch"):
        training.pop(key)
    return {
        "preset": name,
        "data": spec,
        "crop": preset.crop or None,
        "resize": preset.resize or None,
        "num_examples": {split: data.num_examples(split) for split in data_lib.SPLITS},
        "data_levels": data.num_levels,
        "num_levels": data.num_levels if num_bits == data.num_bits else 2**num_bits,
        "num_bits": num_bits,
        **class_labels.of_data(preset, data),
        "flow": flow,
        "dequantizer": dequantizer,
        "training": training,
        "epochs": preset.epochs,
        "steps_per_epoch": min(steps, preset.steps_per_epoch or steps),
        "seed": seed,
    }


def _complete(fields, network_dtype):
    """All fields of a flow's configuration, but for the seed, which is the run's."""
    if network_dtype is not None:
        fields = {**fields, "network_dtype": network_dtype}
    fields = config_to_dict(config_from_dict(fields))
    del fields["seed"]
    return fields


def train(run, config, data, scope, jit_compile=False, verbose=1, checkpoint_minutes=None, events=True,
          max_skipped=10):
    """Trains a run to its last epoch, from its newest checkpoint if it has one, and writes what a finished run leaves.

    Args:
      run: a `RunDir` that was opened with `config`.
      config: what `configure` returned.
      data: the `ImageData` or `VectorData`.
      scope: a `tf.distribute.Strategy`.
      jit_compile: whether XLA compiles the step.
      verbose: 0 for silence, 1 for a bar and a line an epoch, 2 for the lines alone.
      checkpoint_minutes: how often to save within epochs, too; 0 is after every step, None is never.
      events: whether to write events for TensorBoard.
      max_skipped: so many steps in a row, left out for a loss or gradient that is not finite, end the run.

    Returns:
      What `result.json` says; None if this process is a worker, but not the chief.

    Raises:
      ValueError: if the batch cannot be shared equally, every checkpoint is damaged, too many steps in a row were left
        out, or the workers do not have the same weights.
    """
    training, steps, epochs = config["training"], config["steps_per_epoch"], config["epochs"]
    strategies.check_batch(training["batch_size"], scope)
    with scope.scope():
        model = trained_models.build(config, GuardedFlow)
        trained_models.compile_model(model, config, jit_compile)
    checkpoints = Checkpoints(run.checkpoints)
    record = checkpoints.restore_last(model)
    done, step = (record["epoch"], record["step"]) if record else (0, 0)
    run.rewind(done)
    bits = f" of {config['num_bits']} bits" if config["num_bits"] else ""
    if workers.are_several(scope):
        checkpoint_minutes = None  # Metrics within an epoch are spread over the workers.
    if not run.writes:
        verbose, events = 0, False
    print(f"{config['preset']} on {data.name}: {data.num_examples('train')} {data.description}{bits}, "
          f"{sum(math.prod(v.shape) for v in model.trainable_variables):,} parameters, "
          f"{scope.num_replicas_in_sync} replica(s), {epochs} epochs of {steps} steps", flush=True)
    if record:
        print(f"{run}: goes on after epoch {done}{f' and {step} steps' if step else ''}", flush=True)
    else:
        model.initialize(*_first_batch(config, data))
    workers.agree_on_weights(scope, model)

    wait = DataWait() if scope.num_replicas_in_sync == 1 else None

    def fit(first, step, end, record=None):
        batches = training_batches(config, data, first * steps + step)
        model.fit(
            wait.watched(batches) if wait else batches, shuffle=False, initial_epoch=first, epochs=end,
            steps_per_epoch=steps - step, verbose=0,
            validation_data=data_lib.dataset(
                data, "validation", training["batch_size"], shuffle=False, num_bits=config["num_bits"]),
            callbacks=[
                *[wait] * bool(wait),
                *run_callbacks(run, checkpoints, training["batch_size"], config["num_levels"],
                               training["temperature"], config["seed"], max_skipped, to_look_at),
                WithinEpoch(checkpoints, checkpoint_minutes, record), OwnWeights(), *[bar] * bool(verbose)])

    to_look_at = [RunEvents(run, _validation_batch(config, data))] if events else []
    unit = "images" if config["num_levels"] else "vectors"
    with contextlib.closing(ProgressBar(epochs, steps, done * steps + step, unit, live=verbose == 1)) as bar:
        if step:  # Keras's epochs are all of one length, so the rest of one is a `fit` of its own.
            fit(done, step, done + 1, record)
            done += 1
        if done < epochs:
            fit(done, 0, epochs)
    workers.agree_on_weights(scope, model)
    if not run.writes:
        return None
    pictures.save_figure(charts.learning_curve(run.history()), run.path / "loss_curve.png")
    trained_models.save(model, config, run, trained_models.load_best(model, run))
    return run.result()


def training_batches(config, data, step):
    """The endless training batches of a run from a step on: a `tf.data.Dataset` of events, with labels if it uses them.
    """
    batch_size = config["training"]["batch_size"]
    epoch, skipped = divmod(step, data_lib.num_batches(data, "train", batch_size, drop_remainder=True))
    batches = data_lib.dataset(
        data, "train", batch_size, shuffle=True, seed=config["seed"], epoch=epoch, repeat=True,
        labels=class_labels.are_conditions(config), drop_remainder=True, flip=config["training"]["flip"],
        num_bits=config["num_bits"]).skip(skipped)
    chance = config["training"]["pixel_noise"]
    if not chance:
        return batches

    def replace(step, images):
        which, by_what = tf.unstack(tf.random.split([config["seed"], step]))
        levels = tf.random.stateless_uniform(tf.shape(images), by_what, 0, config["num_levels"], tf.int32)
        chosen = tf.random.stateless_uniform(tf.shape(images), which) < chance
        return tf.where(chosen, tf.cast(levels, images.dtype), images)

    def replace_in(step, batch):
        return (replace(step, batch[0]), *batch[1:]) if isinstance(batch, tuple) else replace(step, batch)

    return batches.enumerate(step).map(replace_in, num_parallel_calls=tf.data.AUTOTUNE)


def _validation_batch(config, data):
    """The events and labels whose latents are to be looked at, always the same."""
    return next(iter(data_lib.dataset(
        data, "validation", config["training"]["batch_size"], shuffle=True, seed=config["seed"],
        num_bits=config["num_bits"])))


def _first_batch(config, data):
    """The examples that set the data-dependent parameters: events, and labels if the run uses them."""
    size = min(config["training"]["init_batch_size"], data.num_examples("train"))
    batches = data_lib.dataset(
        data, "train", size, shuffle=True, seed=config["seed"], flip=config["training"]["flip"],
        num_bits=config["num_bits"])
    events, labels = next(iter(batches))
    return (events, labels) if class_labels.are_conditions(config) else (events,)
