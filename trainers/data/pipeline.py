# SPDX-License-Identifier: Apache-2.0
"""Batches of a data set, in an order that depends on (seed, epoch) and on nothing else."""

import math

import tensorflow as tf

from trainers.data.image_data import ImageData
from trainers.data.vector_data import VectorData

_BUFFER_BYTES = 2**28  # a split beyond this size, decoded, is shuffled in a buffer of this size


def num_batches(data: ImageData | VectorData, split: str, batch_size: int, drop_remainder: bool = False) -> int:
    """How many batches one epoch of `dataset` has.

    Raises:
      ValueError: if there is no such split, `batch_size` is not positive, or a batch with
        `drop_remainder` is larger than the split.
    """
    size = data.num_examples(split)
    if batch_size < 1:
        raise ValueError(f"batch_size: must be at least 1; got {batch_size}")
    if drop_remainder and batch_size > size:
        raise ValueError(f"batch_size: {split} of {data.name} has only {size} examples; got {batch_size}")
    return size // batch_size if drop_remainder else -(-size // batch_size)


def dataset(
    data: ImageData | VectorData,
    split: str,
    batch_size: int,
    *,
    shuffle: bool,
    seed: int = 0,
    epoch: int = 0,
    repeat: bool = False,
    labels: bool = True,
    drop_remainder: bool = False,
    flip: bool = False,
    num_bits: int | None = 8,
) -> tf.data.Dataset:
    """Batches of one split, for one epoch or for all epochs from `epoch` on.

    The order of an epoch, and which images are flipped in it, are functions of `seed` and the number of
    the epoch alone, so a run that stopped after epoch e - 1 goes on exactly with `epoch=e`.

    Args:
      data: the set.
      split: `train`, `validation` or `test`.
      batch_size: examples a batch (over all replicas).
      shuffle: whether to shuffle, in full up to 256 MiB and beyond that in a buffer of this
        size; else examples come in stored order.
      seed: non-negative; together with the epoch it gives the order and the flips.
      epoch: number of the first epoch, from 0.
      repeat: whether to go on with epochs `epoch + 1`, ... without end. No batch spans two epochs.
      labels: whether to yield labels too.
      drop_remainder: whether to leave out an epoch's last batch if it is not full.
      flip: whether to mirror about half of the images left to right.
      num_bits: bits that pixels are reduced to, `floor(x / 2**(8 - num_bits))`. Only 8-bit sets can be
        reduced; a set with fewer bits than `num_bits` is left as it is. Vectors have none to reduce.

    Returns:
      A `tf.data.Dataset` of (uint8 `[B, H, W, C]` or float32 `[B, size]`, int64 `[B]`), or of the events alone;
      labels are 0 in a set without labels.

    Raises:
      ValueError: if an argument is out of range, or a batch with `drop_remainder` is larger than the split.

    #### Example

    ```python
    data = load("digits")
    for images, labels in dataset(data, "train", 64, shuffle=True, seed=1, epoch=3):
        ...
    ```
    """
    size, steps = data.num_examples(split), num_batches(data, split, batch_size, drop_remainder)
    for name, value in (("seed", seed), ("epoch", epoch)):
        if value < 0:
            raise ValueError(f"{name}: must not be negative; got {value}")
    if flip and data.num_bits is None:
        raise ValueError(f"flip: is for images; {data.name} has {data.description}")
    shift = _shift(data, num_bits)
    examples = data.examples(split).enumerate()
    buffer = min(size, max(1, _BUFFER_BYTES // math.prod(data.event_shape)))

    def one_epoch(epoch):
        # Dataset.shuffle mixes the global seed into its own. In here this sets the seed of this function's
        # graph alone, so the order does not depend on the caller's.
        tf.random.set_seed(1)
        order_seed, flip_seed = tf.unstack(tf.random.split([seed, epoch]))
        chosen = examples
        if shuffle:
            number = tf.random.stateless_uniform([], order_seed, maxval=tf.int64.max, dtype=tf.int64)
            chosen = chosen.shuffle(buffer, seed=number, reshuffle_each_iteration=False)
        flipped = tf.random.stateless_uniform([size], flip_seed) < 0.5

        def finish(index, example):
            events, classes = example
            if flip:
                mirrored = tf.gather(flipped, index)[:, None, None, None]
                events = tf.where(mirrored, tf.reverse(events, axis=[2]), events)
            if shift:
                events = tf.bitwise.right_shift(events, tf.constant(shift, tf.uint8))
            return (events, classes) if labels else events

        return chosen.batch(batch_size, drop_remainder).map(finish, num_parallel_calls=tf.data.AUTOTUNE)

    epochs = tf.data.Dataset.range(epoch, tf.int64.max if repeat else epoch + 1)
    length = tf.data.INFINITE_CARDINALITY if repeat else steps
    batches = epochs.flat_map(one_epoch).apply(tf.data.experimental.assert_cardinality(length))
    options = tf.data.Options()
    options.deterministic = True
    # Several workers share the batches, not the files: a set may have fewer files than there are workers.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return batches.with_options(options).prefetch(tf.data.AUTOTUNE)


def _shift(data, num_bits):
    """How many bits of each pixel are dropped."""
    if data.num_bits is None:
        return 0
    fewest = 1 if data.num_bits == 8 else data.num_bits
    if num_bits is None or not fewest <= num_bits <= 8:
        raise ValueError(f"num_bits: must be in [{fewest}, 8] for {data.name}; got {num_bits}")
    return max(data.num_bits - num_bits, 0)
