# SPDX-License-Identifier: Apache-2.0
"""What a trained flow is asked: densities, latents and samples, with their arguments checked."""

import numpy as np
import tensorflow as tf

from tfp_glow._checks import check_int, check_number
from tfp_glow.models.quantization import check_finite


class FlowQueries:
    """The methods of `FlowModel` that leave its weights alone.

    Whoever mixes this in has `distribution`, `event_shape` and `functions`, a `FlowFunctions`.

    Where `condition_spec` is not None every one needs a `condition`: labels `[...]`, whole numbers, or contexts
    `[..., *context_shape]`, whose batch broadcasts to that of the events. Else there must be none.
    """

    @property
    def condition_spec(self):
        """A `tf.TensorSpec` of a batch of what events are conditioned on: `labels` or `context`; None for nothing."""
        return self.functions.condition.spec

    def log_prob(self, x, seed=0, condition=None, noise=None):
        """Log-density of events, in nats.

        Args:
          x: `[..., *event_shape]`; floats are points, whole numbers bins that get uniform noise.
          seed: an int, for that noise: the same seed, the same noise.
          condition: labels or contexts, see above.
          noise: that noise itself, uniform in [0, 1), of the shape of `x`; then `seed` is not used.

        Returns:
          A float tensor of the shape of the batch.

        Raises:
          ValueError: if `x` does not end in `event_shape`, or is not finite; or `condition` or `noise` is not as said.
        """
        x, rank = self._checked("x", x), len(self.event_shape)
        if noise is None:
            seed = tf.constant(seed, tf.int32)
            return self._over_batch(self.functions.log_prob, x, rank, seed, condition=condition)
        noise = self._checked("noise", noise)
        if x.dtype.is_floating or noise.shape != x.shape:
            raise ValueError("Argument `noise` must be of the shape of `x`, and `x` of whole numbers; received noise "
                             f"of shape {noise.shape} for `x` of shape {x.shape} and dtype {x.dtype.name}.")
        noise = tf.reshape(noise, (-1, *self.event_shape))
        return self._over_batch(self.functions.log_prob_with_noise, x, rank, noise, condition=condition)

    def bits_per_dim(self, x, seed=0, condition=None):
        """`-log_prob(x) / (D log 2)`: bits per dimension, of arguments as of `log_prob`."""
        return self._over_batch(self.functions.bits_per_dim, self._checked("x", x), len(self.event_shape),
                                tf.constant(seed, tf.int32), condition=condition)

    def importance_weighted_bits(self, x, num_samples=50, seed=0, condition=None):
        """`-log2(mean_k p(x + u_k) / q(u_k | x)) / D`, over draws `u_k` of the noise: a tighter bound of bits/dim.

        With one draw it is `bits_per_dim` of the same seed. On average it falls with their number, towards
        `-log2 P(x) / D`, where `P(x)` is the integral of the density over the bin. Draws are taken one after the other,
        so memory does not grow with their number.

        Args:
          x: `[..., *event_shape]`, whole numbers.
          num_samples: how many draws, an int.
          seed: an int, for the noise.
          condition: labels or contexts, see above.

        Returns:
          A float tensor of the shape of the batch.

        Raises:
          ValueError: as `log_prob`; or if `x` is not of whole numbers, or `num_samples` not a positive int.

        Reference: Burda, Grosse and Salakhutdinov, *Importance weighted autoencoders*, 2016, section 3.
        """
        x = self._checked("x", x)
        if x.dtype.is_floating:
            raise ValueError(f"Argument `x` must be whole numbers, which get noise; received {x.dtype.name}.")
        number = tf.constant(check_int("num_samples", num_samples), tf.int32)
        return self.functions.to_bits(self._over_batch(
            self.functions.importance_weighted, x, len(self.event_shape), number, tf.constant(seed, tf.int32),
            condition=condition))

    def encode(self, x, condition=None):
        """Latents of events: the flow's `inverse`; whole numbers are taken at the middle of their bins.

        Args:
          x: `[..., *event_shape]`.
          condition: labels or contexts, see above.

        Returns:
          A float tensor `[..., *latent_shape]`, where for images `latent_shape` is `(H * W * C,)`.

        Raises:
          ValueError: as `log_prob`, or if the distribution has no bijector.
        """
        _ = self.latent_shape
        return self._over_batch(self.functions.encode, self._checked("x", x), len(self.event_shape),
                                condition=condition)

    def decode(self, latents, condition=None):
        """Events of latents: the flow's `forward`.

        Args:
          latents: `[..., *latent_shape]`.
          condition: labels or contexts, see above.

        Returns:
          `[..., *event_shape]`: whole numbers (uint8 up to 8 bits, uint16 above) if `num_bits` is set, else floats.

        Raises:
          ValueError: if `latents` has not the latent shape, `condition` is not as said, or the distribution has no
            bijector.
        """
        latents = self._checked("latents", latents, self.latent_shape)
        return self._over_batch(self.functions.decode, latents, len(self.latent_shape), condition=condition)

    def reconstruct(self, x, condition=None):
        """`decode(encode(x))`; equal to `x` for images of whole numbers, up to the flow's numerical error."""
        return self.decode(self.encode(x, condition), condition)

    def sample(self, n=1, temperature=1.0, seed=None, condition=None):
        """Draws events.

        Args:
          n: how many, an int.
          temperature: factor on the latents' deviation from their mean; below 1 for likelier samples.
          seed: an int for reproducible samples, or None.
          condition: one label or context for all, or `n` of them.

        Returns:
          `[n, *event_shape]`, typed as by `decode`.

        Raises:
          ValueError: if `n` is not a positive int, `condition` is not as said, `temperature` is negative, or it is not
            1 and the distribution has no bijector.
        """
        check_int("n", n)
        check_number("temperature", temperature, "not be negative", lambda value: value >= 0.0)
        if temperature != 1.0:
            _ = self.latent_shape
        seed = int(np.random.randint(2**31 - 1)) if seed is None else check_int("seed", seed, minimum=0)
        temperature = tf.constant(temperature, self.distribution.dtype)
        condition = self.functions.condition.of_batch(condition, (n,))
        return self.functions.sample(tf.constant(n), temperature, tf.constant(seed), *condition)

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

    def _over_batch(self, function, value, rank, *arguments, condition=None):
        """Calls a function over `[batch, *event]` on any batch shape, for events of a rank."""
        split = value.shape.rank - rank
        condition = self.functions.condition.of_batch(condition, tuple(value.shape[:split]))
        result = function(tf.reshape(value, (-1, *value.shape[split:])), *arguments, *condition)
        return tf.reshape(result, (*value.shape[:split], *result.shape[1:]))
