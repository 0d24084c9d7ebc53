# SPDX-License-Identifier: Apache-2.0
"""Batches of a run: for training from any step on, for the data-dependent initialization and for validation."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from .. import data as data_lib
from ..data import ImageData, VectorData
from ..evaluation import scores
from ..runs import class_labels


def training_batches(config: Mapping[str, Any], data: ImageData | VectorData, step: int) -> tf.data.Dataset:
    """Returns the training batches of a run from a given step on, without end.

    The batch of a step depends only on the configuration and the number of the step. A resumed run therefore continues
    with the batches of an uninterrupted run.

    Args:
      config: configuration of the run, a dict, as `trainers.runs.configuration.configure` returns.
      data: the data set of the run, an `ImageData` or a `VectorData`.
      step: int, number of the first step, counted from 0 at the start of the run.

    Returns:
      A `tf.data.Dataset` of events: uint8 images `[batch_size, height, width, channels]` or float32 vectors
      `[batch_size, size]`. For a class-conditional run, the elements are pairs `(events, labels)` with int64 labels
      `[batch_size]`.
    """
    batch_size = config["training"]["batch_size"]
    epoch, steps_to_skip = divmod(step, data_lib.num_batches(data, "train", batch_size, drop_remainder=True))
    batches = data_lib.dataset(
        data, "train", batch_size, shuffle=True, seed=config["seed"], epoch=epoch, repeat=True,
        labels=class_labels.is_class_conditional(config), drop_remainder=True, flip=config["training"]["flip"],
        num_bits=config["num_bits"]).skip(steps_to_skip)
    probability = config["training"]["pixel_noise"]
    if not probability:
        return batches
    return _with_pixel_noise(batches, step, probability, config["seed"], config["num_levels"])


def first_batch(config: Mapping[str, Any], data: ImageData | VectorData) -> tuple[tf.Tensor, ...]:
    """Returns the training examples for the data-dependent initialization of a run.

    Their number is `config["training"]["init_batch_size"]`, or the size of the training split if that is smaller.

    Args:
      config: configuration of the run, a dict, as `trainers.runs.configuration.configure` returns.
      data: the data set of the run, an `ImageData` or a `VectorData`.

    Returns:
      The arguments of `tfp_glow.FlowModel.initialize`: the tuple `(events, labels)` for a class-conditional run,
      otherwise the tuple `(events,)`. Events are uint8 images `[number, height, width, channels]` or float32 vectors
      `[number, size]`. Labels are int64 `[number]`.
    """
    size = min(config["training"]["init_batch_size"], data.num_examples("train"))
    batches = data_lib.dataset(
        data, "train", size, shuffle=True, seed=config["seed"], flip=config["training"]["flip"],
        num_bits=config["num_bits"])
    events, labels = next(iter(batches))
    return (events, labels) if class_labels.is_class_conditional(config) else (events,)


def validation_batches(config: Mapping[str, Any], data: ImageData | VectorData) -> tf.data.Dataset:
    """Returns the batches of the validation split for the argument `validation_data` of `fit`.

    With uniform dequantization, images get the noise of `trainers.evaluate`, so that training and evaluation print the
    same bits per dimension. A dequantizer draws its own noise.

    Args:
      config: configuration of the run, a dict, as `trainers.runs.configuration.configure` returns.
      data: the data set of the run, an `ImageData` or a `VectorData`.

    Returns:
      A `tf.data.Dataset` of pairs `(events, labels)`: float32 images with noise, or uint8 images if the run has a
      dequantizer, `[batch, height, width, channels]`; or float32 vectors `[batch, size]`; and int64 labels `[batch]`.
      The examples are in stored order.
    """
    batch_size = config["training"]["batch_size"]
    batches = data_lib.dataset(data, "validation", batch_size, shuffle=False, num_bits=config["num_bits"])
    if config["num_bits"] is None or config.get("dequantizer") is not None:
        return batches
    size = data.num_examples("validation")

    def all_noise() -> Iterator[np.ndarray | None]:
        generator = np.random.default_rng(0)
        for start in range(0, size, batch_size):
            yield scores.noise_of(generator, np.empty((min(batch_size, size - start), *data.event_shape), np.uint8))

    noise = tf.data.Dataset.from_generator(
        all_noise, output_signature=tf.TensorSpec((None, *data.event_shape), tf.float32))
    noise = noise.apply(tf.data.experimental.assert_cardinality(-(-size // batch_size)))
    return tf.data.Dataset.zip((batches, noise)).map(
        lambda batch, uniform: (tf.cast(batch[0], tf.float32) + uniform, batch[1]))


def validation_batch(config: Mapping[str, Any], data: ImageData | VectorData) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns a batch of the validation split for the histograms of TensorBoard. Each call returns the same batch.

    Args:
      config: configuration of the run, a dict, as `trainers.runs.configuration.configure` returns.
      data: the data set of the run, an `ImageData` or a `VectorData`.

    Returns:
      A pair `(events, labels)`: uint8 images `[batch_size, height, width, channels]` or float32 vectors
      `[batch_size, size]`, and int64 labels `[batch_size]`. A validation split with fewer examples is one batch.
    """
    return next(iter(data_lib.dataset(
        data, "validation", config["training"]["batch_size"], shuffle=True, seed=config["seed"],
        num_bits=config["num_bits"])))


def _with_pixel_noise(
    batches: tf.data.Dataset, first_step: int, probability: float, seed: int, num_levels: int,
) -> tf.data.Dataset:
    """Replaces each channel value by a random gray level with a given probability.

    The choice depends on the seed and the number of the step only.
    """
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
