# SPDX-License-Identifier: Apache-2.0
"""Whole numbers as points: with uniform noise, or with noise from a flow that knows the image."""

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.bijectors import FlowBijector, initialize
from tfp_glow.bijectors._single_pass import forward_and_log_det, is_transformed
from tfp_glow.models.quantization import dequantized, uniform_noise

tfd = tfp.distributions


class Dequantization:
    """Makes points `x + u` of whole numbers `x`, with noise `u` in [0, 1) and its log-density `log q(u | x)`.

    `log p(x + u) - log q(u | x)` is, on average over `u`, a lower bound of `log P(x)`, the log of the density's
    integral over the bin. For uniform noise `log q` is 0.

    Args:
      distribution: the density p, a `tfd.Distribution`.
      flow: the distribution q, such as `tfp_glow.dequantizer` makes; None for uniform noise.

    Raises:
      ValueError: if `flow` is not of uniform noise, conditioned on an event and of an event's shape and dtype.

    Reference: Ho, Chen, Srinivas, Duan and Abbeel, *Flow++*, 2019, section 3.1.
    """

    def __init__(self, distribution, flow=None):
        self._dtype, self._event_shape = distribution.dtype, tuple(distribution.event_shape)
        self.flow = flow
        if flow is None:
            return
        bijector = flow.bijector if is_transformed(flow) else None
        base = getattr(flow, "distribution", None)
        shapes = [getattr(bijector, name, None) for name in ("event_shape", "latent_shape", "context_shape")]
        if not (isinstance(bijector, FlowBijector) and isinstance(getattr(base, "distribution", base), tfd.Uniform)):
            raise ValueError("Argument `dequantizer` must be a tfd.TransformedDistribution of uniform noise in (0, 1) "
                             f"by a FlowBijector, such as tfp_glow.dequantizer makes; received {flow!r}.")
        if shapes != [self._event_shape] * 3 or flow.dtype != self._dtype:
            raise ValueError("Argument `dequantizer` must be over noise of the shape of an event, given an event as "
                             f"context: three times {self._event_shape}, in {self._dtype.name}; received shapes "
                             f"{', '.join(map(str, shapes))}, in {flow.dtype.name}.")

    def __call__(self, x, seed):
        """`(points, log_q)` of a batch of events, with a seed as for `uniform_noise`; floats are points already."""
        if x.dtype.is_floating:
            return dequantized(x, self._dtype), tf.zeros([], self._dtype)
        return self.with_noise(x, uniform_noise(x, self._dtype, seed))

    def with_noise(self, x, noise):
        """`(points, log_q)` of whole numbers and uniform noise of their shape: q moves the noise given."""
        x, noise = tf.cast(x, self._dtype), tf.cast(noise, self._dtype)
        if self.flow is None:
            return x + noise, tf.zeros([], self._dtype)
        u, log_det = forward_and_log_det(self.flow.bijector, self._inside(noise), len(self._event_shape), context=x)
        return x + u, -log_det

    def initialize(self, points):
        """Sets the data-dependent parameters of q, if it has any, from a batch of points."""
        if self.flow is not None:
            x = tf.floor(points)
            initialize(self.flow, self._inside(points - x), context=x)

    def _inside(self, noise):
        """Noise off 0 and 1, whose logits are infinite."""
        least = np.finfo(self._dtype.as_numpy_dtype).eps / 2
        return tf.clip_by_value(noise, least, 1.0 - least)
