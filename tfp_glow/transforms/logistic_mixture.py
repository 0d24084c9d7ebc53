# SPDX-License-Identifier: Apache-2.0
"""`LogisticMixture`: the elementwise transform that models channel values of pixels by a mixture of logistics."""

import math

import tensorflow as tf

from tfp_glow._checks import check_int, check_num_bits
from tfp_glow.transforms._special_functions import erfc, ndtri

# Weight of a uniform component, so that no gray level has probability 0. It costs 1.4e-4 bits per dimension.
_FLOOR = 1e-4
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
    * forward: `y = F^-1(Phi(x))`, log-determinant `log Phi'(x) - log P[floor(y)]`. Bisection finds the gray level in
      `num_bits` iterations.

    The log-determinants are per element, not summed. If the latents are standard normal, the log-density of `y` is
    `log P[floor(y)]`, the log-probability of its gray level. So the flow does not have to model the uniform noise of
    dequantization.

    The conditioner's output `raw` is `[..., num_parameters * size]` for elements `[..., size]`, with
    `num_parameters = 3 * K` and `K = num_components`. Its last axis is a concatenation of `3 * K` blocks. For component
    `j` and element `i`, `raw[..., (p * K + j) * size + i]` defines the logit of the weight (`p = 0`), the mean
    (`p = 1`) or the log-scale (`p = 2`). With `raw = 0` all weights are equal, and the means are spread evenly over
    `[0, 2**num_bits]`.

    Args:
      num_components: number of logistics in the mixture, an int of at least 1. The default is 5.
      num_bits: bits per channel value, an int from 1 to 16. The default is 8. Elements must be in `[0, 2**num_bits]`;
        the inverse of any other number is NaN.

    Raises:
      ValueError: if `num_components` is not an int of at least 1, or `num_bits` is not an int from 1 to 16.

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

    def __init__(self, num_components: int = 5, num_bits: int = 8):
        self.num_components = check_int("num_components", num_components)
        self.num_bits = check_num_bits(num_bits)
        self.num_parameters = 3 * self.num_components

    def forward(self, x: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Maps latents to values in pixel units.

        Args:
          x: floats `[..., size]`.
          raw: output of the conditioner, `[..., num_parameters * size]`.

        Returns:
          `(y, log_det)`, both `[..., size]`, with `y` in `[0, 2**num_bits)` and `log_det = log dy/dx`.
        """
        below = x < 0.0
        tail = 0.5 * erfc(tf.abs(x) / math.sqrt(2.0))  # The smaller of Phi(x) and 1 - Phi(x).
        components = self._components(raw)
        level = tf.zeros_like(x)
        for bit in reversed(range(self.num_bits)):
            higher = level + 2.0**bit
            lower_tail, upper_tail = self._tails(higher, components)
            level = tf.where(tf.where(below, lower_tail <= tail, upper_tail >= tail), higher, level)
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
        level = tf.minimum(tf.floor(y), 2.0**self.num_bits - 1.0)  # Rounding may give 2**num_bits.
        lower_tail, upper_tail, mass = self._interval(level, self._components(raw))
        within = y - level
        lower, upper = lower_tail + mass * within, upper_tail + mass * (1.0 - within)
        quantile = ndtri(tf.maximum(tf.minimum(lower, upper), _LEAST))  # The smaller tail is the precise one.
        x = tf.where(lower < upper, quantile, -quantile)
        x = tf.where((y >= 0.0) & (y <= 2.0**self.num_bits), x, math.nan * tf.ones_like(x))
        return x, tf.math.log(mass) - _log_normal(x)

    def _components(self, raw: tf.Tensor) -> Components:
        """Returns weights, means and inverse scales, each `[..., num_components, size]`, in units of gray levels."""
        size = self.num_components
        batch = tf.shape(raw)[:-1]
        raw = tf.reshape(raw, tf.concat([batch, [3, size, raw.shape[-1] // (3 * size)]], axis=0))
        logits, mean, log_scale = tf.unstack(raw, axis=-3)
        levels = 2.0**self.num_bits
        start = tf.reshape((tf.range(size, dtype=raw.dtype) + 0.5) * (levels / size), (size, 1))
        # The least scale is a tenth of a gray level. A mixture over integers need not be sharper.
        log_scale = math.log(0.1) + tf.nn.softplus(log_scale + math.log(5.0 * levels / size))
        weights = tf.exp(logits - tf.reduce_logsumexp(logits, axis=-2, keepdims=True))
        return weights, mean * (levels / 4.0) + start, tf.exp(-log_scale)

    def _tails(self, edge: tf.Tensor, components: Components) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the probabilities of all gray levels below `edge` and from `edge` on; `0 < edge < 2**num_bits`."""
        weights, mean, inverse_scale = components
        z = (edge[..., tf.newaxis, :] - mean) * inverse_scale
        uniform = edge * 2.0**-self.num_bits
        lower = (1.0 - _FLOOR) * tf.reduce_sum(weights * tf.sigmoid(z), axis=-2) + _FLOOR * uniform
        upper = (1.0 - _FLOOR) * tf.reduce_sum(weights * tf.sigmoid(-z), axis=-2) + _FLOOR * (1.0 - uniform)
        return lower, upper

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
