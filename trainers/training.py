# SPDX-License-Identifier: Apache-2.0
"""A training run, from configuration to finished directory; the same call goes on with a run that was stopped.

Everything a step depends on is in the checkpoint (weights, optimizer with its step count and moving average) or is a
function of the seed and the step (data order, flips, noise, learning rate), so a run that was killed and resumed ends
with the very weights of one that was not, on one device.
"""

import dataclasses
import math

import tensorflow as tf

from tfp_glow.flows import config_from_dict, config_to_dict
from trainers import data as data_lib
from trainers import models, pictures, strategy
from trainers.callbacks import run_callbacks
from trainers.checkpoints import Checkpoints
from trainers.flow_fields import fit_flow


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
    if network_dtype is not None:
        flow["network_dtype"] = network_dtype
    flow = config_to_dict(config_from_dict(flow))
    del flow["seed"]  # it is the run's
    steps = data_lib.num_batches(data, "train", preset.batch_size, drop_remainder=True)
    training = dataclasses.asdict(preset)
    for key in ("flow", "epochs", "num_bits", "steps_per_epoch"):
        training.pop(key)
    return {
        "preset": name,
        "data": spec,
        "num_examples": {split: data.num_examples(split) for split in data_lib.SPLITS},
        "data_levels": data.num_levels,
        "num_levels": data.num_levels if num_bits == data.num_bits else 2**num_bits,
        "num_bits": num_bits,
        "flow": flow,
        "training": training,
        "epochs": preset.epochs,
        "steps_per_epoch": min(steps, preset.steps_per_epoch or steps),
        "seed": seed,
    }


def train(run, config, data, scope, jit_compile=False, verbose=1):
    """Trains a run to its last epoch, from its newest checkpoint if it has one, and writes what a finished run leaves.

    Args:
      run: a `RunDir` that was opened with `config`.
      config: what `configure` returned.
      data: the `ImageData` or `VectorData`.
      scope: a `tf.distribute.Strategy`.
      jit_compile: whether XLA compiles the step.
      verbose: Keras's: 0, 1 (bar) or 2 (a line an epoch).

    Returns:
      What `result.json` says.

    Raises:
      ValueError: if the batch cannot be shared equally, every checkpoint is damaged, or the loss becomes NaN.
    """
    training, steps, epochs = config["training"], config["steps_per_epoch"], config["epochs"]
    strategy.check_batch(training["batch_size"], scope)
    with scope.scope():
        model = models.build(config)
        models.compile_model(model, config, scope.num_replicas_in_sync, jit_compile)
    checkpoints = Checkpoints(run.checkpoints)
    record = checkpoints.restore_last(model)
    done = record["epoch"] if record else 0
    run.cut_history(done)
    bits = f" of {config['num_bits']} bits" if config["num_bits"] else ""
    print(f"{config['preset']} on {data.name}: {data.num_examples('train')} {data.description}{bits}, "
          f"{sum(math.prod(v.shape) for v in model.trainable_variables):,} parameters, "
          f"{scope.num_replicas_in_sync} replica(s), {epochs} epochs of {steps} steps", flush=True)
    if done:
        print(f"{run}: goes on after epoch {done}", flush=True)
    else:
        model.initialize(_first_events(config, data))
    if done < epochs:
        model.fit(
            training_batches(config, data, done * steps), shuffle=False, initial_epoch=done, epochs=epochs,
            steps_per_epoch=steps, verbose=verbose,
            validation_data=data_lib.dataset(
                data, "validation", training["batch_size"], shuffle=False, num_bits=config["num_bits"]),
            callbacks=run_callbacks(run, checkpoints, training["batch_size"], config["num_levels"],
                                    training["temperature"], config["seed"]))
    pictures.loss_curve(run.history(), run.path / "loss_curve.png")
    models.save(model, config, run, models.load_best(model, run))
    return run.result()


def training_batches(config, data, step):
    """The endless training batches of a run from a step on: a `tf.data.Dataset` of events."""
    batch_size = config["training"]["batch_size"]
    epoch, skipped = divmod(step, data_lib.num_batches(data, "train", batch_size, drop_remainder=True))
    batches = data_lib.dataset(
        data, "train", batch_size, shuffle=True, seed=config["seed"], epoch=epoch, repeat=True, labels=False,
        drop_remainder=True, flip=config["training"]["flip"], num_bits=config["num_bits"]).skip(skipped)
    chance = config["training"]["pixel_noise"]
    if not chance:
        return batches

    def replace(step, images):
        which, by_what = tf.unstack(tf.random.split([config["seed"], step]))
        levels = tf.random.stateless_uniform(tf.shape(images), by_what, 0, config["num_levels"], tf.int32)
        chosen = tf.random.stateless_uniform(tf.shape(images), which) < chance
        return tf.where(chosen, tf.cast(levels, images.dtype), images)

    return batches.enumerate(step).map(replace, num_parallel_calls=tf.data.AUTOTUNE)


def _first_events(config, data):
    """The examples that set the data-dependent parameters."""
    size = min(config["training"]["init_batch_size"], data.num_examples("train"))
    batches = data_lib.dataset(
        data, "train", size, shuffle=True, seed=config["seed"], labels=False, flip=config["training"]["flip"],
        num_bits=config["num_bits"])
    return next(iter(batches))
