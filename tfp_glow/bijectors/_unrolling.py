# SPDX-License-Identifier: Apache-2.0
"""`unrolled_loops`: makes `Repeat` write each of its steps into a graph, for converters to other runtimes."""

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

_UNROLLED = contextvars.ContextVar("unrolled", default=False)


@contextlib.contextmanager
def unrolled_loops() -> Iterator[None]:
    """Returns a context manager in which `loop` writes each iteration into the graph.

    The graph then holds no loop. Converters can compute the parameters of each step in advance, and a runtime needs no
    operator for loops. Outside, the size of the graph does not grow with the number of iterations.
    """
    token = _UNROLLED.set(True)
    try:
        yield
    finally:
        _UNROLLED.reset(token)


def loop(number: int, body: Callable[..., Any], start: tuple[Any, ...]) -> tuple[Any, ...]:
    """Calls `body` `number` times, in a `tf.while_loop`, or within `unrolled_loops` in a loop of Python.

    Args:
      number: number of iterations, an int.
      body: a function of the index of the iteration and of the values. It returns the next index and the next values.
      start: the values of the first iteration, tensors.

    Returns:
      The values after the last iteration, a tuple.
    """
    if _UNROLLED.get():
        values = start
        for i in range(number):
            values = tuple(body(i, *values))[1:]
        return values
    return tf.while_loop(lambda i, *_: i < number, body, (0, *start), maximum_iterations=number)[1:]
