# SPDX-License-Identifier: Apache-2.0
"""From pixel units to numbers a flow likes."""

import math

import tensorflow as tf

from tfp_glow.bijectors.checks import check_int, check_shape
from tfp_glow.bijectors.flow_bijector import FlowBijector


class AffinePixels(FlowBijector):
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

    >>> AffinePixels((2, 2, 1)).inverse(tf.fill((2, 2, 1), 128.0))[0, 0, 0].numpy()
    0.0
    """

    def __init__(self, shape, num_bits=8, dtype="float32", validate_args=False, name="affine_pixels"):
        parameters = dict(locals())
        shape = check_shape("shape", shape, ranks=(1, 3))
        self.num_bits = check_num_bits(num_bits)
        super().__init__(shape, dtype=dtype, is_constant_jacobian=True, validate_args=validate_args,
                         parameters=parameters, name=name)

    def _forward_and_log_det(self, x, **conditions):
        return (x + 0.5) * 2.0**self.num_bits, self._log_det()

    def _inverse_and_log_det(self, y, **conditions):
        return y * 2.0**-self.num_bits - 0.5, -self._log_det()

    def _log_det(self):
        return tf.constant(math.prod(self.event_shape) * self.num_bits * math.log(2.0), self.dtype)


def check_num_bits(num_bits):
    """Returns `num_bits` as an int, or raises `ValueError` if it is not from 1 to 16."""
    if check_int("num_bits", num_bits) > 16:
        raise ValueError(f"Argument `num_bits` must be at most 16; received {num_bits}.")
    return int(num_bits)
