# SPDX-License-Identifier: Apache-2.0
"""The elementwise transform that maps a pixel through the distribution function of a mixture of logistics."""

import math

import tensorflow as tf

from tfp_glow._checks import check_int, check_num_bits

_FLOOR = 1e-4  # Weight of a uniform component, so that no level is impossible. It costs 1.4e-4 bits per dimension.
_LEAST = 1e-30  # Least probability whose normal quantile is computed; a dequantized black pixel may have 0 exactly.

Components = tuple[tf.Tensor, tf.Tensor, tf.Tensor]


class LogisticMixture:
    """Maps pixels to standard normal quantiles by the distribution function of a discretized mixture of logistics.

    Let `P[k]` be the probability of level `k`, `0 <= k < 2**num_bits`, under the mixture. The lowest level takes the
    lower tail and the highest level the upper tail. Let `F(y)` be the integral of the density that equals
    `P[floor(y)]` on the interval `[k, k + 1)` of each level, and `Phi` the normal distribution function.

    * inverse: `x = Phi^-1(F(y))`, log-determinant `log P[floor(y)] - log Phi'(x)`;
    * forward: `y = F^-1(Phi(x))`, by bisection over the levels, exact after `num_bits` halvings.

    Under standard normal latents the log-density of `y` is `log P[floor(y)]`. So uniform dequantization loses nothing:
    noise within a level stays noise.

    The last axis of the conditioner's output holds logits, means and log-scales of the changed elements, side by side
    for each of the components. Zeros mean components that are spread evenly over the levels.

    Args:
      num_components: number of logistics in the mixture, an int of at least 1.
      num_bits: bits of a pixel, an int from 1 to 16. Elements are in `[0, 2**num_bits]`; the inverse of others is NaN.

    Raises:
      ValueError: if `num_components` or `num_bits` is out of range.

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
        """Returns `(y, log_det)`; the last axis of `raw` is `num_parameters` times as wide as that of `x`."""
        below = x < 0.0
        tail = 0.5 * tf.math.erfc(tf.abs(x) / math.sqrt(2.0))  # The smaller one of Phi(x) and 1 - Phi(x).
        components = self._components(raw)
        level = tf.zeros_like(x)
        for bit in reversed(range(self.num_bits)):
            higher = level + 2.0**bit
            lower_tail, upper_tail = self._tails(higher, components)
            level = tf.where(tf.where(below, lower_tail <= tail, upper_tail >= tail), higher, level)
        lower_tail, upper_tail, mass = self._interval(level, components)
        within = tf.where(below, tail - lower_tail, upper_tail + mass - tail) / mass
        # Rounding must not carry a pixel into the next level.
        y = level + tf.clip_by_value(within, 0.0, 1.0 - 2.0**(self.num_bits - 23))
        return y, _log_normal(x) - tf.math.log(mass)

    def inverse(self, y: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns `(x, log_det)`; the last axis of `raw` is `num_parameters` times as wide as that of `y`."""
        level = tf.minimum(tf.floor(y), 2.0**self.num_bits - 1.0)  # Rounding may carry white to the end of its bin.
        lower_tail, upper_tail, mass = self._interval(level, self._components(raw))
        within = y - level
        lower, upper = lower_tail + mass * within, upper_tail + mass * (1.0 - within)
        quantile = tf.math.ndtri(tf.maximum(tf.minimum(lower, upper), _LEAST))  # In the tail that keeps its precision.
        x = tf.where(lower < upper, quantile, -quantile)
        x = tf.where((y >= 0.0) & (y <= 2.0**self.num_bits), x, math.nan * tf.ones_like(x))
        return x, tf.math.log(mass) - _log_normal(x)

    def _components(self, raw: tf.Tensor) -> Components:
        """Returns weights, means and inverse scales in levels, each `[..., num_components, size]`."""
        size = self.num_components
        batch = tf.shape(raw)[:-1]
        raw = tf.reshape(raw, tf.concat([batch, [3, size, raw.shape[-1] // (3 * size)]], axis=0))
        logits, mean, log_scale = tf.unstack(raw, axis=-3)
        levels = 2.0**self.num_bits
        start = tf.reshape((tf.range(size, dtype=raw.dtype) + 0.5) * (levels / size), (size, 1))
        # The least scale is a tenth of a level; a mixture over integers need not be sharper.
        log_scale = math.log(0.1) + tf.nn.softplus(log_scale + math.log(5.0 * levels / size))
        weights = tf.exp(logits - tf.reduce_logsumexp(logits, axis=-2, keepdims=True))
        return weights, mean * (levels / 4.0) + start, tf.exp(-log_scale)

    def _tails(self, edge: tf.Tensor, components: Components) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the probabilities below and above `edge`, an integer strictly within the range."""
        weights, mean, inverse_scale = components
        z = (edge[..., tf.newaxis, :] - mean) * inverse_scale
        share = edge * 2.0**-self.num_bits
        lower = (1.0 - _FLOOR) * tf.reduce_sum(weights * tf.sigmoid(z), axis=-2) + _FLOOR * share
        upper = (1.0 - _FLOOR) * tf.reduce_sum(weights * tf.sigmoid(-z), axis=-2) + _FLOOR * (1.0 - share)
        return lower, upper

    def _interval(self, level: tf.Tensor, components: Components) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns the probabilities below, above and of `level`, each with its own relative precision."""
        weights, mean, inverse_scale = components
        level, levels = level[..., tf.newaxis, :], 2.0**self.num_bits
        start, end = (level - mean) * inverse_scale, (level + 1.0 - mean) * inverse_scale
        lowest, highest, zero = level <= 0.0, level >= levels - 1.0, tf.zeros_like(start)
        below = tf.where(lowest, zero, tf.sigmoid(start))
        above = tf.where(highest, zero, tf.sigmoid(-end))
        # The difference of the two terms in the tail where both are small.
        left = tf.where(highest, zero + 1.0, tf.sigmoid(end)) - below
        right = tf.where(lowest, zero + 1.0, tf.sigmoid(-start)) - above
        mass = tf.where(start + end < 0.0, left, right)
        below, above, mass = ((1.0 - _FLOOR) * tf.reduce_sum(weights * part, axis=-2) for part in (below, above, mass))
        share, level = _FLOOR / levels, level[..., 0, :]
        return below + share * level, above + share * (levels - 1.0 - level), mass + share


def _log_normal(x: tf.Tensor) -> tf.Tensor:
    return -0.5 * tf.square(x) - 0.5 * math.log(2.0 * math.pi)
