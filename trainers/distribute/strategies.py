# SPDX-License-Identifier: Apache-2.0
"""From `--strategy` to a `tf.distribute.Strategy`."""

import tensorflow as tf

from trainers.distribute import workers

NAMES = ("auto", "none", "mirrored", "multi_worker")


def choose(name, replicas=None):
    """The strategy of this name.

    Args:
      name: `"none"` for one device, `"mirrored"` for copies of the model on several, `"multi_worker"` for copies in
        the processes that `TF_CONFIG` names, or `"auto"`: multi_worker if it names several, else mirrored over all
        GPUs if there are two or more, else none.
      replicas: how many copies, for `"mirrored"` only; every GPU by default. If there are fewer GPUs, the processor
        is divided into so many logical devices.

    Returns:
      A `tf.distribute.Strategy`.

    Raises:
      ValueError: if an argument or `TF_CONFIG` is not as said, or the processor was divided otherwise before.
      ConnectionError: if the workers do not find each other.
    """
    if name not in NAMES:
        raise ValueError(f"strategy: must be one of {', '.join(NAMES)}; got {name!r}")
    if replicas is not None and (name != "mirrored" or replicas < 1):
        raise ValueError(f"replicas: must be at least 1, and go with --strategy=mirrored; "
                         f"got {replicas} with --strategy={name}")
    if name == "multi_worker" or (name == "auto" and workers.place()[1] > 1):
        return workers.connect()
    gpus = len(tf.config.list_physical_devices("GPU"))
    if name == "none" or (name == "auto" and gpus < 2):
        return tf.distribute.get_strategy()
    if replicas is None and not gpus:
        raise ValueError("replicas: --strategy=mirrored needs --replicas=N on a machine without GPUs")
    count = replicas or gpus
    if count > gpus:
        divide_cpu(count)
    kind = "CPU" if count > gpus else "GPU"
    return tf.distribute.MirroredStrategy([f"/{kind}:{i}" for i in range(count)])


def divide_cpu(count):
    """Makes `count` logical devices of the processor; TensorFlow allows it once, before its first operation."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    have = tf.config.get_logical_device_configuration(cpu)
    if have is not None and len(have) >= count:
        return
    try:
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
    except RuntimeError as error:
        raise ValueError(f"replicas: {count} need as many logical devices of the processor, which must be made before "
                         "TensorFlow's first operation in a process") from error


def check_batch(batch_size, strategy):
    """Raises `ValueError` unless every replica of the strategy gets the same part of a batch."""
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise ValueError(f"batch_size: must be divisible by the {replicas} replicas; got {batch_size}")
