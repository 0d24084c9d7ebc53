# SPDX-License-Identifier: Apache-2.0
"""`dataset` and `num_batches`: the batches of a data set, in an order that depends on the seed and the epoch only."""

import math

import tensorflow as tf

from .image_data import ImageData
from .vector_data import VectorData

_BUFFER_BYTES = 2**28  # Size of the shuffle buffer; a decoded split up to this size is shuffled completely.


def num_batches(data: ImageData | VectorData, split: str, batch_size: int, drop_remainder: bool = False) -> int:
    """Computes the number of batches per epoch of the function `trainers.data.dataset` with the same arguments.

    Args:
      data: an `ImageData` or a `VectorData`.
      split: `"train"`, `"validation"` or `"test"`.
      batch_size: int, number of examples per batch, at least 1.
      drop_remainder: bool. If True, a last batch with fewer than `batch_size` examples is not counted. Default False.

    Returns:
      An int.

    Raises:
      ValueError: if `split` is another string, if `batch_size` is less than 1, or if `drop_remainder` is True and the
        split has fewer than `batch_size` examples.
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
    """Returns the batches of a split, for one epoch or without end.

    The order of the examples and the choice of the mirrored images depend only on `seed` and the number of the epoch.
    Training that stopped after the epochs 0 to `e - 1` can therefore continue with `epoch=e` as if it had not stopped.

    Args:
      data: an `ImageData` or a `VectorData`.
      split: `"train"`, `"validation"` or `"test"`.
      batch_size: int, number of examples per batch over all replicas, at least 1.
      shuffle: bool. If True, each epoch has another random order. A split of at most 256 MiB is shuffled completely, a
        larger split within a moving buffer of 256 MiB. If False, examples are in stored order.
      seed: int, at least 0, random seed of the order and of the mirrored images. Default 0.
      epoch: int, number of the first epoch, counted from 0. Default 0.
      repeat: bool. If True, the epochs `epoch + 1`, `epoch + 2`, ... follow without end; no batch contains examples of
        two epochs. Default False: one epoch.
      labels: bool. If True, the elements are pairs of events and labels. If False, they are events. Default True.
      drop_remainder: bool. If True, a last batch of an epoch with fewer than `batch_size` examples is dropped. Default
        False.
      flip: bool. If True, each image is mirrored left to right with probability 1/2. Default False.
      num_bits: int, bits per channel value. 8-bit images are reduced to `floor(x / 2**(8 - num_bits))`, with `num_bits`
        from 1 to 8. Images with fewer bits are not changed; `num_bits` is then from their number of bits to 8. It has
        no effect on vectors. Default 8.

    Returns:
      A `tf.data.Dataset` of pairs `(events, labels)`, or of events if `labels` is False. Images are uint8
      `[batch, height, width, channels]`, vectors float32 `[batch, size]` and labels int64 `[batch]`. All labels are 0
      in a set without labels.

    Raises:
      ValueError: if `split`, `batch_size`, `seed`, `epoch` or `num_bits` is not one of the values above; if `flip` is
        True and the set has vectors; or if `drop_remainder` is True and the split has fewer than `batch_size` examples.

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
    options.autotune.enabled = False  # With it, the end of an epoch can wait for the autotuner, up to a minute.
    # With several workers, each worker reads a part of the batches. It cannot read a part of the files, because a set
    # may have fewer files than there are workers.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return batches.with_options(options).prefetch(tf.data.AUTOTUNE)


def _num_dropped_bits(data: ImageData | VectorData, num_bits: int | None) -> int:
    """Computes the number of low bits that are dropped from each channel value; 0 for vectors."""
    if data.num_bits is None:
        return 0
    fewest = 1 if data.num_bits == 8 else data.num_bits
    if num_bits is None or not fewest <= num_bits <= 8:
        raise ValueError(f"num_bits: must be in [{fewest}, 8] for {data.name}; got {num_bits}")
    return max(data.num_bits - num_bits, 0)
