# SPDX-License-Identifier: Apache-2.0
"""`LatentClassifier`: a linear classifier on the latents of the top level of a class-conditional Glow."""

import math

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.bijectors import ConditionalAffine
from tfp_glow.flows import config_of


class LatentClassifier(keras.layers.Layer):
    """Predicts the class of an event from the latents of the top level.

    The logits are a dense layer, initialized to zero, of the mean over the pixels of the top level. The
    class-conditional prior is undone first, so the logits do not depend on the label that an event was encoded with.

    Calling the layer takes latents `[batch, H * W * C]` and, as the keyword argument `context`, the one-hot labels
    `[batch, num_classes]` that they were encoded with. It returns logits `[batch, num_classes]`.

    Args:
      distribution: the flow, made by `tfp_glow.glow(..., num_classes=...)`.

    Raises:
      ValueError: if `distribution` is not a `tfp_glow.glow` with `num_classes`.

    References:
      Kingma and Dhariwal, *Glow: Generative flow with invertible 1x1 convolutions*, 2018; option `weight_y` of the
      published code.
    """

    def __init__(self, distribution: tfp.distributions.Distribution) -> None:
        config = config_of(distribution)
        num_classes = config.arguments.get("num_classes") if config is not None and config.flow == "glow" else None
        if num_classes is None:
            raise ValueError("Argument `weight_y` must be 0 unless the distribution is a tfp_glow.glow with "
                             f"`num_classes`, which has a class-conditional prior; received {distribution!r}.")
        dtype = distribution.dtype.name
        super().__init__(dtype=dtype, name="classifier")
        (prior,) = (part for part in distribution.submodules if isinstance(part, ConditionalAffine))
        self._top_shape, self._undo_prior = prior.event_shape, prior.forward
        self.dense = keras.layers.Dense(num_classes, kernel_initializer="zeros", dtype=dtype)
        self.dense.build((None, self._top_shape[-1]))
        self.built = True

    def call(self, latents: tf.Tensor, context: tf.Tensor | None = None) -> tf.Tensor:
        """Computes the logits of a batch of latents, see the class."""
        # The latents of the top level follow those of all other levels.
        top = tf.reshape(latents[:, -math.prod(self._top_shape):], (-1, *self._top_shape))
        return self.dense(tf.reduce_mean(self._undo_prior(top, context=context), axis=(1, 2)))

    @staticmethod
    def bits(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """Computes the cross-entropy of labels, in bits per event.

        Args:
          labels: integer labels, `[batch]`.
          logits: `[batch, num_classes]`.

        Returns:
          A float tensor `[batch]`.
        """
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits) / math.log(2.0)
