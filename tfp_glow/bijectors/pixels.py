# SPDX-License-Identifier: Apache-2.0
"""`AffinePixels`, `LogitPixels` and `RawPixels`: bijectors between pixel units and the latents that a flow models."""

import math
from typing import Any

import tensorflow as tf

from tfp_glow._checks import check_num_bits, check_number, check_shape
from tfp_glow._compat_tfp import permutation
from tfp_glow._types import DTypeLike, ShapeLike
from tfp_glow.bijectors.flow_bijector import FlowBijector


class Pixels(FlowBijector):
    """Base of the bijectors between data in pixel units `[0, 2**num_bits)` and the latents that a flow models.

    `FlowModel` reads `num_bits` from such a bijector in its distribution.

    Args:
      shape: event shape, `(height, width, channels)` or `(size,)`.
      num_bits: bits per channel value, an int from 1 to 16.
      **kwargs: further arguments of `FlowBijector`.

    Attributes:
      num_bits: bits per channel value, an int.

    Raises:
      ValueError: if `shape` has neither 1 nor 3 positive sizes, or `num_bits` is not an int from 1 to 16.
    """

    def __init__(self, shape: ShapeLike, num_bits: int, **kwargs: Any):
        shape = check_shape("shape", shape, ranks=(1, 3))
        self.num_bits = check_num_bits(num_bits)
        super().__init__(shape, **kwargs)

    def _log_volume(self) -> float:
        """Returns `D * num_bits * log 2`, the log-volume of the range of one event with `D` elements."""
        return math.prod(self.event_shape) * self.num_bits * math.log(2.0)


