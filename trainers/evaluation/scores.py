# SPDX-License-Identifier: Apache-2.0
"""Bits per dimension of a trained model on a split."""

import functools

import numpy as np

from trainers.runs import class_labels
from trainers import data as data_lib
from trainers.runs.configuration import event_shape


def bits_per_dim(model, batches, seed=0, num_samples=1):
    """Mean bits per dimension of events, each counted once.

    With several draws of noise it is the importance-weighted bound, `-log2 mean_k p(x + u_k) / q(u_k | x)` per
    dimension, see `FlowModel.importance_weighted_bits`.

    Args:
      model: a `FlowModel`.
      batches: batches of integer images `[B, H, W, C]`, or of vectors `[B, size]`, which get no noise; for a model
        that is conditioned on labels, of pairs with them.
      seed: of the uniform noise in every bin; the noise does not depend on how the images are batched.
      num_samples: how many draws of noise, one after the other; for vectors, 1.

    Returns:
      `(bits per dimension, number of events)`.

    Raises:
      ValueError: if `num_samples` is above 1 for vectors.
    """
    sources = _noise_sources(seed, num_samples)
    bits = []
    for events, labels in _events(batches):
        if num_samples > 1 and not np.issubdtype(events.dtype, np.integer):
            raise ValueError(f"importance_samples: are of the noise on whole numbers; got {num_samples} for vectors")
        log_prob = functools.reduce(np.logaddexp, (
            model.log_prob(events, condition=labels, noise=_noise(source, events)).numpy().astype(np.float64)
            for source in sources))
        bits.append(model.functions.to_bits(log_prob - np.log(num_samples)))
    bits = np.concatenate(bits)
    return float(bits.mean()), len(bits)


def accuracy(model, batches, seed=0):
    """Share of events whose likeliest class is their own: Bayes' rule with equal priors, `argmax_y log p(x | y)`.

    Args:
      model: a `FlowModel` that is conditioned on labels.
      batches, seed: as for `bits_per_dim`.

    Returns:
      A float.
    """
    (source,), classes_of_model = _noise_sources(seed), range(model.functions.condition.num_classes)
    right = []
    for events, labels in _events(batches):
        noise = _noise(source, events)
        log_probs = np.stack([model.log_prob(events, condition=k, noise=noise).numpy() for k in classes_of_model])
        right.append(log_probs.argmax(axis=0) == np.asarray(labels))
    return float(np.concatenate(right).mean())


def _events(batches):
    """Pairs of events and labels, None if there are none."""
    for batch in batches:
        events, labels = batch if isinstance(batch, tuple) else (batch, None)
        yield np.asarray(events), labels


def _noise_sources(seed, number=1):
    """A generator for each draw: each goes on from batch to batch, so the noise does not depend on their size."""
    return [np.random.default_rng([seed, k] if k else seed) for k in range(number)]


def _noise(source, events):
    """Uniform noise for every bin of a batch; None for vectors, which are points."""
    return source.random(events.shape).astype(np.float32) if np.issubdtype(events.dtype, np.integer) else None


def check_fits(config, data, run):
    """Raises `ValueError` unless events of `data` are what the model of a run was trained on."""
    trained, given = (event_shape(config), config["data_levels"]), (data.event_shape, data.num_levels)
    if given != trained:
        raise ValueError(f"data: {data.name} has {_in_words(*given)}; the model in {run} was trained on "
                         f"{_in_words(*trained)}")
    class_labels.check_same(config, data, run)


def _in_words(shape, num_levels):
    if num_levels is None:
        return f"vectors of {shape[0]} numbers"
    return f"images of shape {shape} and {num_levels} grey levels"


def split_batches(config, data, split, batch_size, labels=False):
    """The events of a split, as a run's model takes them, in stored order; with their labels, if asked for."""
    return data_lib.dataset(data, split, batch_size, shuffle=False, labels=labels, num_bits=config["num_bits"])
