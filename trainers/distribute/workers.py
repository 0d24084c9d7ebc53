# SPDX-License-Identifier: Apache-2.0
"""Training in several worker processes: connection, comparison of the workers, and errors of lost workers.

All workers run the same command; the environment variable `TF_CONFIG` differs between workers. The run directory is on
a file system that all workers can access. Only one worker, the chief, writes to the run directory. The other workers
read its checkpoints. The chief is the task of type `chief` in `TF_CONFIG`, or the worker with index 0 if there is no
task of this type.
"""

import contextlib
import hashlib
import json
import os
import re
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ..runs import stop_signals
from ..runs.run_directory import RunDirectory

_REPORT_SECONDS, _PROBE_SECONDS = 60.0, 0.5  # time between two lines of `wait_for_ports`, and between two attempts
_JOBS = ("chief", "worker")
_EXAMPLE = '{"cluster": {"worker": ["host:port", "host:port"]}, "task": {"type": "worker", "index": 0}}'
# For a broken connection, TensorFlow raises one of these errors, depending on the operation that was running.
_CONNECTION_ERRORS = (tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.DeadlineExceededError,
                      tf.errors.FailedPreconditionError, tf.errors.InternalError, tf.errors.UnavailableError)


def worker_index_and_count() -> tuple[int, int]:
    """Returns the index of this process among the workers in `TF_CONFIG`, and the number of workers.

    Returns:
      A pair of ints `(index, count)`. The index of the chief is 0. Without `TF_CONFIG`, the pair is `(0, 1)`.

    Raises:
      ValueError: if `TF_CONFIG` is not JSON of the form that `tf.distribute.MultiWorkerMirroredStrategy` requires, or
        lists tasks of other types than `chief` and `worker`.
    """
    index, addresses = _index_and_addresses()
    return index, max(1, len(addresses))


def _index_and_addresses() -> tuple[int, list[str]]:
    """Returns the index of this process among the workers, and the addresses `host:port` of all workers."""
    text = os.environ.get("TF_CONFIG", "").strip()
    try:
        config = json.loads(text or "{}")
        if not config.get("cluster"):
            return 0, []
        tasks = {(job, index): address for job in _JOBS for index, address in enumerate(config["cluster"].get(job, []))}
        task = config["task"]["type"], int(config["task"]["index"])
        if set(config["cluster"]) <= set(_JOBS) and all(isinstance(address, str) for address in tasks.values()):
            return list(tasks).index(task), list(tasks.values())
    except (ValueError, TypeError, AttributeError, KeyError):
        pass
    raise ValueError(f"TF_CONFIG: must be of the form {_EXAMPLE}; got {text}")


def connect() -> tf.distribute.MultiWorkerMirroredStrategy:
    """Waits until all workers in `TF_CONFIG` are connected, and returns their distribution strategy.

    Call this function before the first TensorFlow operation of the process. While other workers have not started, it
    prints one line per minute that names them.

    Raises:
      ValueError: if `TF_CONFIG` is invalid or lists fewer than two workers.
      ConnectionError: if the port of this worker is in use, or another worker ends before it is connected.
    """
    index, addresses = _index_and_addresses()
    if len(addresses) < 2:
        raise ValueError(f"strategy: multi_worker requires a TF_CONFIG of two or more workers, such as {_EXAMPLE}")
    print(f"worker {index + 1} of {len(addresses)}: waiting for the other workers", flush=True)
    wait_for_ports(index, addresses)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except (tf.errors.OpError, RuntimeError) as error:
        raise ConnectionError(f"TF_CONFIG: the workers cannot be connected: {_first_line(error)}") from error
    finally:
        stop_signals.reinstall()  # TensorFlow replaces the handler of SIGTERM.


