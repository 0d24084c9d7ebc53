# SPDX-License-Identifier: Apache-2.0
"""What a trained flow is asked: densities, latents and samples, with their arguments checked."""

import numpy as np
import tensorflow as tf

from tfp_glow.bijectors.checks import check_int, check_number
from tfp_glow.events import check_finite


class FlowQueries:
    """The methods of `FlowModel` that leave its weights alone.

    Whoever mixes this in has `distribution`, `event_shape` and `functions`, a `FlowFunctions`.
    """

    def log_prob(self, x, seed=0):
        """Log-density of events, in nats.

        Args:
          x: `[..., *event_shape]`; floats are points, whole numbers bins that get uniform noise.
          seed: an int, for that noise: the same seed, the same noise.

        Returns:
          A float tensor of the shape of the batch.

        Raises:
          ValueError: if `x` does not end in `event_shape`, or is not finite.
        """
        x = self._checked("x", x)
        return self._over_batch(self.functions.log_prob, x, len(self.event_shape), tf.constant(seed, tf.int32))

    def bits_per_dim(self, x, seed=0):
        """`-log_prob(x) / (D log 2)`: bits per dimension, as arguments of `log_prob`."""
        x = self._checked("x", x)
        return self._over_batch(self.functions.bits_per_dim, x, len(self.event_shape), tf.constant(seed, tf.int32))

    def encode(self, x):
        """Latents of events: the flow's `inverse`; whole numbers are taken at the middle of their bins.

        Args:
          x: `[..., *event_shape]`.

        Returns:
          A float tensor `[..., *latent_shape]`, where for images `latent_shape` is `(H * W * C,)`.

        Raises:
          ValueError: as `log_prob`, or if the distribution has no bijector.
        """
        _ = self.latent_shape
        return self._over_batch(self.functions.encode, self._checked("x", x), len(self.event_shape))

    def decode(self, latents):
        """Events of latents: the flow's `forward`.

        Returns:
          `[..., *event_shape]`: whole numbers (uint8 up to 8 bits, uint16 above) if `num_bits` is set, else floats.

        Raises:
          ValueError: if `latents` has not the latent shape, or the distribution has no bijector.
        """
        latents = self._checked("latents", latents, self.latent_shape)
        return self._over_batch(self.functions.decode, latents, len(self.latent_shape))

    def reconstruct(self, x):
        """`decode(encode(x))`; equal to `x` for images of whole numbers, up to the flow's numerical error."""
        return self.decode(self.encode(x))

    def sample(self, n=1, temperature=1.0, seed=None):
        """Draws events.

        Args:
          n: how many, an int.
          temperature: factor on the latents' deviation from their mean; below 1 for likelier samples.
          seed: an int for reproducible samples, or None.

        Returns:
          `[n, *event_shape]`, typed as by `decode`.

        Raises:
          ValueError: if `n` is not a positive int, `temperature` is negative, or it is not 1 and the distribution has
            no bijector.
        """
        check_int("n", n)
        check_number("temperature", temperature, "not be negative", lambda value: value >= 0.0)
        if temperature != 1.0:
            _ = self.latent_shape
        seed = int(np.random.randint(2**31 - 1)) if seed is None else check_int("seed", seed, minimum=0)
        temperature = tf.constant(temperature, self.distribution.dtype)
        return self.functions.sample(tf.constant(n), temperature, tf.constant(seed))

    @property
    def latent_shape(self):
        """Shape of one event's latents, a tuple."""
        return self.functions.latent_shape

    # What these share.

    def _checked(self, argument, value, shape=None):
        shape = self.event_shape if shape is None else shape
        value = tf.convert_to_tensor(value)
        rank = len(shape)
        if value.shape.rank is None or value.shape.rank < rank or tuple(value.shape[-rank:] if rank else ()) != shape:
            raise ValueError(f"Argument `{argument}` must have a shape that ends in {shape}; received {value.shape}.")
        if value.dtype.is_floating:
            value = tf.cast(value, self.distribution.dtype)
        if tf.executing_eagerly():
            check_finite(argument, value)
        return value

    @staticmethod
    def _over_batch(function, value, rank, *arguments):
        """Calls a function over `[batch, *event]` on any batch shape, for events of a rank."""
        split = value.shape.rank - rank
        result = function(tf.reshape(value, (-1, *value.shape[split:])), *arguments)
        return tf.reshape(result, (*value.shape[:split], *result.shape[1:]))
