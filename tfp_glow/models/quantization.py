# SPDX-License-Identifier: Apache-2.0
"""Conversions between data and the points of a density: noise on integers, rounding to bins, the first batch.

A point is a float event, where a density is defined. An integer `x` stands for a bin, the interval `[x, x + 1)`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_glow._types import DTypeLike


def to_points(x: tf.Tensor, dtype: DTypeLike, seed: Sequence[int | tf.Tensor] | None = None) -> tf.Tensor:
    """Converts a batch of events to points.

    Floats are points already. An integer becomes a point in its bin.

    Args:
      x: batch of events, `[batch, *event_shape]`. Under a distribution strategy, the part of this replica.
      dtype: float dtype of the result.
      seed: two integers that give uniform noise in each bin, see `uniform_noise`. None returns the middle of each bin.

    Returns:
      A tensor of the shape of `x`.
    """
    if x.dtype.is_floating:
        # The pass cache identifies an input by its tensor object, in training and in evaluation alike. A new tensor
        # keeps a pass in one mode from being reused in the other.
        return tf.identity(tf.cast(x, dtype))
    return tf.cast(x, dtype) + (0.5 if seed is None else uniform_noise(x, dtype, seed))


def uniform_noise(x: tf.Tensor, dtype: DTypeLike, seed: Sequence[int | tf.Tensor]) -> tf.Tensor:
    """Draws uniform noise in [0, 1) of the shape of a batch.

    The noise of an event depends on `seed` and on the position of the event in the global batch. It does not depend on
    the number of replicas that share the global batch.

    Args:
      x: batch of events, `[batch, *event_shape]`. Under a distribution strategy, the part of this replica.
      dtype: float dtype of the result.
      seed: two integers.

    Returns:
      A tensor of the shape of `x`.
    """
    seed = tf.stack([tf.cast(s, tf.int32) for s in seed])
    context = tf.distribute.get_replica_context()
    num_replicas = context.num_replicas_in_sync if context else 1
    size = tf.shape(x)[0]
    noise = tf.random.stateless_uniform(tf.concat([[size * num_replicas], tf.shape(x)[1:]], axis=0), seed, dtype=dtype)
    if num_replicas > 1:
        noise = noise[context.replica_id_in_sync_group * size:][:size]
    return noise


def to_bins(y: tf.Tensor, num_bits: int | None) -> tf.Tensor:
    """Returns the integers whose bins hold the given points.

    Args:
      y: points, a float tensor. Points outside `[0, 2**num_bits)` fall in the first or the last bin.
      num_bits: bits per pixel. None returns `y` unchanged.

    Returns:
      A tensor of the shape of `y`: uint8 up to 8 bits, uint16 above.
    """
    if num_bits is None:
        return y
    bins = tf.clip_by_value(tf.floor(y), 0.0, 2.0**num_bits - 1.0)
    return tf.cast(bins, tf.uint8 if num_bits <= 8 else tf.uint16)


def first_batch(x: Any, y: Any = None, size: int = 256) -> tuple[Any, Any]:
    """Returns the first events and conditions of the data for `fit`.

    Args:
      x: array or tensor of events, or a `tf.data.Dataset` of events or of tuples that start with events and conditions.
      y: array or tensor of conditions, if `x` is an array or a tensor.
      size: number of events to take from an array or a tensor. A dataset gives its first batch.

    Returns:
      A pair `(events, conditions)`. `conditions` is None if the data has none.

    Raises:
      ValueError: if `x` is neither an array, a tensor nor a dataset.
    """
    if isinstance(x, (np.ndarray, tf.Tensor)):
        return x[:size], None if y is None else y[:size]
    if not isinstance(x, (tf.data.Dataset, tf.distribute.DistributedDataset)):
        raise ValueError("Argument `x` must be an array, a tensor or a tf.data.Dataset, whose first batch serves for "
                         f"data-dependent initialization; received {type(x).__name__}. Call `initialize` before `fit` "
                         "to train on other data.")
    batch = next(iter(x))
    batch = batch if isinstance(batch, tuple) else (batch,)
    events, conditions, *_ = [
        b.values[0] if isinstance(b, tf.distribute.DistributedValues) else b for b in (*batch, None)]
    return events, conditions
