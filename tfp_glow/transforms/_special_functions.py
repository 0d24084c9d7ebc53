# SPDX-License-Identifier: Apache-2.0
"""The special functions of the transforms, also in terms of operations that every runtime has."""

import contextlib
import contextvars
from collections.abc import Iterator, Sequence

import tensorflow as tf

_ELEMENTARY = contextvars.ContextVar("elementary", default=False)
# Coefficients in descending order.
_ERFC = (0.17087277, -0.82215223, 1.48851587, -1.13520398, 0.27886807, -0.18628806, 0.09678418, 0.37409196, 1.00002368,
         -1.26551223)
# Numerators and denominators of PPND7, for probabilities near 1/2, in the tail, and in the far tail.
_MIDDLE = (59.109374720, 159.29113202, 50.434271938, 3.3871327179), (67.187563600, 78.757757664, 17.895169469, 1.0)
_TAIL = (0.17023821103, 1.3067284816, 2.7568153900, 1.4234372777), (0.12021132975, 0.73700164250, 1.0)
_FAR_TAIL = (0.017337203997, 0.42868294337, 3.0812263860, 6.6579051150), (0.012258202635, 0.24197894225, 1.0)


@contextlib.contextmanager
def elementary_functions() -> Iterator[None]:
    """Returns a context manager in which graphs hold no operations for special functions.

    The functions of this module then have a relative error of about 1e-7, the precision of float32.
    """
    token = _ELEMENTARY.set(True)
    try:
        yield
    finally:
        _ELEMENTARY.reset(token)


def erfc(x: tf.Tensor) -> tf.Tensor:
    """Computes the complementary error function of floats `x` of at least 0.

    References:
      Press, Teukolsky, Vetterling and Flannery, *Numerical recipes in C*, 1992, section 6.2, `erfcc`.
    """
    if not _ELEMENTARY.get():
        return tf.math.erfc(x)
    t = 1.0 / (1.0 + 0.5 * x)
    return t * tf.exp(_polynomial(_ERFC, t) - x * x)


def ndtri(p: tf.Tensor) -> tf.Tensor:
    """Computes the quantile function of the standard normal distribution for probabilities `p` in (0, 1/2].

    References:
      Wichura, *Algorithm AS 241: The percentage points of the normal distribution*, 1988, `PPND7`.
    """
    if not _ELEMENTARY.get():
        return tf.math.ndtri(p)
    q = p - 0.5
    r = tf.sqrt(-tf.math.log(p))
    tail = tf.where(r <= 5.0, _ratio(_TAIL, r - 1.6), _ratio(_FAR_TAIL, r - 5.0))
    return tf.where(tf.abs(q) <= 0.425, q * _ratio(_MIDDLE, 0.180625 - q * q), -tail)


def _ratio(polynomials: tuple[Sequence[float], Sequence[float]], x: tf.Tensor) -> tf.Tensor:
    return _polynomial(polynomials[0], x) / _polynomial(polynomials[1], x)


def _polynomial(coefficients: Sequence[float], x: tf.Tensor) -> tf.Tensor:
    """Evaluates a polynomial by Horner's rule. The coefficients are in descending order."""
    value = coefficients[0] * x + coefficients[1]
    for coefficient in coefficients[2:]:
        value = value * x + coefficient
    return value
