# SPDX-License-Identifier: Apache-2.0
"""`ConvNet`: the coupling network of Glow."""

from typing import Any

import keras
import tensorflow as tf

from tfp_glow._checks import check_int
from tfp_glow._types import PolicyLike, SeedLike, Shape
from tfp_glow.networks._context import Inputs, InputShape, concatenate_context, shape_with_context
from tfp_glow.networks._seeds import as_seed_generator
from tfp_glow.networks.conv_layers import NormalizedConv2D, ZeroConv2D


@keras.saving.register_keras_serializable("tfp_glow")
class ConvNet(keras.Layer):
    """Applies three convolutions to an image, with kernels of 3x3, 1x1 and 3x3 pixels.

    Actnorm (a learned shift and scale per channel) and ReLU follow each of the first two convolutions. The last
    convolution starts at zero, so the initial output is zero.

    Args:
      width: number of hidden channels, an int of at least 1. It is not the width of the image.
      out_channels: number of output channels, an int of at least 1. An `AffineCoupling` of images with `C`
        channels, `C` even, requires `C` for a channel mask and `2 * C` for a checkerboard mask.
      seed: an int or a `keras.random.SeedGenerator`, for the initial kernels. Default: None, Keras's global seed.
      dtype: dtype or dtype policy of the layer. `"mixed_bfloat16"` computes in bfloat16 with float32 weights.
        Default: None, Keras's global policy.
      **kwargs: further arguments of `keras.Layer`.

    Input shape:
      `[batch, H, W, channels]`, for images of height `H` and width `W`. A coupling with a context passes a pair
      `[kept, context]` instead. `kept` is the unchanged part of the images, `[batch, H, W, channels]`. `context` has
      the shape `[batch, size]` or `[batch, H, W, size]`. The network repeats a context `[batch, size]` at every pixel
      and appends the context to the channels.

    Output shape:
      `[batch, H, W, out_channels]`.

    Raises:
      ValueError: if `width` or `out_channels` is not an integer of at least 1.

    References:
      Kingma and Dhariwal, *Glow: Generative flow with invertible 1x1 convolutions*, 2018, appendix A.

    Example:
      >>> ConvNet(width=16, out_channels=4)(keras.ops.zeros((1, 8, 8, 2))).shape
      TensorShape([1, 8, 8, 4])
    """

    def __init__(self, width: int, out_channels: int, seed: SeedLike = None, dtype: PolicyLike = None,
                 **kwargs: Any) -> None:
        super().__init__(dtype=dtype, **kwargs)
        self.width = check_int("width", width)
        self.out_channels = check_int("out_channels", out_channels)
        normal = keras.initializers.RandomNormal(stddev=0.05, seed=as_seed_generator(seed))
        policy = self.dtype_policy
        self.conv_in = NormalizedConv2D(self.width, 3, normal, "relu", dtype=policy, name="conv_in")
        self.conv_hidden = NormalizedConv2D(self.width, 1, normal, "relu", dtype=policy, name="conv_hidden")
        self.conv_out = ZeroConv2D(self.out_channels, 3, dtype=policy, name="conv_out")

    def build(self, input_shape: InputShape) -> None:
        input_shape = shape_with_context(input_shape)
        hidden_shape = (*input_shape[:-1], self.width)
        self.conv_in.build(input_shape)
        self.conv_hidden.build(hidden_shape)
        self.conv_out.build(hidden_shape)

    def call(self, inputs: Inputs) -> tf.Tensor:
        return self.conv_out(self.conv_hidden(self.conv_in(concatenate_context(inputs))))

    def initialize(self, inputs: Inputs) -> None:
        """Sets the actnorm parameters of each convolution that is not initialized yet, from a batch.

        The network must be built.

        Args:
          inputs: a batch of images `[batch, H, W, channels]`, or a pair `[kept, context]` as in a call.
        """
        self.conv_hidden.initialize(self.conv_in.initialize(concatenate_context(inputs)))

    def compute_output_shape(self, input_shape: InputShape) -> Shape:
        return (*shape_with_context(input_shape)[:-1], self.out_channels)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "width": self.width, "out_channels": self.out_channels}
