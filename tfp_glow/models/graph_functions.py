# SPDX-License-Identifier: Apache-2.0
"""`GraphFunctions`: density, encoding and sampling of a distribution as `tf.function`s over batches of any size."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow._types import Shape
from tfp_glow.bijectors._single_pass import is_transformed
from tfp_glow.models.conditions import Condition
from tfp_glow.models.dequantization import Dequantization
from tfp_glow.models.quantization import to_bins, to_points

GraphFunction: TypeAlias = Callable[..., tf.Tensor]


class GraphFunctions:
    """The `tf.function`s that the methods of `FlowModel` call and that `export_saved_model` exports.

    Events have the shape `[batch, *event_shape]`, latents `[batch, *latent_shape]`, and a seed is an int32 scalar. If
    `condition.spec` is not None, each function takes a batch of conditions as an additional last argument.

    Args:
      distribution: a `tfd.Distribution`. `encode`, `decode` and a temperature require a
        `tfd.TransformedDistribution`.
      num_bits: bits per pixel, for events that are returned as integers. None returns floats.
      dequantization: the `Dequantization` that computes points of integers.

    Attributes:
      distribution: the distribution.
      num_bits: bits per pixel, or None.
      dequantization: the `Dequantization`.
      event_shape: shape of one event, a tuple.
      condition: the `Condition` of the distribution.
    """

    def __init__(self, distribution: tfp.distributions.Distribution, num_bits: int | None,
                 dequantization: Dequantization) -> None:
        self.distribution, self.num_bits, self.dequantization = distribution, num_bits, dequantization
        self.event_shape = tuple(distribution.event_shape)
        self.condition = Condition(distribution)

    @property
    def has_latents(self) -> bool:
        """Whether the distribution has a bijector, which `encode` and `decode` require."""
        return is_transformed(self.distribution)

    @property
    def latent_shape(self) -> Shape:
        """Shape of the latents of one event.

        Raises:
          ValueError: if the distribution has no bijector.
        """
        if not self.has_latents:
            raise ValueError("Latents and a temperature require a tfd.TransformedDistribution; the distribution of "
                             f"this model is {self.distribution!r}.")
        return tuple(self.distribution.distribution.event_shape)

    def to_bits(self, log_prob: tf.Tensor) -> tf.Tensor:
        """Converts log-densities in nats to bits per dimension."""
        return -log_prob / (math.prod(self.event_shape) * math.log(2.0))

    def points(self, x: tf.Tensor, seed: Sequence[int | tf.Tensor] | None = None) -> tf.Tensor:
        """Converts a batch of events to points in the distribution's dtype, as `to_points` does."""
        return to_points(x, self.distribution.dtype, seed)

    @functools.cached_property
    def log_prob(self) -> GraphFunction:
        """`(events, seed) -> [batch]`: log-density in nats.

        For integers it is a lower bound of the log-probability of the bin, with noise that `seed` determines.
        """
        return _function(lambda x, seed, *c: self._bound(*self.dequantization(x, (seed, 0)), *c))

    @functools.cached_property
    def log_prob_with_noise(self) -> GraphFunction:
        """`(integers, noise) -> [batch]`: `log_prob` with the given uniform noise in [0, 1), of the integers' shape."""
        return _function(lambda x, noise, *c: self._bound(*self.dequantization.with_noise(x, noise), *c))

    @functools.cached_property
    def importance_weighted(self) -> GraphFunction:
        """`(integers, number, seed) -> [batch]`: log of the mean of `exp(log_prob)` over `number` draws of noise."""
        return _function(self._importance_weighted)

    # The other functions share these three: tracing the flow takes most of the time that they need to build.

    @functools.cached_property
    def _density(self) -> GraphFunction:
        return _function(lambda points, *c: self.distribution.log_prob(points, **self.condition.keywords(*c)))

    @functools.cached_property
    def _inverse(self) -> GraphFunction:
        return _function(lambda points, *c: self.distribution.bijector.inverse(
            points, **self._keywords_for("bijector", *c)))

    @functools.cached_property
    def _forward(self) -> GraphFunction:
        return _function(lambda latents, *c: self.distribution.bijector.forward(
            latents, **self._keywords_for("bijector", *c)))

    def _bound(self, points: tf.Tensor, log_q: tf.Tensor, *condition: tf.Tensor) -> tf.Tensor:
        return self._density(points, *condition) - log_q

    def _importance_weighted(self, x: tf.Tensor, number: tf.Tensor, seed: tf.Tensor,
                             *condition: tf.Tensor) -> tf.Tensor:
        def add(k, total):
            return k + 1, tfp.math.log_add_exp(total, self._bound(*self.dequantization(x, (seed, k)), *condition))

        # One draw at a time, so that memory does not grow with their number. The first draw is that of `log_prob`.
        nothing = tf.fill(tf.shape(x)[:1], tf.constant(-math.inf, self.distribution.dtype))
        _, total = tf.while_loop(lambda k, _: k < number, add, (0, nothing), parallel_iterations=1)
        return total - tf.math.log(tf.cast(number, total.dtype))

    @functools.cached_property
    def bits_per_dim(self) -> GraphFunction:
        """`(events, seed) -> [batch]`: `log_prob` in bits per dimension."""
        return _function(lambda x, seed, *c: self.to_bits(self.log_prob(x, seed, *c)))

    @functools.cached_property
    def encode(self) -> GraphFunction:
        """`(events) -> latents`: the inverse of the bijector. Integers are encoded at the middle of their bins."""
        return _function(lambda x, *c: self._inverse(self.points(x), *c))

    @functools.cached_property
    def decode(self) -> GraphFunction:
        """`(latents) -> events`: the forward transformation, rounded to bins if `num_bits` is not None."""
        return _function(lambda z, *c: to_bins(self._forward(z, *c), self.num_bits))

    @functools.cached_property
    def sample(self) -> GraphFunction:
        """`(number, temperature, seed) -> events`: the temperature scales the deviation of latents from their mean."""
        return _function(self._sample)

    def _sample(self, number: tf.Tensor, temperature: tf.Tensor, seed: tf.Tensor,
                *condition: tf.Tensor) -> tf.Tensor:
        seed = tf.stack([seed, 0])
        if not self.has_latents:
            return to_bins(self.distribution.sample(number, seed=seed), self.num_bits)
        base = self.distribution.distribution
        latents = base.sample(number, seed=seed, **self._keywords_for("distribution", *condition))
        try:
            mean = base.mean()
        except NotImplementedError:
            mean = tf.zeros([], latents.dtype)
        latents = mean + temperature * (latents - mean)
        return to_bins(self._forward(latents, *condition), self.num_bits)

    def _keywords_for(self, part: str, *condition: tf.Tensor) -> dict[str, Any]:
        """Returns the keyword arguments for the distribution's `"bijector"` or its base, `"distribution"`."""
        return self.condition.keywords(*condition).get(f"{part}_kwargs", {})


def _function(python_function: GraphFunction) -> GraphFunction:
    return tf.function(python_function, autograph=False, reduce_retracing=True)
