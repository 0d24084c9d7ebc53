# SPDX-License-Identifier: Apache-2.0
"""Training in several worker processes: connection, agreement between workers, and errors of lost workers.

All workers run the same command, each with its own environment variable `TF_CONFIG`. They share a file system that
holds the run directory. Only the chief, the first worker, writes there. The other workers read the checkpoints.
"""

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainers.runs.run_directory import RunDirectory

_JOBS = ("chief", "worker")
_EXAMPLE = '{"cluster": {"worker": ["host:port", "host:port"]}, "task": {"type": "worker", "index": 0}}'
# The errors of a broken connection: TensorFlow raises one of them, depending on the operation that was running.
_CONNECTION_ERRORS = (tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.DeadlineExceededError,
                      tf.errors.FailedPreconditionError, tf.errors.InternalError, tf.errors.UnavailableError)


def worker_index_and_count() -> tuple[int, int]:
    """Returns the index of this process among the workers in `TF_CONFIG`, and their number.

    Without a cluster in `TF_CONFIG`, the result is `(0, 1)`. A chief comes before all other workers.

    Raises:
      ValueError: if `TF_CONFIG` is not valid JSON of the form that TensorFlow requires.
    """
    text = os.environ.get("TF_CONFIG", "").strip()
    try:
        config = json.loads(text or "{}")
        if not config.get("cluster"):
            return 0, 1
        tasks = [(job, index) for job in _JOBS for index, _ in enumerate(config["cluster"].get(job, []))]
        task = config["task"]["type"], int(config["task"]["index"])
        if set(config["cluster"]) <= set(_JOBS):
            return tasks.index(task), len(tasks)
    except (ValueError, TypeError, AttributeError, KeyError):
        pass
    raise ValueError(f"TF_CONFIG: must be of the form {_EXAMPLE}; got {text}")


def connect() -> tf.distribute.MultiWorkerMirroredStrategy:
    """Waits for all workers in `TF_CONFIG` and returns their distribution strategy.

    Call this before the first TensorFlow operation of the process.

    Raises:
      ValueError: if `TF_CONFIG` lists fewer than two workers.
      ConnectionError: if the port of this worker is in use, or another worker does not start in time.
    """
    index, count = worker_index_and_count()
    if count < 2:
        raise ValueError(f"strategy: multi_worker requires a TF_CONFIG of two or more workers, such as {_EXAMPLE}")
    print(f"worker {index + 1} of {count}: waiting for the other workers", flush=True)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except (tf.errors.OpError, RuntimeError) as error:
        raise ConnectionError(f"TF_CONFIG: the workers cannot be connected: {_first_line(error)}") from error


def are_several(strategy: tf.distribute.Strategy) -> bool:
    """Returns whether the replicas of a strategy are in several processes."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Returns whether this process writes to the run directory."""
    return not are_several(strategy) or worker_index_and_count()[0] == 0


def agree_on_config(strategy: tf.distribute.Strategy, config: Mapping[str, Any]) -> None:
    """Waits until all workers call this function, then compares their configurations.

    Call this before the model is built under the strategy: workers with different models would wait forever.

    Args:
      strategy: the distribution strategy; without several workers, this function does nothing.
      config: the run's configuration.

    Raises:
      ValueError: if the configurations differ.
    """
    if are_several(strategy):
        _agree(strategy, "configuration", [json.dumps(config, sort_keys=True).encode()])


def agree_on_weights(strategy: tf.distribute.Strategy, model: keras.Model) -> None:
    """Waits until all workers call this function, then compares the states of their models and optimizers.

    Args:
      strategy: the distribution strategy; without several workers, this function does nothing.
      model: the compiled model.

    Raises:
      ValueError: if the states differ.
    """
    if are_several(strategy):
        variables = [*model.variables, *model.optimizer.variables]
        _agree(strategy, "weights", [np.ascontiguousarray(v.numpy()) for v in variables])


def _agree(strategy: tf.distribute.Strategy, name: str, buffers: Iterable[Any]) -> None:
    sha256 = hashlib.sha256()
    for buffer in buffers:
        sha256.update(buffer)
    digest = np.frombuffer(sha256.digest(), "uint8").astype("int64")

    @tf.function(autograph=False)
    def total():
        return strategy.reduce(tf.distribute.ReduceOp.SUM, strategy.run(lambda: tf.constant(digest)), axis=None)

    if not np.array_equal(total(), digest * strategy.num_replicas_in_sync):
        raise ValueError(f"workers: not all workers have the same {name}; start all workers with the same flags, the "
                         "same data and an --output_dir on a shared file system")


@contextlib.contextmanager
def one_line_if_lost(strategy: tf.distribute.Strategy, run: Any) -> Iterator[None]:
    """Returns a context that turns each error of a lost worker into a `ConnectionError` of one line.

    Args:
      strategy: the distribution strategy.
      run: the run directory, for the message.

    Raises:
      ConnectionError: if a collective operation of several workers fails.
    """
    try:
        yield
    except _CONNECTION_ERRORS as error:
        if not are_several(strategy):
            raise
        raise ConnectionError(
            "workers: another worker has ended or cannot be reached; start all workers again with the same command, to "
            f"resume from the last checkpoint in {run}; TensorFlow's message: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    # Without the names of graph nodes, such as `{{node Adam/AddN}}`, which do not help the user.
    text = re.sub(r"\{\{.*?\}\}", "", str(getattr(error, "message", error)))
    return text.strip().splitlines()[0]


def run_dir(strategy: tf.distribute.Strategy, path: str | os.PathLike) -> RunDirectory:
    """Returns the run directory at a path; unless this process is the chief, its methods write nothing.

    Args:
      strategy: the distribution strategy.
      path: the directory.
    """
    return RunDirectory(path) if is_chief(strategy) else _ReadOnlyRunDirectory(path)


class _ReadOnlyRunDirectory(RunDirectory):
    """The run directory of a worker that is not the chief: methods that would write to it do nothing.

    The chief alone checks the directory, because it may create the directory before another worker looks at it.
    """

    writes = False

    def check(self, config: Mapping[str, Any], resume: bool = True) -> None:
        pass

    def open(self, config: Mapping[str, Any], resume: bool = True) -> None:
        pass

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        yield

    def rewind(self, epoch: int) -> None:
        pass
