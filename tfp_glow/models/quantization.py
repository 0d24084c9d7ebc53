# SPDX-License-Identifier: Apache-2.0
"""Whole numbers and points: how a batch of data becomes events of a density, and back."""

import numpy as np
import tensorflow as tf


def dequantized(x, dtype, seed=None):
    """Points of a batch of events: floats are points, whole numbers are bins `[x, x + 1)`.

    Args:
      x: a batch of events; under a distribution strategy, this replica's part of it.
      dtype: float dtype of the result.
      seed: a pair of whole numbers for uniform noise in every bin; None for the middle of the bins. One pair gives the
        same noise to the same example of a global batch, however many replicas share it.
    """
    if x.dtype.is_floating:
        return tf.identity(tf.cast(x, dtype))  # Unknown to the cache of passes, which cannot tell training from not.
    return tf.cast(x, dtype) + (0.5 if seed is None else uniform_noise(x, dtype, seed))


def uniform_noise(x, dtype, seed):
    """Uniform noise in [0, 1) for every number of a batch of events, of arguments as of `dequantized`."""
    seed = tf.stack([tf.cast(s, tf.int32) for s in seed])
    context = tf.distribute.get_replica_context()
    num_replicas = context.num_replicas_in_sync if context else 1
    size = tf.shape(x)[0]
    noise = tf.random.stateless_uniform(tf.concat([[size * num_replicas], tf.shape(x)[1:]], axis=0), seed, dtype=dtype)
    if num_replicas > 1:
        noise = noise[context.replica_id_in_sync_group * size:][:size]
    return noise


def quantized(y, num_bits):
    """The bins that points are in, as uint8 (up to 8 bits) or uint16; the points themselves if `num_bits` is None."""
    if num_bits is None:
        return y
    bins = tf.clip_by_value(tf.floor(y), 0.0, 2.0**num_bits - 1.0)
    return tf.cast(bins, tf.uint8 if num_bits <= 8 else tf.uint16)


def check_finite(argument, value):
    """Raises `ValueError` if an array or eager tensor of floats holds NaN or infinity."""
    if isinstance(value, tf.Tensor) and value.dtype.is_floating:
        finite = bool(tf.reduce_all(tf.math.is_finite(value)))
    elif isinstance(value, np.ndarray) and np.issubdtype(value.dtype, np.floating):
        finite = np.isfinite(value).all()
    else:
        return
    if not finite:
        raise ValueError(f"Argument `{argument}` must be finite; received NaN or infinity.")


def first_batch(x, y=None, size=256):
    """The first events and labels of arrays, or the first batch of a dataset; None for labels that there are not."""
    if isinstance(x, (np.ndarray, tf.Tensor)):
        return x[:size], None if y is None else y[:size]
    if not isinstance(x, (tf.data.Dataset, tf.distribute.DistributedDataset)):
        raise ValueError("Argument `x` must be an array, a tensor or a tf.data.Dataset to take the batch for data-"
                         f"dependent initialisation from; received {type(x).__name__} (call `initialize` before).")
    batch = next(iter(x))
    batch = batch if isinstance(batch, tuple) else (batch,)
    events, labels, *_ = [b.values[0] if isinstance(b, tf.distribute.DistributedValues) else b for b in (*batch, None)]
    return events, labels
