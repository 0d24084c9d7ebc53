# SPDX-License-Identifier: Apache-2.0
"""`choose`: the `tf.distribute.Strategy` for a value of `--strategy`."""

import tensorflow as tf

from . import workers

NAMES = ("auto", "none", "mirrored", "multi_worker")


def choose(name: str, replicas: int | None = None) -> tf.distribute.Strategy:
    """Returns the distribution strategy that has a given name.

    Args:
      name: str, one of
        - `"none"`: one device;
        - `"mirrored"`: one replica of the model on each of several devices of this process;
        - `"multi_worker"`: the devices of all processes that the environment variable `TF_CONFIG` lists;
        - `"auto"`: `"multi_worker"` if `TF_CONFIG` lists several processes; otherwise `"mirrored"` if there are two or
          more GPUs; otherwise `"none"`.
      replicas: int, number of replicas of the model for `"mirrored"`, at least 1. If it is greater than the number of
        GPUs, all replicas run on logical devices of the CPU. Default None: the number of GPUs.

    Returns:
      A `tf.distribute.Strategy`.

    Raises:
      ValueError: if `name` is none of the above; if `replicas` is less than 1, or is given for another strategy than
        `"mirrored"`; if `name` is `"mirrored"`, there is no GPU and `replicas` is None; if `TF_CONFIG` is invalid; or
        if the CPU must be divided after TensorFlow has executed an operation.
      ConnectionError: if the workers cannot connect to each other.
    """
    if name not in NAMES:
        raise ValueError(f"strategy: must be one of {', '.join(NAMES)}; got {name!r}")
    if replicas is not None and (name != "mirrored" or replicas < 1):
        raise ValueError(f"replicas: must be at least 1 and requires --strategy=mirrored; "
                         f"got {replicas} with --strategy={name}")
    if name == "multi_worker" or (name == "auto" and workers.worker_index_and_count()[1] > 1):
        return workers.connect()
    gpus = len(tf.config.list_physical_devices("GPU"))
    if name == "none" or (name == "auto" and gpus < 2):
        return tf.distribute.get_strategy()
    if replicas is None and not gpus:
        raise ValueError("replicas: --strategy=mirrored requires --replicas=N on a machine without GPUs")
    count = replicas or gpus
    if count > gpus:
        divide_cpu(count)
    kind = "CPU" if count > gpus else "GPU"
    return tf.distribute.MirroredStrategy([f"/{kind}:{i}" for i in range(count)])


def divide_cpu(count: int) -> None:
    """Divides the CPU into at least `count` logical devices.

    TensorFlow allows one division per process, before its first operation. The function does nothing if the CPU already
    has `count` logical devices.

    Args:
      count: int, required number of logical devices, at least 1.

    Raises:
      ValueError: if TensorFlow has already executed an operation.
    """
    cpu = tf.config.list_physical_devices("CPU")[0]
    logical_devices = tf.config.get_logical_device_configuration(cpu)
    if logical_devices is not None and len(logical_devices) >= count:
        return
    try:
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
    except RuntimeError as error:
        raise ValueError(f"replicas: {count} replicas require as many logical CPU devices, which must be created "
                         "before the first TensorFlow operation of the process") from error


def check_batch(batch_size: int, strategy: tf.distribute.Strategy) -> None:
    """Checks that all replicas receive the same number of examples of a batch.

    Args:
      batch_size: int, number of examples per step over all replicas.
      strategy: the distribution strategy.

    Raises:
      ValueError: if `batch_size` is not divisible by the number of replicas.
    """
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise ValueError(f"batch_size: must be divisible by the {replicas} replicas; got {batch_size}")
