# SPDX-License-Identifier: Apache-2.0
"""Scores of a trained model on a split of a data set: bits per dimension and classification accuracy."""

import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

import tfp_glow
from tfp_glow._types import TensorLike
from trainers import data as data_lib
from trainers.runs import class_labels
from trainers.runs.configuration import event_shape


def bits_per_dim(model: tfp_glow.FlowModel, batches: Iterable[Any], seed: int = 0,
                 num_samples: int = 1) -> tuple[float, int]:
    """Computes the mean bits per dimension over all events, with equal weight for each event.

    With `num_samples = K > 1` it is the importance-weighted bound `-log2 mean_k p(x + u_k) / q(u_k | x)` per dimension,
    see `FlowModel.importance_weighted_bits`.

    Args:
      model: the model.
      batches: batches of integer images `[batch, height, width, channels]` or of float vectors `[batch, size]`. For a
        conditional model, pairs of such a batch and its labels `[batch]`.
      seed: random seed of the dequantization noise. The noise does not depend on the batch size.
      num_samples: number of draws of the noise per image, evaluated one after another; 1 for vectors.

    Returns:
      The mean bits per dimension, and the number of events.

    Raises:
      ValueError: if `num_samples` is greater than 1 and the events are vectors.
    """
    generators = _noise_generators(seed, num_samples)
    bits = []
    for events, labels in _events_and_labels(batches):
        if num_samples > 1 and not _is_quantized(events):
            raise ValueError(f"importance_samples: must be 1 for vectors, which get no noise; got {num_samples}")
        log_prob = functools.reduce(np.logaddexp, (
            model.log_prob(events, condition=labels, noise=_noise(generator, events)).numpy().astype(np.float64)
            for generator in generators))
        bits.append(model.functions.to_bits(log_prob - np.log(num_samples)))
    all_bits = np.concatenate(bits)
    return float(all_bits.mean()), len(all_bits)


def accuracy(model: tfp_glow.FlowModel, batches: Iterable[Any], seed: int = 0) -> float:
    """Computes the accuracy of a class-conditional model as a classifier.

    The predicted class is `argmax_y log p(x | y)`: Bayes' rule with equal priors.

    Args:
      model: a class-conditional model.
      batches: pairs of events and labels, as for `bits_per_dim`.
      seed: random seed of the dequantization noise.

    Returns:
      The fraction of events whose predicted class is their label.

    Raises:
      ValueError: if the model is not class-conditional.
    """
    num_classes = model.functions.condition.num_classes
    if num_classes is None:
        raise ValueError("Argument `model` must be class-conditional; received a model without classes.")
    (generator,) = _noise_generators(seed)
    is_correct = []
    for events, labels in _events_and_labels(batches):
        noise = _noise(generator, events)
        log_probs = np.stack([
            model.log_prob(events, condition=label, noise=noise).numpy() for label in range(num_classes)])
        is_correct.append(log_probs.argmax(axis=0) == np.asarray(labels))
    return float(np.concatenate(is_correct).mean())


def check_data(config: Mapping[str, Any], data: data_lib.ImageData | data_lib.VectorData, run: Any) -> None:
    """Checks that a data set has the event shape, gray levels and classes that a run was trained on.

    Args:
      config: the run's configuration.
      data: the data set.
      run: the run directory, for error messages.

    Raises:
      ValueError: if the event shapes, the numbers of gray levels, or the classes of a class-conditional run differ.
    """
    trained, received = (event_shape(config), config["data_levels"]), (data.event_shape, data.num_levels)
    if received != trained:
        raise ValueError(f"data: {data.name} has {_describe(*received)}; the model in {run} was trained on "
                         f"{_describe(*trained)}")
    class_labels.check_same(config, data, run)


def split_batches(config: Mapping[str, Any], data: data_lib.ImageData | data_lib.VectorData, split: str,
                  batch_size: int, labels: bool = False) -> tf.data.Dataset:
    """Returns batches of a split in stored order, with pixels reduced to the bits of a run's model.

    Args:
      config: the run's configuration.
      data: the data set.
      split: `"train"`, `"validation"` or `"test"`.
      batch_size: number of events per batch.
      labels: whether to return pairs of events and labels, not events alone.
    """
    return data_lib.dataset(data, split, batch_size, shuffle=False, labels=labels, num_bits=config["num_bits"])


def _events_and_labels(batches: Iterable[Any]) -> Iterator[tuple[np.ndarray, TensorLike | None]]:
    for batch in batches:
        events, labels = batch if isinstance(batch, tuple) else (batch, None)
        yield np.asarray(events), labels


def _is_quantized(events: np.ndarray) -> bool:
    return np.issubdtype(events.dtype, np.integer)


def _noise_generators(seed: int, number: int = 1) -> list[np.random.Generator]:
    """Returns one generator per draw. Each continues from batch to batch, so batch sizes do not change the noise."""
    return [np.random.default_rng([seed, k] if k else seed) for k in range(number)]


def _noise(generator: np.random.Generator, events: np.ndarray) -> np.ndarray | None:
    """Returns uniform noise in [0, 1) for integers, None for vectors."""
    return generator.random(events.shape).astype(np.float32) if _is_quantized(events) else None


def _describe(shape: tuple[int, ...], num_levels: int | None) -> str:
    if num_levels is None:
        return f"vectors of {shape[0]} numbers"
    return f"images of shape {shape} and {num_levels} gray levels"
