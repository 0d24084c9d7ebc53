# SPDX-License-Identifier: Apache-2.0
"""Bits per dimension of a trained model on a split."""

import numpy as np

from trainers import data as data_lib
from trainers.flow_fields import event_shape


def bits_per_dim(model, batches, seed=0):
    """Mean bits per dimension of events, each counted once.

    Args:
      model: a `FlowModel`.
      batches: batches of integer images `[B, H, W, C]`, or of vectors `[B, size]`, which get no noise.
      seed: of the uniform noise in every bin; the noise does not depend on how the images are batched.

    Returns:
      `(bits per dimension, number of events)`.
    """
    noise = np.random.default_rng(seed)
    bits = []
    for events in batches:
        events = np.asarray(events)
        if np.issubdtype(events.dtype, np.integer):
            events = events + noise.random(events.shape).astype(np.float32)
        bits.append(model.bits_per_dim(events).numpy())
    bits = np.concatenate(bits).astype(np.float64)
    return float(bits.mean()), len(bits)


def check_fits(config, data, run):
    """Raises `ValueError` unless events of `data` are what the model of a run was trained on."""
    trained, given = (event_shape(config), config["data_levels"]), (data.event_shape, data.num_levels)
    if given != trained:
        raise ValueError(f"data: {data.name} has {_in_words(*given)}; the model in {run} was trained on "
                         f"{_in_words(*trained)}")


def _in_words(shape, num_levels):
    if num_levels is None:
        return f"vectors of {shape[0]} numbers"
    return f"images of shape {shape} and {num_levels} grey levels"


def split_batches(config, data, split, batch_size):
    """The events of a split, as a run's model takes them, in stored order."""
    return data_lib.dataset(data, split, batch_size, shuffle=False, labels=False, num_bits=config["num_bits"])
