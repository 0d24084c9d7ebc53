# SPDX-License-Identifier: Apache-2.0
"""`in_parts`: runs a function on equal parts of a batch in parallel."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfp_glow._checks import check_choice, check_int


def in_parts(function: Callable[[Any], Any], batch: Any, num_parts: int, combine: str = "concat") -> Any:
    """Runs a function on equal parts of a batch in parallel and combines the results.

    By default TensorFlow divides each operation among the cores of a CPU. The convolutions of a flow are small, so it
    is faster to give each core a part of the batch. Set `num_parts` to the number of cores, and start the process with
    the environment variable `TF_NUM_INTRAOP_THREADS=1`, so that each operation uses one thread.

    Inside a `tf.function`, TensorFlow traces `function` once and runs the parts in parallel, as iterations of one
    `tf.while_loop`. In eager mode the parts run one after the other. A `tf.GradientTape` works both inside `function`
    and around `in_parts`.

    Stateless random operations with a fixed seed return the same numbers in every part. Draw such numbers for the whole
    batch instead, and pass them within `batch`.

    Args:
      function: a callable with one argument, which receives one part of `batch`, in the structure of `batch`. It
        returns a tensor or a nested structure of tensors. The structure may contain None, which stays None.
      batch: a tensor `[batch, ...]`, or a nested structure of such tensors.
      num_parts: number of parts, an int of at least 1. It must divide the batch size.
      combine: how to combine the results of the parts. `"concat"` (the default) joins results
        `[batch / num_parts, ...]` along their first axis, for values with one row per event. `"mean"` and `"sum"`
        reduce results of equal shape over the parts, for a loss and its gradients.

    Returns:
      The combined results, in the structure that `function` returns: tensors `[batch, ...]` for `"concat"`, tensors of
      the shape of one part's result for `"mean"` and `"sum"`.

    Raises:
      ValueError: if `num_parts` is not an int of at least 1, or `combine` is not `"concat"`, `"mean"` or `"sum"`.
      ValueError: if a tensor of `batch` is a scalar, or `num_parts` does not divide the size of its first axis.
      ValueError: if `combine` is `"concat"` and `function` returns a scalar; or if `combine` is `"mean"` or `"sum"` and
        `function` returns a tensor without a static shape.
      tf.errors.InvalidArgumentError: if the batch size is unknown until the `tf.function` runs, and `num_parts` does
        not divide it.

    Example:

    >>> flow = tfp_glow.glow((4, 4, 1), num_levels=1, num_steps=1, width=4)
    >>> def loss_and_gradients(x):
    ...     with tf.GradientTape() as tape:
    ...         loss = -tf.reduce_mean(flow.log_prob(x))
    ...     return loss, tape.gradient(loss, flow.trainable_variables)
    >>> step = tf.function(lambda x: tfp_glow.in_parts(loss_and_gradients, x, 2, "mean"))
    >>> loss, gradients = step(tf.zeros((6, 4, 4, 1)))
    >>> log_prob = tf.function(lambda x: tfp_glow.in_parts(flow.log_prob, x, 2))
    >>> log_prob(tf.zeros((6, 4, 4, 1))).shape
    TensorShape([6])
    """
    num_parts = check_int("num_parts", num_parts)
    check_choice("combine", combine, ("concat", "mean", "sum"))
    batch = tf.nest.map_structure(lambda x: _split(tf.convert_to_tensor(x), num_parts), batch)

    def part_of_batch(k):
        return tf.nest.map_structure(lambda x: x[k], batch)

    run = _run_in_sequence if tf.executing_eagerly() else _run_in_parallel
    result = run(function, part_of_batch, num_parts, combine == "concat")
    return result if combine != "mean" else _map(lambda total: total / num_parts, result)


def _split(x: tf.Tensor, num_parts: int) -> tf.Tensor:
    """Reshapes `[batch, ...]` to `[num_parts, batch / num_parts, ...]`."""
    if x.shape.rank == 0 or x.shape.rank and (x.shape[0] or 0) % num_parts:
        raise ValueError("Argument `batch` must hold tensors `[batch, ...]` whose first axis is divisible by "
                         f"`num_parts`, {num_parts}; received shape {x.shape}.")
    size = tf.shape(x)[0] // num_parts if x.shape.rank is None or x.shape[0] is None else x.shape[0] // num_parts
    rest = x.shape[1:] if x.shape[1:].is_fully_defined() else tf.shape(x)[1:]
    return tf.reshape(x, tf.concat([[num_parts, size], rest], axis=0))


def _run_in_sequence(function: Callable[[Any], Any], part_of_batch: Callable[[int], Any], num_parts: int,
                     join: bool) -> Any:
    results = [_map(tf.convert_to_tensor, function(part_of_batch(k))) for k in range(num_parts)]
    _map(lambda value: _check_result(value, join), results[0])
    return _map(lambda *values: tf.concat(values, axis=0) if join else tf.add_n(values), *results)


def _run_in_parallel(function: Callable[[Any], Any], part_of_batch: Callable[[Any], Any], num_parts: int,
                     join: bool) -> Any:
    # The loop requires the types and shapes of its results beforehand, so the function is traced first.
    traced = tf.function(lambda x: _map(tf.convert_to_tensor, function(x)), autograph=False)
    traced = traced.get_concrete_function(
        tf.nest.map_structure(lambda x: tf.TensorSpec(x.shape, x.dtype), part_of_batch(0)))
    outputs = traced.structured_outputs
    _map(lambda value: _check_result(value, join), outputs)

    def body(k, totals):
        pairs = zip(totals, _flatten(traced(part_of_batch(k))), strict=True)
        return k + 1, [total.write(k, value) if join else total + value for total, value in pairs]

    # Iterations depend on each other only through the sums, so the calls of the function run in parallel.
    start = [tf.TensorArray(o.dtype, num_parts, element_shape=o.shape) if join else tf.zeros(o.shape, o.dtype)
             for o in _flatten(outputs)]
    _, totals = tf.while_loop(lambda k, _: k < num_parts, body, (0, start), parallel_iterations=num_parts,
                              maximum_iterations=num_parts)
    values = iter([tf.concat([t.read(k) for k in range(num_parts)], axis=0) if join else t for t in totals])
    return _map(lambda _: next(values), outputs)


def _check_result(value: tf.Tensor, join: bool) -> None:
    if join and value.shape.rank == 0:
        raise ValueError("Argument `function` must return tensors `[batch, ...]` if `combine` is 'concat'; received a "
                         "scalar. Pass 'mean' or 'sum' to combine scalars.")
    if not join and not value.shape.is_fully_defined():
        raise ValueError("Argument `function` must return tensors of static shape if `combine` is 'mean' or 'sum'; "
                         f"received shape {value.shape}.")


def _map(function: Callable[..., Any], *structures: Any) -> Any:
    """Maps nested structures as `tf.nest.map_structure` does, and keeps None where the first structure has it."""
    return tf.nest.map_structure(lambda *values: None if values[0] is None else function(*values), *structures)


def _flatten(structure: Any) -> list[tf.Tensor]:
    return [value for value in tf.nest.flatten(structure) if value is not None]
