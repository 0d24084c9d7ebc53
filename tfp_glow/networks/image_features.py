# SPDX-License-Identifier: Apache-2.0
"""`ImageFeatures`: a convolutional network that computes a context from an image."""

from typing import Any

import keras
import tensorflow as tf

from tfp_glow._checks import check_int
from tfp_glow._types import PolicyLike, SeedLike, Shape
from tfp_glow.networks._seeds import as_seed_generator
from tfp_glow.networks.conv_layers import NormalizedConv2D


@keras.saving.register_keras_serializable("tfp_glow")
class ImageFeatures(keras.Layer):
    """Computes features of an image with integer values, for couplings that are conditioned on the image.

    The layer scales each value `x` to `2 * (x + 1/2) / num_levels - 1`, which is in `(-1, 1)`. Two 3x3 convolutions
    follow. Actnorm (a learned shift and scale per channel) and ReLU follow each convolution.

    Args:
      width: number of hidden channels and of output channels, an int of at least 1. It is not the width of the image.
      num_levels: number of gray levels, an int of at least 1. Each channel of a pixel has a value from 0 to
        `num_levels - 1`. Default: 256.
      seed: an int or a `keras.random.SeedGenerator`, for the initial kernels. Default: None, Keras's global seed.
      dtype: dtype or dtype policy of the layer. Default: None, Keras's global policy.
      **kwargs: further arguments of `keras.Layer`.

    Input shape:
      `[batch, H, W, channels]`, for images of height `H` and width `W`.

    Output shape:
      `[batch, H, W, hidden]`, where `hidden` is the argument `width`.

    Raises:
      ValueError: if `width` or `num_levels` is not an integer of at least 1.

    Example:
      >>> ImageFeatures(width=16)(keras.ops.zeros((1, 8, 8, 3))).shape
      TensorShape([1, 8, 8, 16])
    """

    def __init__(self, width: int, num_levels: int = 256, seed: SeedLike = None, dtype: PolicyLike = None,
                 **kwargs: Any) -> None:
        super().__init__(dtype=dtype, **kwargs)
        self.width = check_int("width", width)
        self.num_levels = check_int("num_levels", num_levels)
        normal = keras.initializers.RandomNormal(stddev=0.05, seed=as_seed_generator(seed))
        self.conv_in = NormalizedConv2D(self.width, 3, normal, "relu", dtype=self.dtype_policy, name="conv_in")
        self.conv_out = NormalizedConv2D(self.width, 3, normal, "relu", dtype=self.dtype_policy, name="conv_out")

    def build(self, input_shape: Shape) -> None:
        self.conv_in.build(input_shape)
        self.conv_out.build((*input_shape[:-1], self.width))

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return self.conv_out(self.conv_in(self._center(inputs)))

    def initialize(self, inputs: tf.Tensor) -> None:
        """Sets the actnorm parameters of each convolution that is not initialized yet, from a batch of images.

        The network must be built.

        Args:
          inputs: a batch of images `[batch, H, W, channels]`, with values from 0 to `num_levels - 1`.
        """
        self.conv_out.initialize(self.conv_in.initialize(self._center(inputs)))

    def _center(self, inputs: tf.Tensor) -> tf.Tensor:
        return (inputs + 0.5) * (2.0 / self.num_levels) - 1.0

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.width)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "width": self.width, "num_levels": self.num_levels}
