# SPDX-License-Identifier: Apache-2.0
"""Conversions between integers and float events.

A point is an event of floats, for which a density is defined. An integer `x` is the bin `[x, x + 1)` of width 1.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfp_glow._types import DTypeLike


def to_points(x: tf.Tensor, dtype: DTypeLike, seed: Sequence[int | tf.Tensor] | None = None) -> tf.Tensor:
    """Converts a batch of events to floats: adds uniform noise or 1/2 to integers, and keeps the values of floats.

    Args:
      x: batch of events, integers or floats, `[batch, *event_shape]`. Under a distribution strategy, the part of the
        batch that this replica processes.
      dtype: float dtype of the result.
      seed: a pair of integers that determines uniform noise in [0, 1) on integers. None (the default) adds 1/2, the
        middle of the bin.

    Returns:
      A float tensor of the shape of `x`.
    """
    if x.dtype.is_floating:
        # The pass cache identifies an input by its tensor object, both in training and in evaluation. A new tensor
        # prevents the cache from reusing a pass of one mode in the other.
        return tf.identity(tf.cast(x, dtype))
    bins = tf.cast(x, dtype)
    return bins + 0.5 if seed is None else add_noise(bins, uniform_noise(x, dtype, seed))


def add_noise(x: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
    """Adds noise in [0, 1) to integers. The sum `x + noise` stays below `x + 1`, where rounding may put it.

    Args:
      x: integers, a float tensor of any shape.
      noise: a float tensor of the dtype and shape of `x`.

    Returns:
      A float tensor of the dtype and shape of `x`.
    """
    points, end = x + noise, x + 1.0
    below = end - np.finfo(x.dtype.as_numpy_dtype).eps * tf.abs(end)  # At most two floats below the end.
    return tf.where(points < end, points, tf.maximum(x, below))


def uniform_noise(x: tf.Tensor, dtype: DTypeLike, seed: Sequence[int | tf.Tensor]) -> tf.Tensor:
    """Draws uniform noise in [0, 1) of the shape of a batch.

    The noise of an event depends on `seed` and on the position of the event in the global batch. It does not depend on
    the number of replicas that process the global batch.

    Args:
      x: batch of events, `[batch, *event_shape]`. Under a distribution strategy, the part of the batch that this
        replica processes.
      dtype: float dtype of the result.
      seed: a pair of integers.

    Returns:
      A float tensor of the shape of `x`.
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
    """Rounds floats down to integers and clips the integers to `[0, 2**num_bits - 1]`.

    Args:
      y: a float tensor of any shape.
      num_bits: bits per channel value, an int from 1 to 16. None returns `y` unchanged.

    Returns:
      A tensor of the shape of `y`: uint8 up to 8 bits, uint16 above.
    """
    if num_bits is None:
        return y
    bins = tf.clip_by_value(tf.floor(y), 0.0, 2.0**num_bits - 1.0)
    return tf.cast(bins, tf.uint8 if num_bits <= 8 else tf.uint16)
