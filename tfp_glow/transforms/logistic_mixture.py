# SPDX-License-Identifier: Apache-2.0
"""`LogisticMixture`: the elementwise transform that models channel values of pixels by a mixture of logistics."""

import math

import numpy as np
import tensorflow as tf

from tfp_glow._checks import check_int, check_num_bits, check_number
from tfp_glow.transforms._special_functions import erfc, ndtri
from tfp_glow.transforms.elementwise import check_raw

# Weight of a uniform component, so that no gray level has probability 0. It costs 1.4e-4 bits per dimension.
_FLOOR = 1e-4
_LEAST_SCALE = 0.1  # In gray levels. A mixture over integers need not be sharper.
_LEAST = 1e-30  # Least probability whose normal quantile is computed. A dequantized black pixel may have exactly 0.

Components = tuple[tf.Tensor, tf.Tensor, tf.Tensor]


class LogisticMixture:
    """Maps pixels to standard normal latents by the distribution function of a discretized mixture of logistics.

    An element `y` is the value of one channel of a pixel: an integer gray level `floor(y)` in `[0, 2**num_bits)` plus
    noise in `[0, 1)`. The mixture gives gray level `k` the probability `P[k]`, the integral of its density over
    `[k, k + 1)`. The lowest gray level also receives the lower tail of the mixture, the highest one the upper tail.

    The density of `y` is `P[floor(y)]`. Let `F` be the distribution function of `y`, and let `Phi` be the distribution
    function of the standard normal:

    * inverse: `x = Phi^-1(F(y))`, log-determinant `log P[floor(y)] - log Phi'(x)`;
    * forward: `y = F^-1(Phi(x))`, log-determinant `log Phi'(x) - log P[floor(y)]`. A search finds the gray level, two
      bits per iteration.

    The log-determinants are per element, not summed. If the latents are standard normal, the log-density of `y` is
    `log P[floor(y)]`, the log-probability of its gray level. So the flow does not have to model the uniform noise of
    dequantization.

    The conditioner's output `raw` is `[..., num_parameters * size]` for elements `[..., size]`, with
    `num_parameters = 3 * K` and `K = num_components`. Its last axis is a concatenation of `3 * K` blocks. For component
    `j` and element `i`, `raw[..., (p * K + j) * size + i]` defines the logit of the weight (`p = 0`), the mean
    (`p = 1`) or the log-scale (`p = 2`). With `raw = 0` all weights are equal, and the means are spread evenly over
    `[0, 2**num_bits]`, or near the middle of it; see `scale`.

    Args:
      num_components: number of logistics in the mixture, an int of at least 1. The default is 5.
      num_bits: bits per channel value, an int from 1 to 16. The default is 8. Elements must be in `[0, 2**num_bits]`;
        the inverse of any other number is NaN.
      scale: scale of all logistics for `raw = 0` in gray levels, a float above 0.1. It is also the unit of the means in
        `raw`. The means start half a scale apart, around the middle of all gray levels. A small number suits a
        conditioner that starts near a good prediction of the gray level. None (the default) starts with means over all
        gray levels.

    Raises:
      ValueError: if `num_components` is not an int of at least 1, `num_bits` is not an int from 1 to 16, or `scale` is
        not a finite number above 0.1.

    References:
      Salimans et al., *PixelCNN++*, 2017, section 2.1; Ho et al., *Flow++*, 2019, section 3.2, for mixtures in
      couplings.

    Example:

    >>> mixture = tfp_glow.transforms.LogisticMixture(num_components=5)
    >>> raw = tf.zeros((1, 2 * mixture.num_parameters))
    >>> x, log_det = mixture.inverse(tf.constant([[3.25, 200.5]]), raw)
    >>> mixture.forward(x, raw)[0].numpy().round(2).tolist()
    [[3.25, 200.5]]
    """

    def __init__(self, num_components: int = 5, num_bits: int = 8, scale: float | None = None):
        self.num_components = check_int("num_components", num_components)
        self.num_bits = check_num_bits(num_bits)
        self.num_parameters = 3 * self.num_components
        levels, count = 2.0**self.num_bits, self.num_components
        if scale is None:
            self.scale, self._unit, step = 0.1 + levels / (2.0 * count), levels / 4.0, levels / count
        else:
            self.scale = self._unit = check_number(
                "scale", scale, f"be None or a number above {_LEAST_SCALE:g} and below inf",
                lambda value: _LEAST_SCALE < value < math.inf)
            step = self.scale / 2.0
        self._start = (np.arange(count) + 0.5) * step + (levels - count * step) / 2.0

    def forward(self, x: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Maps latents to values in pixel units.

        Args:
          x: floats `[..., size]`.
          raw: output of the conditioner, `[..., num_parameters * size]`.

        Returns:
          `(y, log_det)`, both `[..., size]`, with `y` in `[0, 2**num_bits)` and `log_det = log dy/dx`.
        """
        check_raw(self, x, raw)
        below = x < 0.0
        tail = 0.5 * erfc(tf.abs(x) / math.sqrt(2.0))  # The smaller of Phi(x) and 1 - Phi(x).
        components = self._components(raw)
        level = self._gray_level(tail, below, components)
        lower_tail, upper_tail, mass = self._interval(level, components)
        within = tf.where(below, tail - lower_tail, upper_tail + mass - tail) / mass
        # Rounding must not move a value to the next gray level.
        y = level + tf.clip_by_value(within, 0.0, 1.0 - 2.0**(self.num_bits - 23))
        return y, _log_normal(x) - tf.math.log(mass)

    def inverse(self, y: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Maps values in pixel units to latents.

        Args:
          y: floats `[..., size]` in `[0, 2**num_bits]`.
          raw: output of the conditioner, `[..., num_parameters * size]`.

        Returns:
          `(x, log_det)`, both `[..., size]`, with `log_det = log dx/dy`.
        """
        check_raw(self, y, raw)
        level = tf.minimum(tf.floor(y), 2.0**self.num_bits - 1.0)  # Rounding may give 2**num_bits.
        lower_tail, upper_tail, mass = self._interval(level, self._components(raw))
        within = y - level
        lower, upper = lower_tail + mass * within, upper_tail + mass * (1.0 - within)
        quantile = ndtri(tf.maximum(tf.minimum(lower, upper), _LEAST))  # The smaller tail is the precise one.
        x = tf.where(lower < upper, quantile, -quantile)
        x = tf.where((y >= 0.0) & (y <= 2.0**self.num_bits), x, math.nan * tf.ones_like(x))
        return x, tf.math.log(mass) - _log_normal(x)

    def raw_of_shift(self, shift: np.ndarray) -> np.ndarray:
        """Returns the conditioner output that moves all means of an element by `shift` gray levels, from `raw = 0`.

        Args:
          shift: an array `[...]`, for one element each.

        Returns:
          An array `[..., num_parameters]`. The function is linear.
        """
        raw = np.zeros((*np.shape(shift), 3, self.num_components), np.float32)
        raw[..., 1, :] = np.asarray(shift)[..., np.newaxis] / self._unit
        return raw.reshape(*np.shape(shift), self.num_parameters)

    def _components(self, raw: tf.Tensor) -> Components:
        """Returns weights, means and inverse scales, each `[..., num_components, size]`, in units of gray levels."""
        size = self.num_components
        batch = tf.shape(raw)[:-1]
        raw = tf.reshape(raw, tf.concat([batch, [3, size, raw.shape[-1] // (3 * size)]], axis=0))
        logits, mean, log_scale = tf.unstack(raw, axis=-3)
        start = tf.constant(self._start[:, np.newaxis], raw.dtype)
        # softplus(log(e^a - 1)) = a
        at_zero = math.log(self.scale / _LEAST_SCALE - 1.0)
        log_scale = math.log(_LEAST_SCALE) + tf.nn.softplus(log_scale + at_zero)
        weights = tf.exp(logits - tf.reduce_logsumexp(logits, axis=-2, keepdims=True))
        return weights, mean * self._unit + start, tf.exp(-log_scale)

    def _gray_level(self, tail: tf.Tensor, below: tf.Tensor, components: Components) -> tf.Tensor:
        """Returns the gray level whose lower tail is `tail`, or where `below` is False, whose upper tail is `tail`."""
        # All tensors are [..., edge, component, size].
        weights, mean, inverse_scale = (tf.expand_dims(part, -3) for part in components)
        tail, below = (part[..., tf.newaxis, tf.newaxis, :] for part in (tail, below))
        sign = tf.where(below, tf.ones_like(tail), -tf.ones_like(tail))
        signed_scale = sign * inverse_scale
        level, bits = tf.zeros_like(tail), self.num_bits
        while bits:
            step = min(bits, 2)  # Two bits at once: the graph has half as many steps.
            bits -= step
            edge = level + 2.0**bits * np.arange(1.0, 2.0**step)[:, np.newaxis, np.newaxis]
            uniform = 0.5 + sign * (edge * 2.0**-self.num_bits - 0.5)
            mixture = tf.reduce_sum(weights * tf.sigmoid((edge - mean) * signed_scale), axis=-2, keepdims=True)
            is_higher = sign * ((1.0 - _FLOOR) * mixture + _FLOOR * uniform - tail) <= 0.0
            level += 2.0**bits * tf.reduce_sum(tf.cast(is_higher, level.dtype), axis=-3, keepdims=True)
        return level[..., 0, 0, :]

    def _interval(self, level: tf.Tensor, components: Components) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns the probabilities below `level`, above it and of it. Each is precise even if it is near 0."""
        weights, mean, inverse_scale = components
        level, levels = level[..., tf.newaxis, :], 2.0**self.num_bits
        start, end = (level - mean) * inverse_scale, (level + 1.0 - mean) * inverse_scale
        lowest, highest, zero = level <= 0.0, level >= levels - 1.0, tf.zeros_like(start)
        below = tf.where(lowest, zero, tf.sigmoid(start))
        above = tf.where(highest, zero, tf.sigmoid(-end))
        # Two formulas for one difference: the precise one subtracts two small probabilities.
        left = tf.where(highest, zero + 1.0, tf.sigmoid(end)) - below
        right = tf.where(lowest, zero + 1.0, tf.sigmoid(-start)) - above
        mass = tf.where(start + end < 0.0, left, right)
        below, above, mass = ((1.0 - _FLOOR) * tf.reduce_sum(weights * part, axis=-2) for part in (below, above, mass))
        uniform, level = _FLOOR / levels, level[..., 0, :]
        return below + uniform * level, above + uniform * (levels - 1.0 - level), mass + uniform


def _log_normal(x: tf.Tensor) -> tf.Tensor:
    return -0.5 * tf.square(x) - 0.5 * math.log(2.0 * math.pi)
