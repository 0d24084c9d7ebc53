# SPDX-License-Identifier: Apache-2.0
"""`in_parts`: runs a function on parts of a batch in parallel."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfp_glow._checks import check_choice, check_int

_RULES = ("concat", "mean", "sum")


def in_parts(function: Callable[[Any], Any], batch: Any, num_parts: int,
             combine: str | tuple[str, ...] = "concat") -> Any:
    """Runs a function on parts of a batch in parallel and combines the results.

    By default TensorFlow divides each operation among the cores of a CPU. The operations of a flow are small, so it is
    faster to give each core a part of the batch. `FlowModel` does so by itself after
    `tfp_glow.divide_batches_among_cores()`. This function does it for other functions, such as a training loop of your
    own. Call `tfp_glow.divide_batches_among_cores()` first and pass the number that it returns.

    Inside a `tf.function`, TensorFlow traces `function` once and runs the parts in parallel, as iterations of one
    `tf.while_loop`. In eager mode the parts run one after the other. A `tf.GradientTape` works both inside `function`
    and around `in_parts`; inside is faster.

    The sizes of the parts differ by at most 1. If the batch has fewer events than `num_parts`, each part has one event.

    Stateless random operations with a fixed seed return the same numbers in every part. Draw such numbers for the whole
    batch instead, and pass them within `batch`.

    Args:
      function: a callable with one argument, which receives one part of `batch`, in the structure of `batch`. It
        returns a tensor or a nested structure of tensors. The structure may contain None, which stays None.
      batch: a tensor `[batch, ...]`, or a nested structure of such tensors.
      num_parts: number of parts, an int of at least 1.
      combine: how to combine the results of the parts. `"concat"` (the default) joins results `[size of part, ...]`
        along their first axis, for values with one row per event. `"sum"` adds results of equal shape, and `"mean"`
        averages them, weighted by the sizes of the parts, for a loss and its gradients. A tuple of these strings has
        one per element of the tuple that `function` returns.

    Returns:
      The combined results, in the structure that `function` returns: tensors `[batch, ...]` for `"concat"`, tensors of
      the shape of one part's result for `"mean"` and `"sum"`.

    Raises:
      ValueError: if `num_parts` is not an int of at least 1, or `combine` holds other strings than `"concat"`,
        `"mean"` and `"sum"`, or is a tuple of another length than that of the result of `function`.
      ValueError: if a tensor of `batch` is a scalar, or the tensors have different sizes of their first axis.
      ValueError: if `combine` is `"concat"` and `function` returns a scalar; or if `combine` is `"mean"` or `"sum"` and
        `function` returns a tensor without a static shape.
      tf.errors.InvalidArgumentError: if the batch sizes are unknown until the `tf.function` runs, and they differ.

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
    for rule in combine if isinstance(combine, tuple) else (combine,):
        check_choice("combine", rule, _RULES)
    batch = tf.nest.map_structure(tf.convert_to_tensor, batch)
    size = _batch_size(batch)
    number = max(1, min(num_parts, size)) if isinstance(size, int) else tf.clip_by_value(size, 1, num_parts)
    return run_in_parts(function, batch, number, num_parts, combine)


def run_in_parts(function: Callable[[Any], Any], batch: Any, number: int | tf.Tensor, max_parallel: int,
                 combine: str | tuple[str, ...]) -> Any:
    """Runs a function on parts of a batch, as `in_parts` does, for a number of parts that may be a tensor.

    Args:
      function: as for `in_parts`.
      batch: a nested structure of tensors `[batch, ...]` with equal sizes.
      number: number of parts, an int or an int32 scalar from 1 to the batch size, or 1 for an empty batch.
      max_parallel: number of parts that run at the same time.
      combine: as for `in_parts`.

    Returns:
      The combined results, as `in_parts` returns them.
    """
    size = _batch_size(batch)
    if isinstance(size, int):  # The size of other tensors may be unknown until the graph runs.
        batch = tf.nest.map_structure(
            lambda x: tf.ensure_shape(x, tf.TensorShape([size]).concatenate(x.shape[1:])), batch)
    small, larger = size // number, size % number  # The first parts have one event more.
    has_equal_parts = isinstance(small, int) and not larger

    def start_of(k):
        return k * small + (0 if has_equal_parts else tf.minimum(k, larger))

    def part_of_batch(k):
        start, end = start_of(k), start_of(k + 1)
        part = tf.nest.map_structure(lambda x: x[start:end], batch)
        share = tf.constant(1.0 / number, tf.float64) if has_equal_parts else (end - start) / size
        return part, share

    if tf.executing_eagerly():
        return _run_in_sequence(function, part_of_batch, number, combine)
    specs = tf.nest.map_structure(
        lambda x: tf.TensorSpec((small if has_equal_parts else None, *x.shape[1:]), x.dtype), batch)
    return _run_in_parallel(function, part_of_batch, specs, number, max_parallel, combine)


