# SPDX-License-Identifier: Apache-2.0
"""What can be asked of a trained distribution, as graph functions over batches of any size."""

import functools
import math

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.bijectors._single_pass import is_transformed
from tfp_glow.models.conditions import Condition
from tfp_glow.models.quantization import dequantized, quantized


class FlowFunctions:
    """The `tf.function`s that `FlowModel`'s methods call and `export_saved_model` serves.

    Events are `[batch, *event_shape]`, latents `[batch, *latent_shape]`, seeds int32 scalars. Where `condition.spec` is
    not None each takes a last argument more, a batch of conditions.

    Args:
      distribution: a `tfd.Distribution`; `encode`, `decode` and temperature need a `tfd.TransformedDistribution`.
      num_bits: bits of a pixel, for events that come out as whole numbers; None for floats.
      dequantization: what makes points of whole numbers, a `Dequantization`.
    """

    def __init__(self, distribution, num_bits, dequantization):
        self.distribution, self.num_bits, self.dequantization = distribution, num_bits, dequantization
        self.event_shape = tuple(distribution.event_shape)
        self.condition = Condition(distribution)

    @property
    def has_latents(self):
        """Whether the distribution has a bijector, so that `encode` and `decode` make sense."""
        return is_transformed(self.distribution)

    @property
    def latent_shape(self):
        """Shape of one event's latents; raises `ValueError` if there are none."""
        if not self.has_latents:
            raise ValueError("Latents and temperature need a tfd.TransformedDistribution; this model's distribution is "
                             f"{self.distribution!r}.")
        return tuple(self.distribution.distribution.event_shape)

    def to_bits(self, log_prob):
        """Bits per dimension of log-densities in nats."""
        return -log_prob / (math.prod(self.event_shape) * math.log(2.0))

    def points(self, x, seed=None):
        """Points of a batch of events, see `dequantized`."""
        return dequantized(x, self.distribution.dtype, seed)

    @functools.cached_property
    def log_prob(self):
        """`(events, seed) -> [batch]`, in nats; of whole numbers a bound, with the noise that the seed gives."""
        return _function(lambda x, seed, *c: self._bound(*self.dequantization(x, (seed, 0)), *c))

    @functools.cached_property
    def log_prob_with_noise(self):
        """`(whole numbers, noise) -> [batch]`: `log_prob` with uniform noise in [0, 1) of the shape of the events."""
        return _function(lambda x, noise, *c: self._bound(*self.dequantization.with_noise(x, noise), *c))

    @functools.cached_property
    def importance_weighted(self):
        """`(whole numbers, number, seed) -> [batch]`: the log of the mean of `exp(log_prob)` over draws of noise."""
        return _function(self._importance_weighted)

    # The flow itself, by three functions that the others share: tracing it is most of what they take to build.

    @functools.cached_property
    def _density(self):
        return _function(lambda points, *c: self.distribution.log_prob(points, **self.condition.keywords(*c)))

    @functools.cached_property
    def _inverse(self):
        return _function(lambda points, *c: self.distribution.bijector.inverse(
            points, **self._keywords_for("bijector", *c)))

    @functools.cached_property
    def _forward(self):
        return _function(lambda latents, *c: self.distribution.bijector.forward(
            latents, **self._keywords_for("bijector", *c)))

    def _bound(self, points, log_q, *condition):
        return self._density(points, *condition) - log_q

    def _importance_weighted(self, x, number, seed, *condition):
        def add(k, total):
            return k + 1, tfp.math.log_add_exp(total, self._bound(*self.dequantization(x, (seed, k)), *condition))

        # One draw after the other, so that memory does not grow with their number; the first is that of `log_prob`.
        nothing = tf.fill(tf.shape(x)[:1], tf.constant(-math.inf, self.distribution.dtype))
        _, total = tf.while_loop(lambda k, _: k < number, add, (0, nothing), parallel_iterations=1)
        return total - tf.math.log(tf.cast(number, total.dtype))

    @functools.cached_property
    def bits_per_dim(self):
        """`(events, seed) -> [batch]`."""
        return _function(lambda x, seed, *c: self.to_bits(self.log_prob(x, seed, *c)))

    @functools.cached_property
    def encode(self):
        """`(events) -> latents`."""
        return _function(lambda x, *c: self._inverse(self.points(x), *c))

    @functools.cached_property
    def decode(self):
        """`(latents) -> events`."""
        return _function(lambda z, *c: quantized(self._forward(z, *c), self.num_bits))

    @functools.cached_property
    def sample(self):
        """`(number, temperature, seed) -> events`; the temperature scales the latents' deviation from their mean."""
        return _function(self._sample)

    def _sample(self, number, temperature, seed, *condition):
        seed = tf.stack([seed, 0])
        if not self.has_latents:
            return quantized(self.distribution.sample(number, seed=seed), self.num_bits)
        base = self.distribution.distribution
        latents = base.sample(number, seed=seed, **self._keywords_for("distribution", *condition))
        try:
            mean = base.mean()
        except NotImplementedError:
            mean = tf.zeros([], latents.dtype)
        latents = mean + temperature * (latents - mean)
        return quantized(self._forward(latents, *condition), self.num_bits)

    def _keywords_for(self, part, *condition):
        """Keyword arguments of the methods of a transformed distribution's `bijector` or `distribution`."""
        return self.condition.keywords(*condition).get(f"{part}_kwargs", {})


def _function(python_function):
    return tf.function(python_function, autograph=False, reduce_retracing=True)
