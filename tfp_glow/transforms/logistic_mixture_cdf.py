# SPDX-License-Identifier: Apache-2.0
"""`LogisticMixtureCDF`: the elementwise transform of Flow++."""

import math

import tensorflow as tf

from tfp_glow._checks import check_int
from tfp_glow.transforms.elementwise import check_raw

_LEAST_LOG_SCALE = -7.0
# Bisection halves an interval so often that the rest is below the rounding error.
_NUM_BISECTIONS = {tf.float32: 32, tf.float64: 60}

Components = tuple[tf.Tensor, tf.Tensor, tf.Tensor]


class LogisticMixtureCDF:
    """Maps real numbers by the distribution function of a mixture of logistics, a logit, a scale and a shift.

    A mixture of `K` logistics has the distribution function `F(y) = sum_k w[k] * sigmoid((y - mean[k]) / s[k])`. With
    `logit(p) = log(p / (1 - p))`,

    * inverse: `x = logit(F(y)) * exp(log_scale) + shift`, log-determinant
      `log F'(y) - log F(y) - log(1 - F(y)) + log_scale`;
    * forward: `y = F^-1(sigmoid((x - shift) * exp(-log_scale)))`, by bisection. The log-determinant is minus that of
      the inverse at `y`.

    The log-determinants are per element, not summed. For one logistic the transform is affine. Several logistics can
    map separate clusters of values to one, and leave gaps between them. The gradient of `forward` does not go through
    the bisection: it is that of the function that `inverse` defines implicitly.

    The conditioner's output `raw` is `[..., num_parameters * size]` for elements `[..., size]`, with
    `num_parameters = 2 + 3 * K`. Its last axis is a concatenation of `2 + 3 * K` blocks. The first block is `shift`.
    The second one defines `log_scale = tanh(raw)`, which is in (-1, 1). For component `j` and element `i`,
    `raw[..., (2 + p * K + j) * size + i]` defines the logit of the weight (`p = 0`), the mean (`p = 1`) or the
    log-scale (`p = 2`). With `raw = 0` all weights are equal, and the means are spread around 0, where normalized data
    lie.

    Args:
      num_components: number of logistics in the mixture, an int of at least 1. The default is 4.

    Raises:
      ValueError: if `num_components` is not an int of at least 1.

    References:
      Ho et al., *Flow++: Improving flow-based generative models with variational dequantization and architecture
      design*, 2019, section 3.2.

    Example:

    >>> transform = tfp_glow.transforms.LogisticMixtureCDF(num_components=4)
    >>> raw = tf.zeros((1, 2 * transform.num_parameters))
    >>> x, log_det = transform.inverse(tf.constant([[-0.5, 2.25]]), raw)
    >>> transform.forward(x, raw)[0].numpy().round(3).tolist()
    [[-0.5, 2.25]]
    """

    def __init__(self, num_components: int = 4):
        self.num_components = check_int("num_components", num_components)
        self.num_parameters = 2 + 3 * self.num_components

    def forward(self, x: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Maps latents to data.

        Args:
          x: floats `[..., size]`.
          raw: output of the conditioner, `[..., num_parameters * size]`.

        Returns:
          `(y, log dy/dx)`, both `[..., size]`.
        """
        check_raw(self, x, raw)
        shift, log_scale, components = self._parameters(raw)
        target = (x - shift) * tf.exp(-log_scale)
        root = tf.stop_gradient(_root(target, components))
        # A step of Newton's method, in which the derivative is a constant, has the gradient of the implicit function.
        value, log_slope = _logit_of_mixture(root, components)
        y = root - (value - target) * tf.stop_gradient(tf.exp(-log_slope))
        return y, -(_logit_of_mixture(y, components)[1] + log_scale)

    def inverse(self, y: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Maps data to latents.

        Args:
          y: floats `[..., size]`.
          raw: output of the conditioner, `[..., num_parameters * size]`.

        Returns:
          `(x, log dx/dy)`, both `[..., size]`.
        """
        check_raw(self, y, raw)
        shift, log_scale, components = self._parameters(raw)
        value, log_slope = _logit_of_mixture(y, components)
        return value * tf.exp(log_scale) + shift, log_slope + log_scale

    def _parameters(self, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, Components]:
        """Returns shift and log-scale, `[..., size]`, and the components' log-weights, means and log-scales.

        Those of the components are `[..., num_components, size]`.
        """
        number, batch = self.num_components, tf.shape(raw)[:-1]
        size = raw.shape[-1] // self.num_parameters
        shift, raw_scale, raw = tf.split(raw, [size, size, 3 * number * size], axis=-1)
        logits, mean, log_scale = tf.unstack(tf.reshape(raw, tf.concat([batch, [3, number, size]], axis=0)), axis=-3)
        # With these means, quantiles of a logistic distribution, and this scale, the mixture is nearly logistic.
        places = [(j + 0.5) / number for j in range(number)]
        start = tf.constant([[math.log(p / (1.0 - p))] for p in places], raw.dtype)
        log_scale = _LEAST_LOG_SCALE + tf.nn.softplus(log_scale - _LEAST_LOG_SCALE - 0.5)
        return shift, tf.tanh(raw_scale), (tf.nn.log_softmax(logits, axis=-2), start + mean, log_scale)


def _logit_of_mixture(y: tf.Tensor, components: Components) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns `logit(F(y))` and the logarithm of its derivative, `[..., size]`, precise also where `F(y)` is 0 or 1."""
    log_weight, mean, log_scale = components
    z = (y[..., tf.newaxis, :] - mean) * tf.exp(-log_scale)
    log_below, log_above = tf.math.log_sigmoid(z), tf.math.log_sigmoid(-z)
    log_cdf = tf.reduce_logsumexp(log_weight + log_below, axis=-2)
    log_rest = tf.reduce_logsumexp(log_weight + log_above, axis=-2)
    log_density = tf.reduce_logsumexp(log_weight + log_below + log_above - log_scale, axis=-2)
    return log_cdf - log_rest, log_density - log_cdf - log_rest


def _root(target: tf.Tensor, components: Components) -> tf.Tensor:
    """Returns `y` with `logit(F(y)) = target`, by bisection between the least and the greatest component's quantile."""
    _, mean, log_scale = components
    quantiles = mean + tf.exp(log_scale) * target[..., tf.newaxis, :]

    def halve(i: tf.Tensor, low: tf.Tensor, high: tf.Tensor) -> tuple[tf.Tensor, ...]:
        middle = 0.5 * (low + high)
        above = _logit_of_mixture(middle, components)[0] > target
        return i + 1, tf.where(above, low, middle), tf.where(above, middle, high)

    number = _NUM_BISECTIONS[target.dtype]
    start = (0, tf.reduce_min(quantiles, axis=-2), tf.reduce_max(quantiles, axis=-2))
    _, low, high = tf.while_loop(lambda i, *_: i < number, halve, start, maximum_iterations=number)
    return 0.5 * (low + high)
