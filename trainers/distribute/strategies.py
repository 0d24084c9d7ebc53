# SPDX-License-Identifier: Apache-2.0
"""Creates the `tf.distribute.Strategy` that `--strategy` names."""

import tensorflow as tf

from trainers.distribute import workers

NAMES = ("auto", "none", "mirrored", "multi_worker")


def choose(name: str, replicas: int | None = None) -> tf.distribute.Strategy:
    """Returns the distribution strategy of a given name.

    Args:
      name: one of
        `"none"`: one device;
        `"mirrored"`: one replica of the model on each of several devices of this process;
        `"multi_worker"`: replicas in all processes that the environment variable `TF_CONFIG` lists;
        `"auto"`: `"multi_worker"` if `TF_CONFIG` lists several processes; otherwise `"mirrored"` if there are two or
        more GPUs; otherwise `"none"`.
      replicas: number of replicas, for `"mirrored"` only; default one per GPU. With fewer GPUs than replicas, all
        replicas run on logical devices of the CPU.

    Raises:
      ValueError: if the name is unknown, `replicas` is not positive or is given for another strategy, `"mirrored"`
        finds no GPU and no `replicas`, `TF_CONFIG` is invalid, or the CPU can no longer be divided.
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

    TensorFlow allows this once per process, before its first operation.

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
    """Checks that all replicas receive equal shares of a batch.

    Args:
      batch_size: examples per step, over all replicas.
      strategy: the distribution strategy.

    Raises:
      ValueError: if the number of replicas does not divide the batch size.
    """
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise ValueError(f"batch_size: must be divisible by the {replicas} replicas; got {batch_size}")
