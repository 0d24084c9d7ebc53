# SPDX-License-Identifier: Apache-2.0
"""`PlacedResNet`: a residual network with a learned position embedding."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from tfp_glow._checks import check_activation, check_bool, check_int, check_number
from tfp_glow._tracking import set_layer_attributes
from tfp_glow._types import PolicyLike, SeedLike, Shape
from tfp_glow.networks._container import Container
from tfp_glow.networks._seeds import as_seed_generator


@keras.saving.register_keras_serializable("tfp_glow")
class PlacedResNet(keras.Layer):
    """Applies residual blocks to an image, with a learned position embedding.

    For images `x` of shape `[batch, H, W, channels]`, the network computes

    ```
    h = conv3x3(x) + place
    h = h + second(activation(conv3x3(activation(h))))    # for each block
    output = conv1x1(activation(h)) + skip(x)
    ```

    `place` is the position embedding, a learned tensor with one vector of hidden channels per pixel. It lets the
    network treat the border and the middle of an image differently. `second` is the second convolution of a block.
    `skip` is a 3x3 convolution, or 0. The position embedding, the second convolutions and the output layer start at
    zero, so the initial output is `skip(x)`.

    The position embedding fixes the image size: all images must have the height `H` and the width `W` of the images
    that the network was built for.

    Args:
      width: number of hidden channels, an int of at least 1. It is not the width of the image.
      out_channels: number of output channels, an int of at least 1. None means no output layer: the output is `h`.
      num_blocks: number of residual blocks, an int of at least 1.
      second_kernel: height and width in pixels of the kernel of each second convolution, 1 or 3. Default: 1.
      activation: name of a Keras activation, or a callable. Default: `"relu"`.
      seed: an int or a `keras.random.SeedGenerator`, for the initial kernels. Default: None, Keras's global seed.
      dtype: dtype or dtype policy of the layer. `"mixed_bfloat16"` computes in bfloat16 with float32 weights, except in
        the output layer and in `skip`, which compute in float32. Default: None, Keras's global policy.
      skip: a bool. True adds a 3x3 convolution from the input to the output, `skip` above, which computes in the dtype
        of the variables. So the network can predict a pixel by a mean of its neighbors, and the blocks learn the rest.
        It requires an output layer. Default: False.
      skip_initializer: Keras initializer of the kernel of `skip`. Default: `"zeros"`.
      **kwargs: further arguments of `keras.Layer`.

    Input shape:
      `[batch, H, W, channels]`, for images of height `H` and width `W` in pixels.

    Output shape:
      `[batch, H, W, out_channels]`, or `[batch, H, W, width]` without an output layer.

    Raises:
      ValueError: if `width`, `num_blocks` or an `out_channels` other than None is not an integer of at least 1.
      ValueError: if `skip` is not a bool, or True without an output layer.
      ValueError: if `second_kernel` is neither 1 nor 3, or if Keras has no activation of the given name.

    References:
      He et al., *Identity mappings in deep residual networks*, 2016, for the order of the layers in a block.

    Example:
      >>> PlacedResNet(width=8, out_channels=15, num_blocks=2)(keras.ops.zeros((1, 8, 8, 2))).shape
      TensorShape([1, 8, 8, 15])
    """

    def __init__(self, width: int, out_channels: int | None, num_blocks: int, second_kernel: int = 1,
                 activation: str | Callable = "relu", seed: SeedLike = None, dtype: PolicyLike = None,
                 skip: bool = False, skip_initializer: Any = "zeros", **kwargs: Any) -> None:
        super().__init__(dtype=dtype, autocast=False, **kwargs)  # Half precision would round the input of `skip`.
        self.width = check_int("width", width)
        self.out_channels = None if out_channels is None else check_int("out_channels", out_channels)
        self.num_blocks = check_int("num_blocks", num_blocks)
        self.second_kernel = int(check_number("second_kernel", second_kernel, "be 1 or 3", lambda size: size in (1, 3)))
        self.activation = check_activation("activation", activation)
        if check_bool("skip", skip) and out_channels is None:
            raise ValueError("Argument `skip` must be False without an output layer; received True and "
                             "out_channels=None.")
        self._he_normal = keras.initializers.HeNormal(seed=as_seed_generator(seed))
        self.conv_in = self._conv(self.width, 3, "conv_in")
        self.blocks = [
            Container(
                conv2d=self._conv(self.width, 3, f"conv_{index}_0"),
                conv2d_1=self._conv(self.width, self.second_kernel, f"conv_{index}_1", kernel_initializer="zeros"))
            for index in range(self.num_blocks)]
        set_layer_attributes(self, [layer for block in self.blocks for layer in block])
        self.conv_out = None if self.out_channels is None else keras.layers.Conv2D(
            self.out_channels, 1, kernel_initializer="zeros", dtype=self.variable_dtype, name="conv_out")
        self.skip, self.skip_initializer = skip, keras.initializers.get(skip_initializer)
        self.conv_skip = keras.layers.Conv2D(
            self.out_channels, 3, padding="same", use_bias=False, kernel_initializer=self.skip_initializer,
            dtype=self.variable_dtype, name="conv_skip") if skip else None

    def _conv(self, filters: int, kernel_size: int, name: str,
              kernel_initializer: str | None = None) -> keras.layers.Conv2D:
        initializer = kernel_initializer or self._he_normal
        return keras.layers.Conv2D(filters, kernel_size, padding="same", kernel_initializer=initializer,
                                   dtype=self.dtype_policy, name=name)

    def build(self, input_shape: Shape) -> None:
        hidden_shape = (*input_shape[:-1], self.width)
        self.place = self.add_weight(name="place", shape=(*input_shape[1:-1], self.width), initializer="zeros")
        self.conv_in.build(input_shape)
        if self.conv_skip is not None:
            self.conv_skip.build(input_shape)
        for layer in (*(layer for block in self.blocks for layer in block), self.conv_out):
            if layer is not None:
                layer.build(hidden_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        hidden = self.conv_in(inputs)
        hidden = hidden + ops.cast(self.place, hidden.dtype)
        for first, second in self.blocks:
            hidden = hidden + second(self.activation(first(self.activation(hidden))))
        if self.conv_out is None:
            return hidden
        output = self.conv_out(self.activation(hidden))
        return output if self.conv_skip is None else output + self.conv_skip(inputs)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.out_channels or self.width)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "width": self.width, "out_channels": self.out_channels,
                "num_blocks": self.num_blocks, "second_kernel": self.second_kernel,
                "activation": keras.activations.serialize(self.activation), "skip": self.skip,
                "skip_initializer": keras.initializers.serialize(self.skip_initializer)}
