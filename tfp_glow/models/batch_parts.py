# SPDX-License-Identifier: Apache-2.0
"""`in_parts`: a function over a batch, part by part and side by side."""

import tensorflow as tf

from tfp_glow._checks import check_choice, check_int


def in_parts(function, batch, num_parts, combine="concat"):
    """Calls a function on equal parts of a batch, side by side, and puts the results together.

    On a processor of several cores TensorFlow divides every operation among them. With convolutions of the size of a
    flow's it is faster to give each core a part of the batch: let `num_parts` be the number of cores, and start the
    process with `TF_NUM_INTRAOP_THREADS=1`, one thread an operation.

    In a `tf.function`, `function` is traced once, and the parts are turns of a loop that do not wait for each other.
    Outside, they come one after the other. Gradients may be taken inside of `function` or of the result.

    Args:
      function: a callable of one argument, structured as `batch`, that returns a tensor or a nested structure of them,
        in which a None stays None. What it draws at random from a fixed seed is the same in all parts: draw such
        numbers outside, for the whole batch.
      batch: a tensor `[batch, ...]`, or a nested structure of them.
      num_parts: how many, an int that divides the size of the batch.
      combine: `"concat"` for results `[batch / num_parts, ...]`, one an event, which are joined to `[batch, ...]`;
        `"mean"` or `"sum"` over the parts for results of one shape, such as a loss and its gradients.

    Returns:
      What `function` returns, combined.

    Raises:
      ValueError: if an argument is not as said, or a scalar is to be joined.

    >>> flow = tfp_glow.glow((8, 8, 1), num_levels=2, num_steps=2, width=16)
    >>> def loss_and_gradients(x):
    ...     with tf.GradientTape() as tape:
    ...         loss = -tf.reduce_mean(flow.log_prob(x))
    ...     return loss, tape.gradient(loss, flow.trainable_variables)
    >>> step = tf.function(lambda x: tfp_glow.in_parts(loss_and_gradients, x, 2, "mean"))
    >>> loss, gradients = step(tf.zeros((6, 8, 8, 1)))
    >>> log_prob = tf.function(lambda x: tfp_glow.in_parts(flow.log_prob, x, 2))
    >>> log_prob(tf.zeros((6, 8, 8, 1))).shape
    TensorShape([6])
    """
    check_int("num_parts", num_parts)
    check_choice("combine", combine, ("concat", "mean", "sum"))
    batch = tf.nest.map_structure(lambda x: _divided(tf.convert_to_tensor(x), num_parts), batch)

    def part(k):
        return tf.nest.map_structure(lambda x: x[k], batch)

    call = _one_after_the_other if tf.executing_eagerly() else _side_by_side
    result = call(function, part, num_parts, combine == "concat")
    return result if combine != "mean" else _map(lambda total: total / num_parts, result)


def _divided(x, num_parts):
    if x.shape.rank == 0 or x.shape.rank and (x.shape[0] or 0) % num_parts:
        raise ValueError(f"Argument `batch` must be `[batch, ...]`, of a size that {num_parts} divides; received shape "
                         f"{x.shape}.")
    size = tf.shape(x)[0] // num_parts if x.shape.rank is None or x.shape[0] is None else x.shape[0] // num_parts
    rest = x.shape[1:] if x.shape[1:].is_fully_defined() else tf.shape(x)[1:]
    return tf.reshape(x, tf.concat([[num_parts, size], rest], axis=0))


def _one_after_the_other(function, part, num_parts, join):
    results = [_map(tf.convert_to_tensor, function(part(k))) for k in range(num_parts)]
    _map(lambda value: _check(value, join), results[0])
    return _map(lambda *values: tf.concat(values, axis=0) if join else tf.add_n(values), *results)


def _side_by_side(function, part, num_parts, join):
    # Traced before the loop, which must know what comes out.
    traced = tf.function(lambda x: _map(tf.convert_to_tensor, function(x)), autograph=False)
    traced = traced.get_concrete_function(tf.nest.map_structure(lambda x: tf.TensorSpec(x.shape, x.dtype), part(0)))
    outputs = traced.structured_outputs
    _map(lambda value: _check(value, join), outputs)

    def body(k, totals):
        pairs = zip(totals, _flat(traced(part(k))), strict=True)
        return k + 1, [total.write(k, value) if join else total + value for total, value in pairs]

    # Sums are carried from turn to turn, but all else in a turn is free of the last one.
    start = [tf.TensorArray(o.dtype, num_parts, element_shape=o.shape) if join else tf.zeros(o.shape, o.dtype)
             for o in _flat(outputs)]
    _, totals = tf.while_loop(lambda k, _: k < num_parts, body, (0, start), parallel_iterations=num_parts,
                              maximum_iterations=num_parts)
    values = iter([tf.concat([t.read(k) for k in range(num_parts)], axis=0) if join else t for t in totals])
    return _map(lambda _: next(values), outputs)


def _check(value, join):
    if join and value.shape.rank == 0:
        raise ValueError("Argument `function` must return `[batch, ...]` for combine='concat'; received a scalar.")
    if not join and not value.shape.is_fully_defined():
        raise ValueError("Argument `function` must return tensors of one shape for combine='mean' or 'sum'; received "
                         f"{value.shape}.")


def _map(function, *structures):
    return tf.nest.map_structure(lambda *values: None if values[0] is None else function(*values), *structures)


def _flat(structure):
    return [value for value in tf.nest.flatten(structure) if value is not None]