def _batch_size(batch: Any) -> int | tf.Tensor:
    """Returns the size of the first axis of all tensors of a batch, an int if it is known, otherwise a scalar."""
    tensors = tf.nest.flatten(batch)
    for x in tensors:
        if x.shape.rank == 0 or not tensors[0].shape[:1].is_compatible_with(x.shape[:1]):
            raise ValueError("Argument `batch` must hold tensors `[batch, ...]` with equal sizes of their first axis; "
                             f"received shapes {', '.join(str(x.shape) for x in tensors)}.")
    for x in tensors:
        if x.shape.rank and x.shape[0] is not None:
            return x.shape[0]
    size = tf.shape(tensors[0])[0]
    with tf.control_dependencies([tf.debugging.assert_equal(
            tf.shape(x)[0], size, "The tensors of `batch` must have equal sizes of their first axis.")
            for x in tensors[1:]]):
        return tf.identity(size)


def _run_in_sequence(function: Callable[[Any], Any], part_of_batch: Callable[[int], Any], number: int,
                     combine: str | tuple[str, ...]) -> Any:
    results, shares = [], []
    for k in range(number):
        part, share = part_of_batch(k)
        results.append(_map(tf.convert_to_tensor, function(part)))
        shares.append(share)
    rules = iter(_rules_of(results[0], combine))

    def join(*values: tf.Tensor) -> tf.Tensor:
        rule = next(rules)
        if rule == "concat":
            return tf.concat(values, axis=0)
        return tf.add_n([_weighted(value, share, rule) for value, share in zip(values, shares, strict=True)])

    return _map(join, *results)


def _run_in_parallel(function: Callable[[Any], Any], part_of_batch: Callable[[Any], Any], specs: Any,
                     number: int | tf.Tensor, max_parallel: int, combine: str | tuple[str, ...]) -> Any:
    # The loop requires the types and shapes of its results beforehand, so the function is traced first.
    traced = tf.function(lambda x: _map(tf.convert_to_tensor, function(x)), autograph=False)
    traced = traced.get_concrete_function(specs)
    outputs = traced.structured_outputs
    rules = _rules_of(outputs, combine)

    def body(k, totals):
        part, share = part_of_batch(k)
        values = zip(totals, _flatten(traced(part)), rules, strict=True)
        return k + 1, [total.write(k, value) if rule == "concat" else total + _weighted(value, share, rule)
                       for total, value, rule in values]

    # Iterations depend on each other only through the sums, so the calls of the function run in parallel.
    start = [tf.TensorArray(o.dtype, number, element_shape=o.shape, infer_shape=False) if rule == "concat" else
             tf.zeros(o.shape, o.dtype) for o, rule in zip(_flatten(outputs), rules, strict=True)]
    _, totals = tf.while_loop(lambda k, _: k < number, body, (0, start), parallel_iterations=max_parallel,
                              maximum_iterations=number)
    values = iter([total.concat() if rule == "concat" else total for total, rule in zip(totals, rules, strict=True)])
    return _map(lambda _: next(values), outputs)


def _rules_of(result: Any, combine: str | tuple[str, ...]) -> list[str]:
    """Returns the rule of each tensor of a result, after a check that it fits the tensor."""
    if isinstance(combine, str):
        combine, result = (combine,), (result,)
    if not isinstance(result, tuple) or len(result) != len(combine):
        raise ValueError(f"Argument `combine` must have one string per element of the tuple that `function` returns; "
                         f"received {combine} for a result of type {type(result).__name__}.")
    pairs = [(value, rule) for part, rule in zip(result, combine, strict=True) for value in _flatten(part)]
    for value, rule in pairs:
        if rule == "concat" and value.shape.rank == 0:
            raise ValueError("Argument `function` must return tensors `[batch, ...]` if `combine` is 'concat'; "
                             "received a scalar. Pass 'mean' or 'sum' to combine scalars.")
        if rule != "concat" and not value.shape.is_fully_defined():
            raise ValueError("Argument `function` must return tensors of static shape if `combine` is 'mean' or "
                             f"'sum'; received shape {value.shape}.")
    return [rule for _, rule in pairs]


def _weighted(value: tf.Tensor, share: tf.Tensor, rule: str) -> tf.Tensor:
    return value if rule == "sum" else value * tf.cast(share, value.dtype)


def _map(function: Callable[..., Any], *structures: Any) -> Any:
    """Maps nested structures as `tf.nest.map_structure` does, and keeps None where the first structure has it."""
    return tf.nest.map_structure(lambda *values: None if values[0] is None else function(*values), *structures)


def _flatten(structure: Any) -> list[tf.Tensor]:
    return [value for value in tf.nest.flatten(structure) if value is not None]
