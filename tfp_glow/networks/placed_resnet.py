# SPDX-License-Identifier: Apache-2.0
"""A residual network that knows where on the image it is."""

import keras

from tfp_glow._checks import check_activation, check_int
from tfp_glow.networks.mlp import as_attributes, shared_seed


@keras.saving.register_keras_serializable("tfp_glow")
class PlacedResNet(keras.Layer):
    """Residual 3x3 convolutions over features that have a learned value for every place of the image.

    `h = conv3x3(x) + place`, then `h = h + second(act(conv3x3(act(h))))` for every block, and `conv1x1(act(h))` as the
    output, which starts at zero, as `second` does in every block. `place` `[height, width, width_of_features]` is a
    parameter: centred objects have borders and middles that are nothing alike.

    Args:
      width: channels of the hidden layers.
      out_channels: channels of the output.
      num_blocks: how many residual blocks.
      second_kernel: side of a block's second convolution, 1 or 3.
      activation: name of a Keras activation.
      seed: an int or `keras.random.SeedGenerator` for the kernels, or None for Keras's global seed.
      dtype: dtype or policy of the layer (`"mixed_bfloat16"` computes in bfloat16 with float32 weights; the output
        layer stays in float32).
      **kwargs: further arguments of `keras.Layer`.

    Inputs `[batch, height, width, channels]`, outputs `[batch, height, width, out_channels]`.

    Raises:
      ValueError: if a size is not a positive whole number, or there is no such activation.

    Reference: He et al., *Identity mappings in deep residual networks*, 2016, for the order within a block.

    >>> PlacedResNet(width=8, out_channels=15, num_blocks=2)(keras.ops.zeros((1, 8, 8, 2))).shape
    TensorShape([1, 8, 8, 15])
    """

    def __init__(self, width, out_channels, num_blocks, second_kernel=1, activation="relu", seed=None, dtype=None,
                 **kwargs):
        super().__init__(dtype=dtype, **kwargs)
        self.width, self.out_channels = check_int("width", width), check_int("out_channels", out_channels)
        self.num_blocks, self.second_kernel = check_int("num_blocks", num_blocks), second_kernel
        if second_kernel not in (1, 3):
            raise ValueError(f"Argument `second_kernel` must be 1 or 3; received {second_kernel!r}.")
        self.activation = check_activation("activation", activation)
        self._he = keras.initializers.HeNormal(seed=shared_seed(seed))
        self.conv_in = self._conv(width, 3, "conv_in")
        self.blocks = [(self._conv(width, 3, f"conv_{index}_0"),
                        self._conv(width, second_kernel, f"conv_{index}_1", kernel_initializer="zeros"))
                       for index in range(num_blocks)]
        as_attributes(self, [layer for block in self.blocks for layer in block])
        self.conv_out = keras.layers.Conv2D(out_channels, 1, kernel_initializer="zeros", dtype=self.variable_dtype,
                                            name="conv_out")

    def _conv(self, filters, kernel_size, name, kernel_initializer=None):
        initializer = kernel_initializer or self._he
        return keras.layers.Conv2D(filters, kernel_size, padding="same", kernel_initializer=initializer,
                                   dtype=self.dtype_policy, name=name)

    def build(self, input_shape):
        hidden_shape = (*input_shape[:-1], self.width)
        self.place = self.add_weight(name="place", shape=(*input_shape[1:-1], self.width), initializer="zeros")
        self.conv_in.build(input_shape)
        for layer in (*(layer for block in self.blocks for layer in block), self.conv_out):
            layer.build(hidden_shape)

    def call(self, inputs):
        hidden = self.conv_in(inputs) + self.place
        for first, second in self.blocks:
            hidden = hidden + second(self.activation(first(self.activation(hidden))))
        return self.conv_out(self.activation(hidden))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.out_channels)

    def get_config(self):
        return {**super().get_config(), "width": self.width, "out_channels": self.out_channels,
                "num_blocks": self.num_blocks, "second_kernel": self.second_kernel,
                "activation": keras.activations.serialize(self.activation)}
