# SPDX-License-Identifier: Apache-2.0
"""`LatentClassifier`: predicts classes from the latents of a class-conditional Glow."""

import math

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.bijectors import ConditionalAffine
from tfp_glow.flows import config_of


class LatentClassifier(keras.layers.Layer):
    """Computes class logits from the latents of a class-conditional Glow.

    Glow is a multi-scale flow: each level outputs a part of the latents. The classifier uses the latents `z` of the
    last level only, of shape `[batch, h, w, c]`:

    ```
    u = z * exp(log_scale) + shift
    logits = dense(mean(u, axes=(h, w)))
    ```

    `shift` and `log_scale` belong to the class-conditional prior of the last level, for the label that the event was
    encoded with. The first line undoes this prior, so the logits do not depend on that label. `dense` is a learned
    dense layer whose kernel and bias start at zero.

    Args:
      distribution: a distribution that `tfp_glow.glow(..., num_classes=...)` returned.

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
        """Computes the logits of a batch of latents.

        Args:
          latents: the flat latents of all levels, floats `[batch, latent_size]`.
          context: the one-hot labels that the events were encoded with, `[batch, num_classes]`. Required.

        Returns:
          The logits, a float tensor `[batch, num_classes]`.
        """
        # The latents of the last level follow those of all other levels.
        top = tf.reshape(latents[:, -math.prod(self._top_shape):], (-1, *self._top_shape))
        return self.dense(tf.reduce_mean(self._undo_prior(top, context=context), axis=(1, 2)))

    @staticmethod
    def bits(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """Computes the cross-entropy `-log2(softmax(logits)[label])` of each event, in bits.

        Args:
          labels: integer labels in `[0, num_classes)`, `[batch]`.
          logits: floats, `[batch, num_classes]`.

        Returns:
          A float tensor `[batch]`.
        """
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits) / math.log(2.0)
