# SPDX-License-Identifier: Apache-2.0
"""`CausalResNet`: a residual network whose features of a pixel depend on earlier pixels only."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from tfp_glow._checks import check_activation, check_bool, check_int, check_odd
from tfp_glow._tracking import set_layer_attributes
from tfp_glow._types import PolicyLike, SeedLike, Shape
from tfp_glow.networks._container import Container
from tfp_glow.networks._seeds import as_seed_generator


@keras.saving.register_keras_serializable("tfp_glow")
class CausalConv2D(keras.Layer):
    """Convolves an image with a kernel that does not reach later pixels, in the order of rows from top to bottom.

    The output at a pixel depends on the rows above it, on the pixels left of it, and if `includes_pixel` is True on the
    pixel itself. All of them are at most `kernel_size // 2` rows and columns away. The image is padded with zeros.

    Args:
      filters: number of output channels, an int of at least 1.
      kernel_size: width of the kernel in pixels, an odd int of at least 3.
      includes_pixel: a bool. False leaves out the pixel itself. Default: True.
      kernel_initializer: a Keras initializer of the kernel, or its name or config. Default: `"he_normal"`.
      **kwargs: further arguments of `keras.Layer`.

    Input shape:
      `[batch, H, W, channels]`.

    Output shape:
      `[batch, H, W, filters]`.

    Raises:
      ValueError: if an argument violates its description above.

    References:
      van den Oord, Kalchbrenner and Kavukcuoglu, *Pixel recurrent neural networks*, 2016, section 3.4.

    Example:
      >>> layer = CausalConv2D(1, kernel_size=3, includes_pixel=False, kernel_initializer="ones")
      >>> layer(keras.ops.reshape(keras.ops.arange(6.0), (1, 2, 3, 1)))[0, :, :, 0].numpy().tolist()
      [[0.0, 0.0, 1.0], [1.0, 6.0, 7.0]]
    """

    def __init__(self, filters: int, kernel_size: int, includes_pixel: bool = True,
                 kernel_initializer: keras.Initializer | str | dict = "he_normal", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters = check_int("filters", filters)
        self.kernel_size = check_odd("kernel_size", kernel_size)
        self.includes_pixel = check_bool("includes_pixel", includes_pixel)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape: Shape) -> None:
        reach = self.kernel_size // 2
        shape = (reach + 1, self.kernel_size, input_shape[-1], self.filters)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=self.kernel_initializer)
        self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros")
        self._mask = np.ones((*shape[:2], 1, 1), np.float32)
        self._mask[-1, reach + self.includes_pixel:] = 0.0

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        reach = self.kernel_size // 2
        padded = ops.pad(inputs, [(0, 0), (reach, 0), (reach, reach), (0, 0)])
        kernel = self.kernel * ops.convert_to_tensor(self._mask, dtype=inputs.dtype)
        return tf.nn.bias_add(tf.nn.conv2d(padded, kernel, 1, "VALID"), self.bias)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.filters)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "filters": self.filters, "kernel_size": self.kernel_size,
                "includes_pixel": self.includes_pixel,
                "kernel_initializer": keras.initializers.serialize(self.kernel_initializer)}


@keras.saving.register_keras_serializable("tfp_glow")
class CausalResNet(keras.Layer):
    """Applies residual blocks to an image. The features of a pixel depend on earlier pixels only.

    The pixels are ordered by rows from top to bottom, and within a row from left to right. For images `x` of shape
    `[batch, H, W, channels]`, the network computes

    ```
    h = before(x) + place
    h = h + conv1x1(activation(until(activation(h))))    # for each block
    output = h
    ```

    `before` and `until` are causal convolutions: `before` reaches `first_kernel // 2` rows up and as many columns to
    both sides, without the pixel itself, and `until` reaches one row up, with the pixel itself. `place` is the position
    embedding, a learned tensor with one vector of hidden channels per pixel; so all images must have the size for which
    the network was built. It starts at zero, as the 1x1 convolutions do. For a window of the images, a call with the
    second argument `place`, the same window of the embedding, returns the features of the window; those near its border
    differ, because the convolutions pad it with zeros.

    Args:
      width: number of hidden channels, an int of at least 1. It is not the width of the image.
      num_blocks: number of residual blocks, an int of at least 1.
      first_kernel: width of the kernel of `before` in pixels, an odd int of at least 3. Default: 7.
      activation: name of a Keras activation, or a callable. Default: `"relu"`.
      seed: an int or a `keras.random.SeedGenerator`, for the initial kernels. Default: None, Keras's global seed.
      dtype: dtype or dtype policy of the layer. `"mixed_bfloat16"` computes in bfloat16 with float32 weights. Default:
        None, Keras's global policy.
      **kwargs: further arguments of `keras.Layer`.

    Input shape:
      `[batch, H, W, channels]`, for images of height `H` and width `W` in pixels.

    Output shape:
      `[batch, H, W, width]`.

    Raises:
      ValueError: if an argument violates its description above.

    Attributes:
      reach: number of rows and columns around a pixel on which its features depend, an int.

    References:
      van den Oord, Kalchbrenner and Kavukcuoglu, *Pixel recurrent neural networks*, 2016, section 3.5; He et al.,
      *Identity mappings in deep residual networks*, 2016, for the order of the layers in a block.

    Example:
      >>> CausalResNet(width=8, num_blocks=2)(keras.ops.zeros((1, 8, 8, 3))).shape
      TensorShape([1, 8, 8, 8])
    """

    def __init__(self, width: int, num_blocks: int, first_kernel: int = 7, activation: str | Callable = "relu",
                 seed: SeedLike = None, dtype: PolicyLike = None, **kwargs: Any) -> None:
        super().__init__(dtype=dtype, **kwargs)
        self.width, self.num_blocks = check_int("width", width), check_int("num_blocks", num_blocks)
        self.activation = check_activation("activation", activation)
        he_normal = keras.initializers.HeNormal(seed=as_seed_generator(seed))
        policy = self.dtype_policy
        self.first_kernel = check_odd("first_kernel", first_kernel)
        self.conv_in = CausalConv2D(self.width, self.first_kernel, False, he_normal, dtype=policy, name="conv_in")
        self.blocks = [
            Container(
                causal_conv2d=CausalConv2D(self.width, 3, True, he_normal, dtype=policy, name=f"conv_{index}_0"),
                conv2d=keras.layers.Conv2D(self.width, 1, kernel_initializer="zeros", dtype=policy,
                                           name=f"conv_{index}_1"))
            for index in range(self.num_blocks)]
        set_layer_attributes(self, [layer for block in self.blocks for layer in block])
        self.reach = self.first_kernel // 2 + self.num_blocks

    def build(self, input_shape: Shape) -> None:
        hidden_shape = (*input_shape[:-1], self.width)
        self.place = self.add_weight(name="place", shape=hidden_shape[1:], initializer="zeros")
        self.conv_in.build(input_shape)
        for block in self.blocks:
            for layer in block:
                layer.build(hidden_shape)

    def call(self, inputs: tf.Tensor, place: tf.Tensor | None = None) -> tf.Tensor:
        hidden = self.conv_in(inputs)
        hidden = hidden + ops.cast(self.place if place is None else place, hidden.dtype)
        for until, last in self.blocks:
            hidden = hidden + last(self.activation(until(self.activation(hidden))))
        return hidden

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.width)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "width": self.width, "num_blocks": self.num_blocks,
                "first_kernel": self.first_kernel, "activation": keras.activations.serialize(self.activation)}