def wait_for_ports(index: int, addresses: Sequence[str]) -> None:
    """Waits until the ports of all other workers accept connections, and keeps the port of this worker open meanwhile.

    TensorFlow connects the workers in one call of C++ code, which cannot print what it waits for and delays signals.
    This function waits before that call. A worker that has seen all other ports closes its own, and TensorFlow opens it
    again. Workers that have not seen it yet then see the port of TensorFlow.

    Args:
      index: int, index of this worker in `addresses`.
      addresses: addresses `host:port` of all workers.
    """
    waiting = {number: address for number, address in enumerate(addresses, 1) if number != index + 1}
    start = reported = time.monotonic()
    with contextlib.ExitStack() as stack:
        try:
            port = int(addresses[index].rpartition(":")[2])
            stack.enter_context(socket.create_server(("", port), backlog=2 * len(addresses)))
        except (OSError, ValueError, OverflowError):
            return  # TensorFlow raises an error about this port.
        while True:
            waiting = {number: address for number, address in waiting.items() if not _is_open(address)}
            if not waiting:
                return
            if time.monotonic() - reported >= _REPORT_SECONDS:
                reported += _REPORT_SECONDS
                names = ", ".join(f"worker {number} at {address}" for number, address in waiting.items())
                print(f"worker {index + 1} of {len(addresses)}: still waiting for {names}, for "
                      f"{(reported - start) / 60:.0f} min so far", flush=True)
            time.sleep(_PROBE_SECONDS)


def _is_open(address: str) -> bool:
    """Returns True if a port accepts connections, or if its address is not valid: then TensorFlow raises an error."""
    host, _, port = address.rpartition(":")
    if not (port.isdecimal() and int(port) < 2**16):
        return True
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=5.0):
            return True
    except OSError:
        return False


def are_several(strategy: tf.distribute.Strategy) -> bool:
    """Returns True if the replicas of a strategy are in several worker processes.

    Args:
      strategy: the distribution strategy.
    """
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Returns True if this process is the chief, which writes to the run directory, or the only process.

    Args:
      strategy: the distribution strategy.
    """
    return not are_several(strategy) or worker_index_and_count()[0] == 0


def agree_on_config(strategy: tf.distribute.Strategy, config: Mapping[str, Any]) -> None:
    """Waits until all workers call this function, then checks that their configurations are equal.

    Call this function before the model is built. Workers that build different models wait for each other without end.

    Args:
      strategy: the distribution strategy. The function does nothing if the strategy has only one process.
      config: configuration of the run, a dict, as `trainers.runs.configuration.configure` returns.

    Raises:
      ValueError: if the configurations differ.
    """
    if are_several(strategy):
        _agree(strategy, "configuration", [json.dumps(config, sort_keys=True).encode()])


def chief_says(strategy: tf.distribute.Strategy, statement: bool) -> bool:
    """Returns the value that the chief passes, in all workers. All workers must call this function.

    Args:
      strategy: the distribution strategy. If it has only one process, the function returns `statement`.
      statement: bool, such as a measurement that may differ between workers.
    """
    if not are_several(strategy):
        return statement
    said = tf.constant(int(statement and is_chief(strategy)))

    @tf.function(autograph=False)
    def total():
        return strategy.reduce(tf.distribute.ReduceOp.SUM, strategy.run(lambda: said), axis=None)

    return bool(total() > 0)


def agree_on_weights(strategy: tf.distribute.Strategy, model: keras.Model) -> None:
    """Waits until all workers call this function, then checks that their models and optimizers have equal variables.

    Args:
      strategy: the distribution strategy. The function does nothing if the strategy has only one process.
      model: a compiled Keras model.

    Raises:
      ValueError: if a variable differs.
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
    """Replaces each error about a lost worker by a `ConnectionError` of one line; a context manager.

    A worker is lost if its process has ended or cannot be reached.

    Args:
      strategy: the distribution strategy. If it has only one process, errors are not changed.
      run: the run directory, for the error message.

    Raises:
      ConnectionError: if the body of the `with` statement raises an error of a lost connection.
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
    # The names of graph nodes, such as `{{node Adam/AddN}}`, do not help the user.
    text = re.sub(r"\{\{.*?\}\}", "", str(getattr(error, "message", error)))
    return text.strip().splitlines()[0]


def run_dir(strategy: tf.distribute.Strategy, path: str | os.PathLike) -> RunDirectory:
    """Returns the run directory at a path. In a worker that is not the chief, the methods of the result write nothing.

    Args:
      strategy: the distribution strategy.
      path: path of the directory.

    Returns:
      A `RunDirectory`.
    """
    return RunDirectory(path) if is_chief(strategy) else _ReadOnlyRunDirectory(path)


class _ReadOnlyRunDirectory(RunDirectory):
    """The run directory of a worker that is not the chief: its methods that write or check the directory do nothing.

    Only the chief checks the directory. Another worker cannot check whether it is new, because the chief may already
    have created it.
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
