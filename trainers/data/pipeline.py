# SPDX-License-Identifier: Apache-2.0
"""Batches of a data set, in an order that depends on the seed and the epoch only."""

import math

import tensorflow as tf

from trainers.data.image_data import ImageData
from trainers.data.vector_data import VectorData

_BUFFER_BYTES = 2**28  # Size of the shuffle buffer; a decoded split up to this size is shuffled completely.


def num_batches(data: ImageData | VectorData, split: str, batch_size: int, drop_remainder: bool = False) -> int:
    """Computes the number of batches per epoch of `dataset`.

    Args:
      data: the data set.
      split: `"train"`, `"validation"` or `"test"`.
      batch_size: examples per batch, at least 1.
      drop_remainder: whether the last batch is dropped if it is not full. Default False.

    Returns:
      The number of batches, an int.

    Raises:
      ValueError: if there is no such split, if `batch_size` is not positive, or if `drop_remainder` is True and the
        split has less than one batch.
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
    """Makes the batches of one split, for one epoch or for all epochs from `epoch` on.

    The order of the examples and the flipped images depend only on `seed` and the number of the epoch. A run that
    stopped after epoch `e - 1` therefore continues exactly with `epoch=e`.

    Args:
      data: the data set.
      split: `"train"`, `"validation"` or `"test"`.
      batch_size: examples per batch, over all replicas, at least 1.
      shuffle: whether to shuffle the examples; otherwise they come in stored order. A split of up to 256 MiB is
        shuffled completely, a larger one in a buffer of this size.
      seed: non-negative int. Together with the epoch it gives the order and the flips. Default 0.
      epoch: number of the first epoch, counted from 0. Default 0.
      repeat: whether to continue without end with epochs `epoch + 1`, ...; no batch spans two epochs. Default False:
        one epoch.
      labels: whether to yield labels, too. Default True.
      drop_remainder: whether to drop the last batch of an epoch if it is not full. Default False.
      flip: whether to mirror about half of the images left to right. Default False.
      num_bits: bits per pixel value after reduction, `floor(x / 2**(8 - num_bits))`, for 8-bit images. Images with
        fewer than 8 bits are not reduced; for them `num_bits` must be at least their number of bits. Vectors ignore
        it. Default 8.

    Returns:
      A `tf.data.Dataset` of pairs (events, labels), or of events alone if `labels` is False. Events are uint8
      `[B, H, W, C]` or float32 `[B, size]`; labels are int64 `[B]`, 0 in a set without labels.

    Raises:
      ValueError: if there is no such split, an argument is out of range, `flip` is True for vectors, or
        `drop_remainder` is True and the split has less than one batch.

    Example:

    >>> points = VectorData("points", {"train": np.zeros((5, 2), np.float32)})
    >>> batches = dataset(points, "train", 2, shuffle=True, seed=1, epoch=3)
    >>> [tuple(events.shape) for events, _ in batches]
    [(2, 2), (2, 2), (1, 2)]
    """
    size, steps = data.num_examples(split), num_batches(data, split, batch_size, drop_remainder)
    for name, value in (("seed", seed), ("epoch", epoch)):
        if value < 0:
            raise ValueError(f"{name}: must not be negative; got {value}")
    if flip and data.num_bits is None:
        raise ValueError(f"flip: is for images; {data.name} has {data.description}")
    shift = _num_dropped_bits(data, num_bits)
    examples = data.examples(split).enumerate()
    buffer = min(size, max(1, _BUFFER_BYTES // math.prod(data.event_shape)))

    def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        # Dataset.shuffle combines its own seed with the global one. Here `set_seed` applies to the graph of this
        # function only, so the order does not depend on the global seed of the caller.
        tf.random.set_seed(1)
        order_seed, flip_seed = tf.unstack(tf.random.split([seed, epoch]))
        chosen = examples
        if shuffle:
            number = tf.random.stateless_uniform([], order_seed, maxval=tf.int64.max, dtype=tf.int64)
            chosen = chosen.shuffle(buffer, seed=number, reshuffle_each_iteration=False)
        flipped = tf.random.stateless_uniform([size], flip_seed) < 0.5

        def finish(index: tf.Tensor, example: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
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
    # Workers share the batches and not the files, because a set may have fewer files than workers.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return batches.with_options(options).prefetch(tf.data.AUTOTUNE)


def _num_dropped_bits(data: ImageData | VectorData, num_bits: int | None) -> int:
    """Computes the number of low bits to drop from each pixel value."""
    if data.num_bits is None:
        return 0
    fewest = 1 if data.num_bits == 8 else data.num_bits
    if num_bits is None or not fewest <= num_bits <= 8:
        raise ValueError(f"num_bits: must be in [{fewest}, 8] for {data.name}; got {num_bits}")
    return max(data.num_bits - num_bits, 0)
