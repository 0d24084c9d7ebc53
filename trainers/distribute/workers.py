# SPDX-License-Identifier: Apache-2.0
"""Several processes that train one model: which one this is, that they agree, and what is said when one is lost.

All workers run the same command, each with its `TF_CONFIG`, and see the run directory on a file system that they share.
The first of them, the chief, is the only one to write there; the others read what they resume from.
"""

import contextlib
import hashlib
import json
import os
import re

import numpy as np
import tensorflow as tf

from trainers.runs.run_directory import RunDir

_JOBS = ("chief", "worker")
_EXAMPLE = '{"cluster": {"worker": ["host:port", "host:port"]}, "task": {"type": "worker", "index": 0}}'
# What TensorFlow raises, according to where it was when the connection broke.
_BROKEN = (tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.DeadlineExceededError,
           tf.errors.FailedPreconditionError, tf.errors.InternalError, tf.errors.UnavailableError)


def place():
    """`(index, count)` of this process among the workers that `TF_CONFIG` names; `(0, 1)` if it names no cluster.

    Raises:
      ValueError: if `TF_CONFIG` is not as TensorFlow wants it.
    """
    text = os.environ.get("TF_CONFIG", "").strip()
    try:
        config = json.loads(text or "{}")
        if not config.get("cluster"):
            return 0, 1
        addresses = [(job, index) for job in _JOBS for index, _ in enumerate(config["cluster"].get(job, []))]
        task = config["task"]["type"], int(config["task"]["index"])
        if set(config["cluster"]) <= set(_JOBS):
            return addresses.index(task), len(addresses)
    except (ValueError, TypeError, AttributeError, KeyError):
        pass
    raise ValueError(f"TF_CONFIG: must be like {_EXAMPLE}; got {text}")


def connect():
    """A `MultiWorkerMirroredStrategy` of the workers in `TF_CONFIG`, as soon as all of them are there.

    TensorFlow wants it made before its first operation.

    Raises:
      ValueError: if `TF_CONFIG` names fewer than two workers.
      ConnectionError: if this worker's port is not free, or the others do not come.
    """
    index, count = place()
    if count < 2:
        raise ValueError(f"strategy: multi_worker needs a TF_CONFIG of two or more workers, like {_EXAMPLE}")
    print(f"worker {index + 1} of {count}: waits for the others", flush=True)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except (tf.errors.OpError, RuntimeError) as error:
        raise ConnectionError(f"TF_CONFIG: the workers cannot be connected: {_first_line(error)}") from error


def are_several(strategy):
    """Whether the replicas of a strategy are in several processes."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def is_chief(strategy):
    """Whether this process is the one that writes."""
    return not are_several(strategy) or place()[0] == 0


def agree_on_config(strategy, config):
    """Waits for all workers to come here; raises `ValueError` if their configurations are not the same."""
    if are_several(strategy):
        _agree(strategy, "configuration", [json.dumps(config, sort_keys=True).encode()])


def agree_on_weights(strategy, model):
    """Waits for all workers to come here; raises `ValueError` if their weights or optimizers are not the same."""
    if are_several(strategy):
        variables = [*model.variables, *model.optimizer.variables]
        _agree(strategy, "weights", [np.ascontiguousarray(v.numpy()) for v in variables])


def _agree(strategy, what, parts):
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    digest = np.frombuffer(digest.digest(), "uint8").astype("int64")

    @tf.function(autograph=False)
    def total():
        return strategy.reduce(tf.distribute.ReduceOp.SUM, strategy.run(lambda: tf.constant(digest)), axis=None)

    if not np.array_equal(total(), digest * strategy.num_replicas_in_sync):
        raise ValueError(f"workers: they have not the same {what}; all need the same flags, the same data, and an "
                         "--output_dir on a file system that they share")


@contextlib.contextmanager
def one_line_if_lost(strategy, run):
    """A context that says in one line that another worker is gone, of whichever kind TensorFlow's error is."""
    try:
        yield
    except _BROKEN as error:
        if not are_several(strategy):
            raise
        raise ConnectionError(
            f"workers: another one has ended or cannot be reached; start all of them again, with the same command, to "
            f"go on from the last checkpoint in {run}. TensorFlow says: {_first_line(error)}") from error


def _first_line(error):
    text = re.sub(r"\{\{.*?\}\}", "", str(getattr(error, "message", error)))  # Nobody knows the nodes of the graph.
    return text.strip().splitlines()[0]


def run_dir(strategy, path):
    """The `RunDir` of a path: one that writes nothing, unless this process is the chief."""
    return RunDir(path) if is_chief(strategy) else _ReadOnly(path)


class _ReadOnly(RunDir):
    """A run directory as the workers see it that are not the chief: what would write to it does nothing."""

    writes = False

    def open(self, config, resume=True):
        pass

    def locked(self):
        return contextlib.nullcontext()

    def rewind(self, epoch):
        pass
