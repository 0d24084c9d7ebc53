# SPDX-License-Identifier: Apache-2.0
"""`divide_batches_among_cores`: gives each core of a CPU a part of each batch."""

import os
from collections.abc import Callable, Iterable
from typing import Any

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfp_glow.bijectors.keras_tracking import keras_layers_in
from tfp_glow.models.batch_parts import run_in_parts

# A part of fewer events is slower than its share, because the time of small operations does not depend on their size.
_IMAGES_PER_PART = 4
_VECTORS_PER_PART = 128


def divide_batches_among_cores() -> int:
    """Prepares TensorFlow so that `FlowModel` divides each batch among the cores of the CPU.

    By default TensorFlow divides each operation among the cores. The operations of a flow are small, so it is faster to
    give each core a part of the batch. Call this function first in a program, before TensorFlow runs an operation, and
    so before you build a flow. It sets the threads of an operation to 1
    (`tf.config.threading.set_intra_op_parallelism_threads`), and turns off the fusion of operations
    (`remapping` of `tf.config.optimizer.set_experimental_options`): the fused `silu` of TensorFlow 2.21 ended processes
    in which two parts of a batch ran it at once. After that, `fit`, `evaluate`, `predict` and the other
    methods of each `FlowModel` divide batches by themselves. Results change by rounding errors only. The commands of
    this package call the function.

    These batches are not divided: batches of fewer than 8 images, or of fewer than 256 events if no network works on
    pixels or patches, as for flows over vectors; batches of a training step that updates running statistics, such as
    those of `tfp_glow.bijectors.BatchNorm`; batches under a distribution strategy of several replicas; batches of steps
    that XLA compiles; and those of your own `tf.function`s, for which there is `tfp_glow.in_parts`.

    The setting holds for the process. It slows down other models in the process that have few large operations. If
    there is a GPU, the function changes nothing.

    Returns:
      The greatest number of parts of a batch, an int: the number of cores, or 1 if there is a GPU.

    Raises:
      RuntimeError: if TensorFlow has already run an operation with other threads.

    Example:

    >>> import subprocess, sys
    >>> program = "import tfp_glow; print(tfp_glow.divide_batches_among_cores() >= 1)"
    >>> subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout.strip()
    'True'
    """
    if tf.config.get_visible_devices("GPU"):
        return 1
    if _threads("intra") != 1:
        try:
            tf.config.threading.set_intra_op_parallelism_threads(1)
        except RuntimeError as error:
            raise RuntimeError("divide_batches_among_cores must be called before TensorFlow runs an operation, and so "
                               "before a flow is built; received a call after that. Move the call to the start of the "
                               "program, or set the environment variable TF_NUM_INTRAOP_THREADS to 1.") from error
    tf.config.optimizer.set_experimental_options({"remapping": False})
    return parts_per_batch()


def parts_per_batch() -> int:
    """Returns the greatest number of parts into which `FlowModel` divides a batch, an int.

    It is the number of cores that this process may use, if each operation of TensorFlow has one thread and there is no
    GPU. Otherwise it is 1, because TensorFlow then divides each operation.
    """
    if _threads("intra") != 1 or tf.config.get_visible_devices("GPU"):
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, _threads("inter") or cores)


def events_per_part(distributions: Iterable[tfd.Distribution]) -> int:
    """Returns the least number of events in a part of a batch: 4 if networks work on each pixel or patch, else 128.

    The kernels of convolutions have four axes. So have those of the transformers in Jet, because one `Repeat` in
    another stacks them twice.

    Args:
      distributions: the distributions of a `FlowModel`.
    """
    variables = (v for layer in keras_layers_in(distributions) for v in layer.trainable_variables)
    return _IMAGES_PER_PART if any(len(v.shape) >= 4 for v in variables) else _VECTORS_PER_PART


def among_cores(function: Callable[..., Any], *batch: Any, least: int | None) -> Any:
    """Calls a function of a batch, and inside a `tf.function` divides the batch among the cores.

    Args:
      function: a function of tensors `[batch, ...]`, one argument per element of `batch`. It returns a nested structure
        of tensors `[batch, ...]`.
      *batch: tensors `[batch, ...]`, or None.
      least: least number of events in a part, an int. None calls the function once with the whole batch.

    Returns:
      The result of the function for the whole batch.
    """
    number = 1 if least is None or tf.executing_eagerly() else parts_per_batch()
    return divided(lambda part: function(*part), batch, number, least or 1, "concat")


def divided(function: Callable[[Any], Any], batch: Any, max_parts: int, least: int,
            combine: str | tuple[str, ...]) -> Any:
    """Calls a function on up to `max_parts` parts of a batch, or once if the batch is small.

    Args:
      function: a function of a structure like `batch`; see `tfp_glow.in_parts`.
      batch: a tuple of tensors `[batch, ...]`, or None.
      max_parts: greatest number of parts, an int of at least 1.
      least: least number of events in a part, an int of at least 1.
      combine: how to combine the results, as for `tfp_glow.in_parts`.

    Returns:
      The combined results.
    """
    tensors = [x for x in batch if x is not None]
    size = tensors[0].shape[0]
    if max_parts == 1 or size is not None and size < 2 * least:
        return function(batch)

    def of_part(part: list[tf.Tensor]) -> Any:
        rest = iter(part)
        return function(tuple(None if x is None else next(rest) for x in batch))

    fitting = (size or tf.shape(tensors[0])[0]) // least
    number = min(fitting, max_parts) if size else tf.clip_by_value(fitting, 1, max_parts)
    return run_in_parts(of_part, tensors, number, max_parts, combine)


def _threads(kind: str) -> int:
    """Returns the threads within (`"intra"`) or between (`"inter"`) operations, or 0 for TensorFlow's default."""
    threading = tf.config.threading
    set_here = (threading.get_intra_op_parallelism_threads() if kind == "intra" else
                threading.get_inter_op_parallelism_threads())
    given = os.environ.get(f"TF_NUM_{kind.upper()}OP_THREADS", "")
    return set_here or (int(given) if given.isdecimal() else 0)
