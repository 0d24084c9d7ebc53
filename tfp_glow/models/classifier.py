# SPDX-License-Identifier: Apache-2.0
"""Glow's classifier: what the top level's latents tell of the class."""

import math

import keras
import tensorflow as tf

from tfp_glow.bijectors import ConditionalAffine
from tfp_glow.flows import GlowConfig, config_of


class LatentClassifier(keras.layers.Layer):
    """Guesses classes by a linear map, zero at first, of the mean over the pixels of the top level's latents.

    They are taken as they were before the class-conditional prior was taken off them, so they do not depend on the
    label that an event was encoded with.

    Args:
      distribution: of `tfp_glow.glow(..., num_classes=...)`.

    Inputs latents `[batch, H * W * C]` and, as the keyword `context`, the one-hot labels that they were encoded with,
    `[batch, num_classes]`; outputs logits `[batch, num_classes]`.

    Raises:
      ValueError: if `distribution` is not such a flow.

    Reference: Kingma and Dhariwal, *Glow*, 2018, the published code: its option `weight_y`.
    """

    def __init__(self, distribution):
        config = config_of(distribution)
        if not isinstance(config, GlowConfig) or config.num_classes is None:
            raise ValueError("Argument `weight_y` must be 0 for a distribution without a class-conditional top prior, "
                             f"which tfp_glow.glow has with num_classes; received {distribution!r}.")
        super().__init__(dtype=config.dtype, name="classifier")
        (prior,) = (part for part in distribution.submodules if isinstance(part, ConditionalAffine))
        self._top_shape, self._undo_prior = prior.event_shape, prior.forward
        self.dense = keras.layers.Dense(config.num_classes, kernel_initializer="zeros", dtype=config.dtype)
        self.dense.build((None, self._top_shape[-1]))
        self.built = True

    def call(self, latents, context=None):
        """Logits of every event's class."""
        top = tf.reshape(latents[:, -math.prod(self._top_shape):], (-1, *self._top_shape))  # It is last of all levels.
        return self.dense(tf.reduce_mean(self._undo_prior(top, context=context), axis=(1, 2)))

    @staticmethod
    def bits(labels, logits):
        """Cross-entropy of whole-numbered labels, `[batch]`, in bits of an event."""
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits) / math.log(2.0)
