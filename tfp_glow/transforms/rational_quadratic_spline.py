# SPDX-License-Identifier: Apache-2.0
"""`RationalQuadraticSpline`: the elementwise transform of neural spline flows."""

import math
from typing import NamedTuple

import tensorflow as tf

from tfp_glow._checks import check_bool, check_int, check_number
from tfp_glow.transforms.elementwise import check_raw

# `tfb.RationalQuadraticSpline` computes the same function, and a test compares the two. It does not serve here:
# * its inverse subtracts nearly equal numbers, so that float32 gives NaN in some bins with very different slopes;
# * far outside of the interval, its gradients are NaN, because the branch that is not used overflows;
# * in float32, rounding can map a point inside of the interval to one outside of it;
# * its value and its log-determinant are two methods, and each searches the bins again;
# * its boundary slopes are 1, so it has no circular domain.


class _Bin(NamedTuple):
    """The bin of each element, tensors `[..., size]`."""

    start: tf.Tensor  # The ends of the bin on the data side.
    end: tf.Tensor
    low: tf.Tensor  # The ends of the bin on the latent side.
    high: tf.Tensor
    first_slope: tf.Tensor  # dx/dy at the ends of the bin.
    last_slope: tf.Tensor


class RationalQuadraticSpline:
    """Maps `[-bound, bound]` onto itself by a monotonic spline of quotients of quadratic polynomials.

    The conditioner chooses the knots `(y[k], x[k])`, `k = 0, ..., K`, and the slopes `d[k]` of the spline `g` at the
    knots, where `K = num_bins`. The first knot is `(-bound, -bound)`, the last one `(bound, bound)`. Between two
    knots, with `w = y[k + 1] - y[k]`, `h = x[k + 1] - x[k]`, `s = h / w` and `t = (y - y[k]) / w`,

        g(y) = x[k] + h * (s * t**2 + d[k] * t * (1 - t)) / (s + (d[k] + d[k + 1] - 2 * s) * t * (1 - t)).

    * inverse: `x = g(y)`, log-determinant `log g'(y)`;
    * forward: `y = g^-1(x)`, the root of a quadratic equation, log-determinant `-log g'(y)`.

    The density evaluates `g` itself, as in the authors' code. The log-determinants are per element, not summed.

    By default the tails are linear: outside of the interval `g` is the identity, and `d[0] = d[K] = 1`. With
    `circular=True` the elements are points of a circle of circumference `2 * bound`, such as angles with `bound=np.pi`.
    Both passes wrap their inputs into `[-bound, bound)`. The slopes at both bounds are equal, `d[0] = d[K]`. The spline
    keeps the point `bound`. To move it, put a `tfb.Shift` between two circular splines. On a circle, the base
    distribution must be one of the circle, such as a uniform distribution, and networks should receive periodic
    functions of the kept elements.

    The conditioner's output `raw` is `[..., num_parameters * size]` for elements `[..., size]`, with
    `num_parameters = 3 * K - 1`, or `3 * K` for a circular domain. Its last axis is a concatenation of
    `num_parameters` blocks, and `raw[..., j * size + i]` is parameter `j` of element `i`. In this order, the parameters
    define

    * `K` widths: `w[k] = 2 * bound * (min_width + (1 - K * min_width) * softmax(raw)[k])`;
    * `K` heights `h[k]`, in the same way with `min_height`;
    * the slopes `d[1], ..., d[K - 1]`, or `d[0], ..., d[K - 1]` for a circular domain:
      `d = min_slope + softplus(raw + c)`, with `c = log(exp(1 - min_slope) - 1)`.

    With `raw = 0`, all bins are equal and all slopes are 1, so `g` is the identity. The authors' code has no `c`.

    Args:
      num_bins: number of bins `K`, an int of at least 2. The default is 8.
      bound: half of the length of the interval, a positive float, in units of the elements. The default is 3.
      circular: a bool. True makes the domain a circle. The default is False.
      min_width: least width of a bin as a fraction of the interval, a float in `(0, 1 / num_bins)`. Default: 1e-3.
      min_height: least height of a bin as a fraction of the interval, a float in `(0, 1 / num_bins)`. Default: 1e-3.
      min_slope: least slope at a knot, a float in (0, 1). Default: 1e-3.

    Raises:
      ValueError: if an argument violates its description above.

    References:
      Durkan, Bekasov, Murray and Papamakarios, *Neural spline flows*, 2019, section 3.1 and appendix A; Rezende et al.,
      *Normalizing flows on tori and spheres*, 2020, section 2.1.2, for the circle.

    Example:

    >>> spline = tfp_glow.transforms.RationalQuadraticSpline(num_bins=4)
    >>> raw = tf.random.stateless_normal((1, 2 * spline.num_parameters), seed=(1, 2))
    >>> x, log_det = spline.inverse(tf.constant([[0.25, 7.5]]), raw)
    >>> spline.forward(x, raw)[0].numpy().round(4).tolist()
    [[0.25, 7.5]]
    """

    def __init__(self, num_bins: int = 8, bound: float = 3.0, circular: bool = False, min_width: float = 1e-3,
                 min_height: float = 1e-3, min_slope: float = 1e-3):
        self.num_bins = check_int("num_bins", num_bins, minimum=2)
        self.bound = check_number("bound", bound, "be positive and finite", lambda value: 0.0 < value < math.inf)
        self.circular = check_bool("circular", circular)
        share = f"be between 0 and 1 / num_bins = {1.0 / self.num_bins:g}"
        self.min_width = check_number("min_width", min_width, share, self._is_share)
        self.min_height = check_number("min_height", min_height, share, self._is_share)
        self.min_slope = check_number("min_slope", min_slope, "be between 0 and 1", lambda value: 0.0 < value < 1.0)
        self.num_parameters = 3 * self.num_bins - (not self.circular)

    def _is_share(self, value: float) -> bool:
        return 0.0 < value < 1.0 / self.num_bins

    def forward(self, x: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Maps latents to data, by the inverse of the spline.

        Args:
          x: floats `[..., size]`.
          raw: output of the conditioner, `[..., num_parameters * size]`.

        Returns:
          `(y, log_det)`, both `[..., size]`, with `log_det = log dy/dx`.
        """
        check_raw(self, x, raw)
        x, inner, is_inside = self._inner(x)
        part = self._find_bin(inner, raw, of_latents=True)
        height = part.high - part.low
        slope = height / (part.end - part.start)
        # The fractions of the bin below and above x. Each is precise where it is small.
        below, above = _fraction(inner - part.low, height), _fraction(part.high - inner, height)
        # Of the two ends of the bin, the formula starts at the one from which no difference of nearly equal numbers
        # occurs. The discriminant is a sum of squares and products of positive numbers.
        balance = part.first_slope * above - part.last_slope * below
        from_start = balance >= 0.0
        root = tf.sqrt(tf.square(balance) + 4.0 * tf.square(slope) * below * above)
        near = 2.0 * slope * tf.where(from_start, below, above)
        fraction = near / (tf.where(from_start, balance, -balance) + near + root)
        step = (part.end - part.start) * fraction
        y = tf.where(from_start, part.start + step, part.end - step)
        rest = 1.0 - fraction
        log_slope = _log_slope(part, slope, tf.where(from_start, fraction, rest), tf.where(from_start, rest, fraction))
        return self._result(x, is_inside, y, -log_slope)

    def inverse(self, y: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Maps data to latents, by the spline.

        Args:
          y: floats `[..., size]`.
          raw: output of the conditioner, `[..., num_parameters * size]`.

        Returns:
          `(x, log_det)`, both `[..., size]`, with `log_det = log dx/dy`.
        """
        check_raw(self, y, raw)
        y, inner, is_inside = self._inner(y)
        part = self._find_bin(inner, raw, of_latents=False)
        width, height = part.end - part.start, part.high - part.low
        slope = height / width
        fraction, rest = _fraction(inner - part.start, width), _fraction(part.end - inner, width)
        numerator = fraction * (slope * fraction + part.first_slope * rest)
        x = part.low + height * numerator / _denominator(part, slope, fraction, rest)
        return self._result(y, is_inside, x, _log_slope(part, slope, fraction, rest))

    def _inner(self, value: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor | None]:
        """Returns the inputs, on a circle wrapped; the same with 0 for those in the tails; and which are not there."""
        if self.circular:
            value -= 2.0 * self.bound * tf.floor((value + self.bound) / (2.0 * self.bound))
            value = tf.where(value < self.bound, value, value - 2.0 * self.bound)  # Rounding may give the bound.
            return value, tf.maximum(value, -self.bound), None
        is_inside = (value >= -self.bound) & (value < self.bound)
        # A number in the interval, so that gradients of the branch that is not used are finite.
        return value, tf.where(is_inside, value, tf.zeros_like(value)), is_inside

    def _result(self, value: tf.Tensor, is_inside: tf.Tensor | None, mapped: tf.Tensor,
                log_det: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        mapped = tf.clip_by_value(mapped, -self.bound, self.bound)  # Rounding may give a number outside.
        if is_inside is None:
            return mapped, log_det
        return tf.where(is_inside, mapped, value), tf.where(is_inside, log_det, tf.zeros_like(log_det))

    def _find_bin(self, value: tf.Tensor, raw: tf.Tensor, of_latents: bool) -> _Bin:
        """Returns the bin of each element of `value`: latents if `of_latents`, otherwise data."""
        bins, num_slopes = self.num_bins, self.num_parameters - 2 * self.num_bins
        size = raw.shape[-1] // self.num_parameters
        raw = tf.reshape(raw, tf.concat([tf.shape(raw)[:-1], [self.num_parameters, size]], axis=0))
        raw_widths, raw_heights, raw_slopes = tf.split(raw, [bins, bins, num_slopes], axis=-2)
        widths, heights = self._shares(raw_widths, self.min_width), self._shares(raw_heights, self.min_height)
        # Sums of products with masks `[..., num_bins, size]` replace a gather, whose gradient is slow. `ended` is 1 for
        # the bins below the value, and `begun` for its own bin too.
        begun, ended = _masks(tf.stop_gradient(0.5 + value / (2.0 * self.bound)),
                              tf.stop_gradient(heights if of_latents else widths))
        own = begun - ended
        start, end = self._ends(widths, ended, own)
        low, high = self._ends(heights, ended, own)
        # At the bounds of linear tails, the parameter of the slope is 0 and the slope 1.
        masks = (own, tf.roll(own, 1, axis=-2)) if self.circular else (own[..., 1:, :], own[..., :-1, :])
        first_slope, last_slope = (self._slope(tf.reduce_sum(raw_slopes * mask, axis=-2)) for mask in masks)
        return _Bin(start, end, low, high, first_slope, last_slope)

    def _shares(self, raw: tf.Tensor, least: float) -> tf.Tensor:
        """Returns widths or heights as fractions of the interval, `[..., num_bins, size]`."""
        # `tf.nn.softmax` does not accept as many axes as images with several batch axes have here.
        powers = tf.exp(raw - tf.stop_gradient(tf.reduce_max(raw, axis=-2, keepdims=True)))
        return least + powers * ((1.0 - self.num_bins * least) / tf.reduce_sum(powers, axis=-2, keepdims=True))

    def _ends(self, shares: tf.Tensor, ended: tf.Tensor, own: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the start and the end of the bin on one side."""
        start = 2.0 * self.bound * tf.reduce_sum(shares * ended, axis=-2) - self.bound
        return start, start + 2.0 * self.bound * tf.reduce_sum(shares * own, axis=-2)

    def _slope(self, raw: tf.Tensor) -> tf.Tensor:
        return self.min_slope + tf.nn.softplus(raw + math.log(math.expm1(1.0 - self.min_slope)))


def _masks(value: tf.Tensor, shares: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns two masks `[..., num_bins, size]`: 1 for the bins that begin below `value`, and for those that end there.

    Args:
      value: place in the interval as a fraction of it, `[..., size]`.
      shares: sizes of the bins as fractions of the interval, `[..., num_bins, size]`.
    """
    rests = []
    for share in tf.unstack(shares, axis=-2)[:-1]:
        value -= share
        rests.append(value)
    is_above = tf.cast(tf.stack(rests, axis=-2) >= 0.0, value.dtype)  # of each inner knot
    zero = tf.zeros_like(is_above[..., :1, :])
    return tf.concat([zero + 1.0, is_above], axis=-2), tf.concat([is_above, zero], axis=-2)


def _fraction(distance: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Returns a fraction of a bin. At a knot, rounding may give a small distance below 0."""
    return tf.maximum(distance, 0.0) / size


def _denominator(part: _Bin, slope: tf.Tensor, fraction: tf.Tensor, rest: tf.Tensor) -> tf.Tensor:
    """Returns the denominator of `g`, as a sum of positive numbers."""
    squares = tf.square(fraction) + tf.square(rest)
    return slope * squares + (part.first_slope + part.last_slope) * fraction * rest


def _log_slope(part: _Bin, slope: tf.Tensor, fraction: tf.Tensor, rest: tf.Tensor) -> tf.Tensor:
    """Returns `log g'` at the given fraction of a bin. `rest` is 1 minus the fraction."""
    numerator = (part.last_slope * tf.square(fraction) + 2.0 * slope * fraction * rest
                 + part.first_slope * tf.square(rest))
    return 2.0 * tf.math.log(slope / _denominator(part, slope, fraction, rest)) + tf.math.log(numerator)
