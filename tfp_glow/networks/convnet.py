# SPDX-License-Identifier: Apache-2.0
"""Glow's coupling network."""

import keras
from keras import ops

from tfp_glow._checks import check_int
from tfp_glow.networks._context import joined, joined_shape
from tfp_glow.networks.conv_layers import NormalizedConv2D, ZeroConv2D


@keras.saving.register_keras_serializable("tfp_glow")
class ConvNet(keras.Layer):
    """Three convolutions, 3x3, 1x1 and 3x3: the first two with actnorm and ReLU, the last one starting at zero.

    Args:
      width: channels of the hidden layers.
      out_channels: channels of the output; for `AffineCoupling` over the halves of `C` channels, `C`.
      seed: an int or `keras.random.SeedGenerator` for the kernels, or None for Keras's global seed.
      dtype: dtype or policy of the layer (`"mixed_bfloat16"` computes in bfloat16 with float32 weights).
      **kwargs: further arguments of `keras.Layer`.

    Inputs `[batch, height, width, channels]`, or `[kept, context]` with a context `[batch, size]` for all pixels or
    `[batch, height, width, size]`; outputs `[batch, height, width, out_channels]`.

    Raises:
      ValueError: if `width` or `out_channels` is not a positive whole number.

    Reference: Kingma and Dhariwal, *Glow*, 2018, appendix A.

    >>> ConvNet(width=16, out_channels=4)(keras.ops.zeros((1, 8, 8, 2))).shape
    TensorShape([1, 8, 8, 4])
    """

    def __init__(self, width, out_channels, seed=None, dtype=None, **kwargs):
        super().__init__(dtype=dtype, **kwargs)
        self.width, self.out_channels = check_int("width", width), check_int("out_channels", out_channels)
        if not isinstance(seed, keras.random.SeedGenerator):
            seed = keras.random.SeedGenerator(seed)  # One int would give both kernels the same numbers.
        normal = keras.initializers.RandomNormal(stddev=0.05, seed=seed)
        policy = self.dtype_policy
        self.conv_in = NormalizedConv2D(width, 3, normal, dtype=policy, name="conv_in")
        self.conv_hidden = NormalizedConv2D(width, 1, normal, dtype=policy, name="conv_hidden")
        self.conv_out = ZeroConv2D(out_channels, 3, dtype=policy, name="conv_out")

    def build(self, input_shape):
        input_shape = joined_shape(input_shape)
        hidden_shape = (*input_shape[:-1], self.width)
        self.conv_in.build(input_shape)
        self.conv_hidden.build(hidden_shape)
        self.conv_out.build(hidden_shape)

    def call(self, inputs):
        hidden = ops.relu(self.conv_in(joined(inputs)))
        hidden = ops.relu(self.conv_hidden(hidden))
        return self.conv_out(hidden)

    def initialize(self, inputs):
        """Sets the actnorms of the hidden layers from a batch of inputs; those set before stay."""
        hidden = ops.relu(self.conv_in.initialize(joined(inputs)))
        self.conv_hidden.initialize(hidden)

    def compute_output_shape(self, input_shape):
        return (*joined_shape(input_shape)[:-1], self.out_channels)

    def get_config(self):
        return {**super().get_config(), "width": self.width, "out_channels": self.out_channels}