class AffinePixels(Pixels):
    """Scales latents in `[-bound, bound)` to data in pixel units `[0, 2**num_bits)`.

    With `D` elements per event and `L = 2**num_bits`:

    * forward: `y = (x / (2 * bound) + 1/2) * L`, log-determinant `D * log(L / (2 * bound))`;
    * inverse: `x = (y / L - 1/2) * 2 * bound`, log-determinant `-D * log(L / (2 * bound))`.

    Args:
      shape: event shape, `(height, width, channels)` or `(size,)`.
      num_bits: bits per channel value, an int from 1 to 16. The default is 8.
      dtype: float32 (the default) or float64, of events.
      validate_args: a bool, passed to `tfb.Bijector`. The default is False.
      name: name of the bijector.
      bound: bound of the latents, a positive float. The default is 1/2, as in Glow.

    Raises:
      ValueError: if `shape` has neither 1 nor 3 positive sizes, `num_bits` is not an int from 1 to 16, `bound` is not
        positive and finite, or `dtype` is neither float32 nor float64.

    References:
      Kingma and Dhariwal, *Glow*, 2018, section 2, with the published code.

    Example:

    >>> tfp_glow.bijectors.AffinePixels((2, 2, 1)).inverse(tf.fill((2, 2, 1), 128.0))[0, 0, 0].numpy().item()
    0.0
    """

    def __init__(self, shape: ShapeLike, num_bits: int = 8, dtype: DTypeLike = "float32", validate_args: bool = False,
                 name: str = "affine_pixels", bound: float = 0.5):
        parameters = dict(locals())
        bound = check_number("bound", bound, "be positive and finite", lambda value: 0.0 < value < math.inf)
        super().__init__(shape, num_bits, dtype=dtype, is_constant_jacobian=True, validate_args=validate_args,
                         parameters=parameters, name=name)
        self._stretch = 2.0 * bound
        self._log_stretch = math.prod(self.event_shape) * math.log(2.0 * bound)

    def _forward_and_log_det(self, x: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        log_det = tf.constant(self._log_volume() - self._log_stretch, self.dtype)
        return (x / self._stretch + 0.5) * 2.0**self.num_bits, log_det

    def _inverse_and_log_det(self, y: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        log_det = tf.constant(self._log_stretch - self._log_volume(), self.dtype)
        return (y * 2.0**-self.num_bits - 0.5) * self._stretch, log_det


class LogitPixels(Pixels):
    """Maps real latents to data in pixel units `[0, 2**num_bits)` by a sigmoid; the inverse is a logit.

    With `D` elements per event:

    * forward: `y = (sigmoid(x) - alpha) / (1 - 2 * alpha) * 2**num_bits`, log-determinant
      `-sum(softplus(x) + softplus(-x)) - D * log((1 - 2 * alpha) / 2**num_bits)`;
    * inverse: `x = logit(p)` with `p = alpha + (1 - 2 * alpha) * y / 2**num_bits`, log-determinant
      `sum(softplus(x) + softplus(-x)) + D * log((1 - 2 * alpha) / 2**num_bits)`.

    The factor `1 - 2 * alpha` follows the published code. With this factor the logit is finite on all of
    `[0, 2**num_bits]`. The paper has the factor `1 - alpha`, with which the logit is infinite at the upper end of the
    range. `forward` can leave the range by less than `alpha / (1 - 2 * alpha) * 2**num_bits` on either side.

    Args:
      shape: event shape, `(height, width, channels)` or `(size,)`.
      num_bits: bits per channel value, an int from 1 to 16. The default is 8.
      alpha: least distance of the probabilities from 0 and 1, a float in (0, 1/2). The default is 0.05.
      dtype: float32 (the default) or float64, of events.
      validate_args: a bool, passed to `tfb.Bijector`. The default is False.
      name: name of the bijector.

    Raises:
      ValueError: if `shape` has neither 1 nor 3 positive sizes, `num_bits` is not an int from 1 to 16, `alpha` is not
        in (0, 1/2), or `dtype` is neither float32 nor float64.

    References:
      Dinh, Sohl-Dickstein and Bengio, *Density estimation using Real NVP*, 2017, section 4.1, with the published code.

    Example:

    >>> tfp_glow.bijectors.LogitPixels((2, 2, 1)).inverse(tf.fill((2, 2, 1), 128.0))[0, 0, 0].numpy().item()
    0.0
    """

    def __init__(self, shape: ShapeLike, num_bits: int = 8, alpha: float = 0.05, dtype: DTypeLike = "float32",
                 validate_args: bool = False, name: str = "logit_pixels"):
        parameters = dict(locals())
        alpha = check_number("alpha", alpha, "be between 0 and 1/2", lambda value: 0.0 < value < 0.5)
        super().__init__(shape, num_bits, dtype=dtype, validate_args=validate_args, parameters=parameters, name=name)
        self._alpha = alpha

    def _forward_and_log_det(self, x: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        y = (tf.sigmoid(x) - self._alpha) * (2.0**self.num_bits / (1.0 - 2.0 * self._alpha))
        return y, -self._inverse_log_det(x)

    def _inverse_and_log_det(self, y: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        p = self._alpha + (1.0 - 2.0 * self._alpha) * (y * 2.0**-self.num_bits)
        x = tf.math.log(p) - tf.math.log1p(-p)
        return x, self._inverse_log_det(x)

    def _inverse_log_det(self, x: tf.Tensor) -> tf.Tensor:
        constant = math.prod(self.event_shape) * math.log(1.0 - 2.0 * self._alpha) - self._log_volume()
        axes = list(range(-len(self.event_shape), 0))
        return tf.reduce_sum(tf.nn.softplus(x) + tf.nn.softplus(-x), axis=axes) + constant


@permutation
class RawPixels(Pixels):
    """Leaves pixel units unchanged, for flows that model pixel units directly.

    * forward: `y = x`;
    * inverse: `x = y`.

    The log-determinant is 0. The bijector marks the data of a flow as pixels: `FlowModel` reads `num_bits` from it.

    Args:
      shape: event shape, `(height, width, channels)` or `(size,)`.
      num_bits: bits per channel value, an int from 1 to 16. The default is 8.
      dtype: float32 (the default) or float64, of events.
      validate_args: a bool, passed to `tfb.Bijector`. The default is False.
      name: name of the bijector.

    Raises:
      ValueError: if `shape` has neither 1 nor 3 positive sizes, `num_bits` is not an int from 1 to 16, or `dtype` is
        neither float32 nor float64.

    Example:

    >>> tfp_glow.bijectors.RawPixels((2, 2, 1), num_bits=4).num_bits
    4
    """

    def __init__(self, shape: ShapeLike, num_bits: int = 8, dtype: DTypeLike = "float32", validate_args: bool = False,
                 name: str = "raw_pixels"):
        parameters = dict(locals())
        super().__init__(shape, num_bits, dtype=dtype, is_constant_jacobian=True, validate_args=validate_args,
                         parameters=parameters, name=name)

    def _forward_and_log_det(self, x: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.identity(x), tf.zeros([], self.dtype)

    def _inverse_and_log_det(self, y: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.identity(y), tf.zeros([], self.dtype)
