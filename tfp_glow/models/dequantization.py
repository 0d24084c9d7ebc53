# SPDX-License-Identifier: Apache-2.0
"""`Dequantization`: adds uniform or variational noise to integers, with the log-density of the noise."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow_probability import distributions as tfd

from tfp_glow.bijectors import FlowBijector, initialize
from tfp_glow.bijectors._single_pass import forward_and_log_det, is_transformed
from tfp_glow.models.quantization import to_points, uniform_noise


class Dequantization:
    """Computes points `x + u` of integers `x` and the log-density `log q(u | x)` of the noise `u` in [0, 1).

    The mean over `u` of `log p(x + u) - log q(u | x)` is a lower bound of `log P(x)`, where `P(x)` is the integral of
    the density `p` over the bin of `x`. For uniform noise `log q` is 0.

    Args:
      distribution: the density `p`, a `tfd.Distribution`.
      flow: the dequantizer `q`, a `tfd.TransformedDistribution` such as `tfp_glow.dequantizer` returns. None means
        uniform noise.

    Attributes:
      flow: the dequantizer, or None.

    Raises:
      ValueError: if `flow` does not transform uniform noise by a `FlowBijector`; or if its noise and its context do not
        have the event shape and the dtype of `distribution`.

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
                             f"by a FlowBijector, such as tfp_glow.dequantizer returns; received {flow!r}.")
        if shapes != [self._event_shape] * 3 or flow.dtype != self._dtype:
            raise ValueError("Argument `dequantizer` must have the distribution's event shape as its event shape, "
                             f"latent shape and context shape, three times {self._event_shape}, and its dtype "
                             f"{self._dtype.name}; received shapes {', '.join(map(str, shapes))} and dtype "
                             f"{flow.dtype.name}.")

    def __call__(self, x: tf.Tensor, seed: Sequence[int | tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """Computes the points of a batch of events and the log-density of their noise.

        Args:
          x: batch of events, `[batch, *event_shape]`. Floats are points already and get no noise.
          seed: two integers, for the noise, see `uniform_noise`.

        Returns:
          A pair `(points, log_q)`. `log_q` has the shape `[batch]`, or `[]` where it is 0.
        """
        if x.dtype.is_floating:
            return to_points(x, self._dtype), tf.zeros([], self._dtype)
        return self.with_noise(x, uniform_noise(x, self._dtype, seed))

    def with_noise(self, x: tf.Tensor, noise: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Computes points and log-density as a call does, from given uniform noise.

        Args:
          x: batch of integers, `[batch, *event_shape]`.
          noise: uniform noise in [0, 1), of the shape of `x`. The dequantizer transforms it, if there is one.

        Returns:
          A pair `(points, log_q)`, as a call returns.
        """
        x, noise = tf.cast(x, self._dtype), tf.cast(noise, self._dtype)
        if self.flow is None:
            return x + noise, tf.zeros([], self._dtype)
        u, log_det = forward_and_log_det(self.flow.bijector, self._clip(noise), len(self._event_shape), context=x)
        return x + u, -log_det

    def initialize(self, points: tf.Tensor) -> None:
        """Sets the data-dependent parameters of the dequantizer, if it has any.

        Args:
          points: batch of points, `[batch, *event_shape]`.
        """
        if self.flow is not None:
            x = tf.floor(points)
            initialize(self.flow, self._clip(points - x), context=x)

    def _clip(self, noise: tf.Tensor) -> tf.Tensor:
        """Clips noise to the inside of (0, 1), as the logits of 0 and 1 are infinite."""
        least = np.finfo(self._dtype.as_numpy_dtype).eps / 2
        return tf.clip_by_value(noise, least, 1.0 - least)
