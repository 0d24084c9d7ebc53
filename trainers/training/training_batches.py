# SPDX-License-Identifier: Apache-2.0
"""The batches of a run: for training from any step, for the data-dependent initialization and for TensorBoard."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from trainers import data as data_lib
from trainers.data import ImageData, VectorData
from trainers.runs import class_labels


def training_batches(config: Mapping[str, Any], data: ImageData | VectorData, step: int) -> tf.data.Dataset:
    """Returns the endless training batches of a run, from a given step on.

    Batch `n` is a function of the configuration and `n` only, so that a resumed run continues with the same batches.

    Args:
      config: the run's configuration.
      data: the data set.
      step: number of the first step, from 0.

    Returns:
      A `tf.data.Dataset` of events `[batch_size, *event_shape]`; for a class-conditional run, of pairs of events and
      int64 labels `[batch_size]`.
    """
    batch_size = config["training"]["batch_size"]
    epoch, steps_to_skip = divmod(step, data_lib.num_batches(data, "train", batch_size, drop_remainder=True))
    batches = data_lib.dataset(
        data, "train", batch_size, shuffle=True, seed=config["seed"], epoch=epoch, repeat=True,
        labels=class_labels.are_conditions(config), drop_remainder=True, flip=config["training"]["flip"],
        num_bits=config["num_bits"]).skip(steps_to_skip)
    probability = config["training"]["pixel_noise"]
    if not probability:
        return batches
    return _with_pixel_noise(batches, step, probability, config["seed"], config["num_levels"])


def first_batch(config: Mapping[str, Any], data: ImageData | VectorData) -> tuple[tf.Tensor, ...]:
    """Returns the training examples of a run's data-dependent initialization.

    Args:
      config: the run's configuration.
      data: the data set.

    Returns:
      A tuple of the events; for a class-conditional run, of events and labels.
    """
    size = min(config["training"]["init_batch_size"], data.num_examples("train"))
    batches = data_lib.dataset(
        data, "train", size, shuffle=True, seed=config["seed"], flip=config["training"]["flip"],
        num_bits=config["num_bits"])
    events, labels = next(iter(batches))
    return (events, labels) if class_labels.are_conditions(config) else (events,)


def validation_batch(config: Mapping[str, Any], data: ImageData | VectorData) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns events and labels of the validation split, for TensorBoard's histograms; the same batch at each call.

    Args:
      config: the run's configuration.
      data: the data set.
    """
    return next(iter(data_lib.dataset(
        data, "validation", config["training"]["batch_size"], shuffle=True, seed=config["seed"],
        num_bits=config["num_bits"])))


def _with_pixel_noise(
    batches: tf.data.Dataset, first_step: int, probability: float, seed: int, num_levels: int,
) -> tf.data.Dataset:
    """Replaces each pixel with a given probability by a random gray level, which depends on the seed and the step."""
    def replace_pixels(step, images):
        position_seed, level_seed = tf.unstack(tf.random.split([seed, step]))
        levels = tf.random.stateless_uniform(tf.shape(images), level_seed, 0, num_levels, tf.int32)
        is_replaced = tf.random.stateless_uniform(tf.shape(images), position_seed) < probability
        return tf.where(is_replaced, tf.cast(levels, images.dtype), images)

    def replace_in_batch(step, batch):
        if isinstance(batch, tuple):
            return (replace_pixels(step, batch[0]), *batch[1:])
        return replace_pixels(step, batch)

    return batches.enumerate(first_step).map(replace_in_batch, num_parallel_calls=tf.data.AUTOTUNE)
