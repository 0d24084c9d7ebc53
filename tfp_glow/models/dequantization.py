# SPDX-License-Identifier: Apache-2.0
"""`Dequantization`: adds uniform or learned noise to integers and computes the log-density of the noise."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow_probability import distributions as tfd

from tfp_glow.bijectors import FlowBijector, initialize
from tfp_glow.bijectors._single_pass import forward_and_log_det, is_transformed
from tfp_glow.models.quantization import add_noise, to_points, uniform_noise


class Dequantization:
    """Adds dequantization noise to integers and computes the log-density of the noise.

    For an event `x` of integers, the noise `u` has the shape of `x` and values in [0, 1). It is uniform, or a
    dequantizer draws it from a learned distribution `q(u | x)`. A density `p` of float events then gives a lower bound
    of the probability `P(x)`, the integral of `p` over all `x + u`:

        log P(x) >= mean over u of (log p(x + u) - log q(u | x))

    `log q(u | x)` is the log-density of a whole event, and 0 for uniform noise.

    Args:
      distribution: the density `p`, a `tfd.Distribution`. It determines event shape and dtype.
      flow: the dequantizer `q`, a `tfd.TransformedDistribution` such as `tfp_glow.dequantizer(...)` returns. Its
        context is `x`. None (the default) means uniform noise.

    Attributes:
      flow: the dequantizer, or None for uniform noise.

    Raises:
      ValueError: if `flow` is neither None nor a `tfd.TransformedDistribution` of uniform noise by a `FlowBijector`.
      ValueError: if the event shape, latent shape and context shape of `flow` are not all the event shape of
        `distribution`, or if the two dtypes differ.

    References:
      Ho, Chen, Srinivas, Duan and Abbeel, *Flow++: Improving flow-based generative models with variational
      dequantization and architecture design*, 2019, section 3.1.
    """

    def __init__(self, distribution: tfp.distributions.Distribution,
                 flow: tfp.distributions.Distribution | None = None) -> None:
        self._dtype, self._event_shape = distribution.dtype, tuple(distribution.event_shape)
        self.flow = flow
        if flow is None:
            return
        bijector = flow.bijector if is_transformed(flow) else None
        base = getattr(flow, "distribution", None)
        shapes = [getattr(bijector, name, None) for name in ("event_shape", "latent_shape", "context_shape")]
        if not (isinstance(bijector, FlowBijector) and isinstance(getattr(base, "distribution", base), tfd.Uniform)):
            raise ValueError("Argument `dequantizer` must be a tfd.TransformedDistribution of uniform noise in (0, 1) "
                             f"by a FlowBijector, as tfp_glow.dequantizer returns; received {flow!r}.")
        if shapes != [self._event_shape] * 3 or flow.dtype != self._dtype:
            raise ValueError(f"Argument `dequantizer` must have the distribution's event shape {self._event_shape} as "
                             "its event shape, latent shape and context shape, and the distribution's dtype "
                             f"{self._dtype.name}; received shapes {', '.join(map(str, shapes))} and dtype "
                             f"{flow.dtype.name}.")

    def __call__(self, x: tf.Tensor, seed: Sequence[int | tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """Adds noise to a batch of integers and computes the log-density of the noise. Float events get no noise.

        Args:
          x: batch of events, integers or floats, `[batch, *event_shape]`.
          seed: a pair of integers that determines the noise.

        Returns:
          A pair `(points, log_q)`. `points` are the events with noise, floats of the shape of `x`. `log_q` is the
          log-density of the noise per event, in nats: `[batch]`, or the scalar 0 for uniform or no noise.
        """
        return self.with_noise(x, self.draw(x, seed))

    def draw(self, x: tf.Tensor, seed: Sequence[int | tf.Tensor]) -> tf.Tensor | None:
        """Draws uniform noise in [0, 1) for a batch of integers, floats of the shape of `x`, or None for floats `x`.

        Args:
          x: batch of events, integers or floats, `[batch, *event_shape]`.
          seed: a pair of integers that determines the noise.
        """
        return None if x.dtype.is_floating else uniform_noise(x, self._dtype, seed)

    def with_noise(self, x: tf.Tensor, noise: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
        """Adds noise to a batch of integers, from given uniform noise, and computes the log-density of the noise.

        Args:
          x: batch of integers, `[batch, *event_shape]`. Or floats, if `noise` is None.
          noise: uniform noise in [0, 1), floats of the shape of `x`. The dequantizer transforms the noise. Without a
            dequantizer, the noise is added unchanged. None means no noise.

        Returns:
          A pair `(points, log_q)`. `points` are the events with noise, floats of the shape of `x`. `log_q` is the
          log-density of the added noise per event, in nats: `[batch]`, or the scalar 0 for uniform noise.
        """
        if noise is None:
            return to_points(x, self._dtype), tf.zeros([], self._dtype)
        x, noise = tf.cast(x, self._dtype), tf.cast(noise, self._dtype)
        if self.flow is None:
            return add_noise(x, noise), tf.zeros([], self._dtype)
        u, log_det = forward_and_log_det(self.flow.bijector, self._clip(noise), len(self._event_shape), context=x)
        return add_noise(x, u), -log_det

    def initialize(self, points: tf.Tensor) -> None:
        """Sets the data-dependent parameters of the dequantizer. Without a dequantizer it does nothing.

        Args:
          points: batch of events with noise, floats `[batch, *event_shape]`.
        """
        if self.flow is not None:
            x = tf.floor(points)
            initialize(self.flow, self._clip(points - x), context=x)

    def _clip(self, noise: tf.Tensor) -> tf.Tensor:
        """Clips noise to the inside of (0, 1), because the logits of 0 and 1 are infinite."""
        least = np.finfo(self._dtype.as_numpy_dtype).eps / 2
        return tf.clip_by_value(noise, least, 1.0 - least)
