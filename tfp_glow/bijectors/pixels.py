# SPDX-License-Identifier: Apache-2.0
"""From pixel units to numbers a flow likes."""

import math

import tensorflow as tf

from tfp_glow._checks import check_int, check_number, check_shape
from tfp_glow.bijectors.flow_bijector import FlowBijector


class Pixels(FlowBijector):
    """Base of the maps between pixel units `[0, 2**num_bits)` and real numbers; `num_bits` is an attribute.

    Args:
      shape, num_bits, validate_args: as for `AffinePixels`.
      **kwargs: further arguments of `FlowBijector`.

    Raises:
      ValueError: if an argument is not as said.
    """

    def __init__(self, shape, num_bits, **kwargs):
        shape = check_shape("shape", shape, ranks=(1, 3))
        self.num_bits = check_num_bits(num_bits)
        super().__init__(shape, **kwargs)

    def _log_volume(self):
        """Log of the volume of the pixel range."""
        return math.prod(self.event_shape) * self.num_bits * math.log(2.0)


class AffinePixels(Pixels):
    """Maps pixel units `[0, 2**num_bits)` to `[-1/2, 1/2)`, with `D` numbers an image.

    * forward: `y = (x + 1/2) * 2**num_bits`, log-det `D * num_bits * log 2`;
    * inverse: `x = y / 2**num_bits - 1/2`, log-det `-D * num_bits * log 2`.

    Args:
      shape: event shape, `(height, width, channels)` or `(size,)`.
      num_bits: bits of a pixel, an int from 1 to 16.
      dtype: float32 or float64, of events.
      validate_args: passed to `tfb.Bijector`.
      name: name of the bijector.

    Raises:
      ValueError: if an argument is not as said.

    Reference: Kingma and Dhariwal, *Glow*, 2018, section 2 and the published code.

    >>> AffinePixels((2, 2, 1)).inverse(tf.fill((2, 2, 1), 128.0))[0, 0, 0].numpy().item()
    0.0
    """

    def __init__(self, shape, num_bits=8, dtype="float32", validate_args=False, name="affine_pixels"):
        parameters = dict(locals())
        super().__init__(shape, num_bits, dtype=dtype, is_constant_jacobian=True, validate_args=validate_args,
                         parameters=parameters, name=name)

    def _forward_and_log_det(self, x, **conditions):
        return (x + 0.5) * 2.0**self.num_bits, tf.constant(self._log_volume(), self.dtype)

    def _inverse_and_log_det(self, y, **conditions):
        return y * 2.0**-self.num_bits - 0.5, tf.constant(-self._log_volume(), self.dtype)


class LogitPixels(Pixels):
    """Maps pixel units to logits of probabilities between `alpha` and `1 - alpha`, with `D` numbers an image.

    * inverse: `x = logit(p)` with `p = alpha + (1 - 2 * alpha) * y / 2**num_bits`;
    * forward: `y = (sigmoid(x) - alpha) / (1 - 2 * alpha) * 2**num_bits`;
    * log-det of the inverse: `sum(softplus(x) + softplus(-x)) + D * log((1 - 2 * alpha) / 2**num_bits)`.

    This is the published code's map, finite on the whole range `[0, 2**num_bits]`; the paper writes `1 - alpha` for
    `1 - 2 * alpha`, which is infinite at the upper end. `forward` of extreme latents leaves the range a little, by less
    than `alpha / (1 - 2 * alpha) * 2**num_bits`.

    Args:
      shape: event shape, `(height, width, channels)` or `(size,)`.
      num_bits: bits of a pixel, an int from 1 to 16.
      alpha: distance from 0 and 1 that probabilities keep, in (0, 1/2).
      dtype: float32 or float64, of events.
      validate_args: passed to `tfb.Bijector`.
      name: name of the bijector.

    Raises:
      ValueError: if an argument is not as said.

    Reference: Dinh, Sohl-Dickstein and Bengio, *Density estimation using Real NVP*, 2017, section 4.1, and the
    published code.

    >>> LogitPixels((2, 2, 1)).inverse(tf.fill((2, 2, 1), 128.0))[0, 0, 0].numpy().item()
    0.0
    """

    def __init__(self, shape, num_bits=8, alpha=0.05, dtype="float32", validate_args=False, name="logit_pixels"):
        parameters = dict(locals())
        check_number("alpha", alpha, "be between 0 and 1/2", lambda value: 0.0 < value < 0.5)
        super().__init__(shape, num_bits, dtype=dtype, validate_args=validate_args, parameters=parameters, name=name)
        self._alpha = alpha

    def _forward_and_log_det(self, x, **conditions):
        y = (tf.sigmoid(x) - self._alpha) * (2.0**self.num_bits / (1.0 - 2.0 * self._alpha))
        return y, -self._inverse_log_det(x)

    def _inverse_and_log_det(self, y, **conditions):
        p = self._alpha + (1.0 - 2.0 * self._alpha) * (y * 2.0**-self.num_bits)
        x = tf.math.log(p) - tf.math.log1p(-p)
        return x, self._inverse_log_det(x)

    def _inverse_log_det(self, x):
        constant = math.prod(self.event_shape) * math.log(1.0 - 2.0 * self._alpha) - self._log_volume()
        axes = list(range(-len(self.event_shape), 0))
        return tf.reduce_sum(tf.nn.softplus(x) + tf.nn.softplus(-x), axis=axes) + constant


class RawPixels(Pixels):
    """Leaves pixel units as they are, for flows over the levels themselves; it is there to tell `num_bits`.

    * forward: `y = x`; inverse: `x = y`; the log-det is 0.

    Args:
      shape, num_bits, dtype, validate_args, name: as for `AffinePixels`.

    Raises:
      ValueError: if an argument is not as said.

    >>> RawPixels((2, 2, 1), num_bits=4).num_bits
    4
    """

    def __init__(self, shape, num_bits=8, dtype="float32", validate_args=False, name="raw_pixels"):
        parameters = dict(locals())
        super().__init__(shape, num_bits, dtype=dtype, is_constant_jacobian=True, validate_args=validate_args,
                         parameters=parameters, name=name)

    _is_permutation = True

    def _forward_and_log_det(self, x, **conditions):
        return tf.identity(x), tf.zeros([], self.dtype)

    _inverse_and_log_det = _forward_and_log_det


def check_num_bits(num_bits):
    """Returns `num_bits` as an int, or raises `ValueError` if it is not from 1 to 16."""
    if check_int("num_bits", num_bits) > 16:
        raise ValueError(f"Argument `num_bits` must be at most 16; received {num_bits}.")
    return int(num_bits)
