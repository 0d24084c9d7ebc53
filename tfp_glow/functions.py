# SPDX-License-Identifier: Apache-2.0
"""What can be asked of a trained distribution, as graph functions over batches of any size."""

import functools
import math

import tensorflow as tf

from tfp_glow.bijectors.passes import is_transformed
from tfp_glow.events import dequantized, quantized


class FlowFunctions:
    """The `tf.function`s that `FlowModel`'s methods call and `export_saved_model` serves.

    Events are `[batch, *event_shape]`, latents `[batch, *latent_shape]`, seeds int32 scalars.

    Args:
      distribution: a `tfd.Distribution`; `encode`, `decode` and temperature need a `tfd.TransformedDistribution`.
      num_bits: bits of a pixel, for events that come out as whole numbers; None for floats.
    """

    def __init__(self, distribution, num_bits):
        self.distribution, self.num_bits = distribution, num_bits
        self.event_shape = tuple(distribution.event_shape)

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
        """`(events, seed) -> [batch]`, in nats."""
        return _function(lambda x, seed: self.distribution.log_prob(self.points(x, (seed, 0))))

    @functools.cached_property
    def bits_per_dim(self):
        """`(events, seed) -> [batch]`."""
        return _function(lambda x, seed: self.to_bits(self.log_prob(x, seed)))

    @functools.cached_property
    def encode(self):
        """`(events) -> latents`."""
        return _function(lambda x: self.distribution.bijector.inverse(self.points(x)))

    @functools.cached_property
    def decode(self):
        """`(latents) -> events`."""
        return _function(lambda z: quantized(self.distribution.bijector.forward(z), self.num_bits))

    @functools.cached_property
    def sample(self):
        """`(number, temperature, seed) -> events`; the temperature scales the latents' deviation from their mean."""
        return _function(self._sample)

    def _sample(self, number, temperature, seed):
        seed = tf.stack([seed, 0])
        if not self.has_latents:
            return quantized(self.distribution.sample(number, seed=seed), self.num_bits)
        base = self.distribution.distribution
        latents = base.sample(number, seed=seed)
        try:
            mean = base.mean()
        except NotImplementedError:
            mean = tf.zeros([], latents.dtype)
        return quantized(self.distribution.bijector.forward(mean + temperature * (latents - mean)), self.num_bits)


def _function(python_function):
    return tf.function(python_function, autograph=False, reduce_retracing=True)
