# SPDX-License-Identifier: Apache-2.0
"""Scores of a trained model on a split of a data set: bits per dimension and classification accuracy."""

import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

import tfp_glow
from tfp_glow._types import TensorLike

from .. import data as data_lib
from ..runs import class_labels
from ..runs.configuration import event_shape


def bits_per_dim(model: tfp_glow.FlowModel, batches: Iterable[Any], seed: int = 0,
                 num_samples: int = 1) -> tuple[float, int]:
    """Computes the mean bits per dimension over all events of all batches.

    The bits per dimension of an event `x` of `D` values are `-log p(x) / (D log 2)`. For images, dequantization noise
    `u` is added: they are `-log(mean_k p(x + u_k) / q(u_k | x)) / (D log 2)`, over `num_samples` draws `u_k` from the
    density `q` of the noise. More draws give a tighter upper bound. Each event has the same weight in the mean.

    Args:
      model: a `tfp_glow.FlowModel`.
      batches: iterable of batches: integer images `[batch, height, width, channels]` or float vectors `[batch, size]`.
        For a class-conditional model, it is an iterable of pairs of such a batch and its integer labels `[batch]`.
      seed: int, at least 0, random seed of the noise. The noise does not depend on the batch size. Default 0.
      num_samples: int, number of draws of the noise per image, at least 1. The time grows with the number, and the
        memory does not. It must be 1 for vectors. Default 1.

    Returns:
      A pair `(mean, number)`: the mean bits per dimension, a float, and the number of events, an int.

    Raises:
      ValueError: if `num_samples` is greater than 1 for vectors.

    References:
      Burda, Grosse and Salakhutdinov, *Importance weighted autoencoders*, 2016, section 3.
    """
    bits = bits_of_events(model, batches, seed, num_samples)
    return float(bits.mean()), len(bits)


def bits_of_events(model: tfp_glow.FlowModel, batches: Iterable[Any], seed: int = 0,
                   num_samples: int = 1) -> np.ndarray:
    """Computes the bits per dimension of each event, as `bits_per_dim` defines them.

    Args:
      model: a `tfp_glow.FlowModel`.
      batches: see `bits_per_dim`.
      seed: see `bits_per_dim`.
      num_samples: see `bits_per_dim`.

    Returns:
      A float64 array `[number]`.

    Raises:
      ValueError: if `num_samples` is greater than 1 for vectors.
    """
    generators = _noise_generators(seed, num_samples)
    bits = []
    for events, labels in _events_and_labels(batches):
        if num_samples > 1 and not _is_quantized(events):
            raise ValueError("importance_samples: must be 1 for vectors, because no noise is added to them; "
                             f"got {num_samples}")
        log_prob = functools.reduce(np.logaddexp, (
            model.log_prob(events, condition=labels, noise=noise_of(generator, events)).numpy().astype(np.float64)
            for generator in generators))
        bits.append(model.functions.to_bits(log_prob - np.log(num_samples)))
    return np.concatenate(bits)


def accuracy(model: tfp_glow.FlowModel, batches: Iterable[Any], seed: int = 0) -> float:
    """Computes the accuracy of a class-conditional model as a classifier.

    The predicted class of an event `x` is the class `y` with the greatest density `p(x | y)`. This is Bayes' rule with
    equal prior probabilities. The same dequantization noise is added to an image for all classes.

    Args:
      model: a class-conditional `tfp_glow.FlowModel`.
      batches: iterable of pairs `(events, labels)`. Events are integer images `[batch, height, width, channels]` or
        float vectors `[batch, size]`. Labels are integers `[batch]`.
      seed: int, at least 0, random seed of the noise. Default 0.

    Returns:
      The fraction in [0, 1] of events whose predicted class is their label, a float.

    Raises:
      ValueError: if the model is not class-conditional.
    """
    num_classes = model.functions.condition.num_classes
    if num_classes is None:
        raise ValueError("Argument `model` must be class-conditional; received a model without classes.")
    (generator,) = _noise_generators(seed)
    is_correct = []
    for events, labels in _events_and_labels(batches):
        noise = noise_of(generator, events)
        log_probs = np.stack([
            model.log_prob(events, condition=label, noise=noise).numpy() for label in range(num_classes)])
        is_correct.append(log_probs.argmax(axis=0) == np.asarray(labels))
    return float(np.concatenate(is_correct).mean())


def check_data(config: Mapping[str, Any], data: data_lib.ImageData | data_lib.VectorData, run: Any) -> None:
    """Checks that a data set is of the same kind as the data set of a training run.

    Args:
      config: configuration of the run, a dict, as `trainers.runs.configuration.configure` returns.
      data: an `ImageData` or a `VectorData`.
      run: the run directory, for error messages.

    Raises:
      ValueError: if `data` differs from the data set of the run in its event shape or its number of gray levels; or if
        the run is class-conditional and the names of the classes differ.
    """
    trained, received = (event_shape(config), config["data_levels"]), (data.event_shape, data.num_levels)
    if received != trained:
        raise ValueError(f"data: {data.name} has {_describe(*received)}; the model in {run} was trained on "
                         f"{_describe(*trained)}")
    class_labels.check_same(config, data, run)


def split_batches(config: Mapping[str, Any], data: data_lib.ImageData | data_lib.VectorData, split: str,
                  batch_size: int, labels: bool = False) -> tf.data.Dataset:
    """Returns the batches of a split for the evaluation of a training run, in stored order.

    Images are reduced to the number of bits per channel value with which the run was trained.

    Args:
      config: configuration of the run, a dict, as `trainers.runs.configuration.configure` returns.
      data: an `ImageData` or a `VectorData` that `check_data` accepts.
      split: `"train"`, `"validation"` or `"test"`.
      batch_size: int, number of events per batch, at least 1. The last batch may have fewer events.
      labels: bool. If True, the elements are pairs `(events, labels)`. Default False: the elements are events.

    Returns:
      A `tf.data.Dataset`. Events are uint8 images `[batch, height, width, channels]` or float32 vectors
      `[batch, size]`. Labels are int64 `[batch]`.

    Raises:
      ValueError: if `split` is another string, or `batch_size` is less than 1.
    """
    return data_lib.dataset(data, split, batch_size, shuffle=False, labels=labels, num_bits=config["num_bits"])


def _events_and_labels(batches: Iterable[Any]) -> Iterator[tuple[np.ndarray, TensorLike | None]]:
    for batch in batches:
        events, labels = batch if isinstance(batch, tuple) else (batch, None)
        yield np.asarray(events), labels


def _is_quantized(events: np.ndarray) -> bool:
    return np.issubdtype(events.dtype, np.integer)


def _noise_generators(seed: int, number: int = 1) -> list[np.random.Generator]:
    """Returns one generator per draw of the noise.

    A generator is used for all batches, one after the other, so the noise does not depend on the batch size.
    """
    return [np.random.default_rng([seed, k] if k else seed) for k in range(number)]


def noise_of(generator: np.random.Generator, events: np.ndarray) -> np.ndarray | None:
    """Returns the dequantization noise of a batch of events.

    Args:
      generator: `np.random.default_rng(seed)`, which is used for all batches of a split, one after the other.
      events: integers or floats `[batch, *event_shape]`.

    Returns:
      Uniform noise in [0, 1), a float32 array of the shape of `events`, for integers; None for floats.
    """
    return generator.random(events.shape).astype(np.float32) if _is_quantized(events) else None


def _describe(shape: tuple[int, ...], num_levels: int | None) -> str:
    if num_levels is None:
        return f"vectors of {shape[0]} numbers"
    return f"images of shape {shape} and {num_levels} gray levels"
