# SPDX-License-Identifier: Apache-2.0
"""`PixelFeatures`: features of each pixel of an image from the pixels before it, of all pixels or of one."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from tfp_glow._checks import check_int
from tfp_glow._types import PolicyLike, SeedLike, Shape
from tfp_glow.networks.causal_resnet import CausalConv2D, CausalResNet
from tfp_glow.networks.pixel_inputs import PixelInputs


@keras.saving.register_keras_serializable("tfp_glow")
class PixelFeatures(keras.Layer):
    """Computes features of each pixel from the pixels before it: hidden channels and a linear prediction of the pixel.

    The pixels are ordered by rows from top to bottom, and within a row from left to right. The layer rounds the values
    and scales them to `[-1, 1]`, as `PixelInputs` does. `CausalResNet` maps them, with the marks of black, to hidden
    channels. `CausalConv2D` with a kernel of 3 columns maps the scaled values to the linear prediction.

    The method `at` returns the features of one pixel, from a window of the image.

    Args:
      width: number of hidden channels, an int of at least 1. It is not the width of the image.
      num_blocks: number of residual blocks, an int of at least 1.
      num_bits: bits per channel value, an int of at least 1. Default: 8.
      first_kernel: width of the first kernel of `CausalResNet` in pixels, an odd int of at least 3. Default: 7.
      activation: name of a Keras activation, or a callable. Default: `"relu"`.
      linear_initializer: Keras initializer of the kernel of the linear prediction. Default: `"zeros"`.
      network_dtype: dtype or dtype policy of `CausalResNet`. Default: None, that of the layer.
      seed: an int or a `keras.random.SeedGenerator`, for the initial kernels. Default: None, Keras's global seed.
      **kwargs: further arguments of `keras.Layer`.

    Input shape:
      `[batch, H, W, channels]`, for images of height `H` and width `W` in pixels.

    Output shape:
      `[batch, H, W, width + channels]`.

    Raises:
      ValueError: if an argument violates its description above.

    References:
      van den Oord, Kalchbrenner and Kavukcuoglu, *Pixel recurrent neural networks*, 2016, section 3.5.

    Example:
      >>> layer = PixelFeatures(width=8, num_blocks=1)
      >>> images = keras.random.uniform((2, 8, 8, 3), maxval=256.0)
      >>> of_all, of_one = layer(images), layer.at(images, 5, 2)
      >>> bool(keras.ops.max(keras.ops.abs(of_all[:, 5, 2] - of_one)) < 1e-5)
      True
    """

    def __init__(self, width: int, num_blocks: int, num_bits: int = 8, first_kernel: int = 7,
                 activation: str | Callable = "relu", linear_initializer: Any = "zeros",
                 network_dtype: PolicyLike = None, seed: SeedLike = None, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)  # Half precision would round pixel values.
        self.num_bits = check_int("num_bits", num_bits)
        self.linear_initializer = keras.initializers.get(linear_initializer)
        self.residual = CausalResNet(width, num_blocks, first_kernel, activation, seed,
                                     network_dtype or self.dtype_policy, name="residual")
        self.marked = PixelInputs(self.num_bits, mark_black=True, dtype=self.dtype_policy, name="marked")

    def build(self, input_shape: Shape) -> None:
        self.linear = CausalConv2D(input_shape[-1], 3, False, self.linear_initializer, dtype=self.dtype_policy,
                                   name="linear")
        self.linear.build(input_shape)
        self.residual.build((*input_shape[:-1], 2 * input_shape[-1]))

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return self._features(inputs)

    def at(self, inputs: tf.Tensor, row: Any, column: Any) -> tf.Tensor:
        """Computes the features of one pixel, from the window of the image that they depend on.

        Args:
          inputs: images `[batch, H, W, channels]`.
          row: row of the pixel, an int or a scalar integer tensor.
          column: column of the pixel, an int or a scalar integer tensor.

        Returns:
          The features, `[batch, width + channels]`.
        """
        reach, (height, width) = self.residual.reach, inputs.shape[1:3]
        rows, columns = min(reach + 1, height), min(2 * reach + 1, width)
        top = tf.clip_by_value(row - reach, 0, height - rows)
        left = tf.clip_by_value(column - reach, 0, width - columns)
        window = tf.slice(inputs, [0, top, left, 0], [-1, rows, columns, -1])
        place = tf.slice(self.residual.place.value, [top, left, 0], [rows, columns, -1])
        window.set_shape((inputs.shape[0], rows, columns, inputs.shape[-1]))  # Other runtimes lack `tf.ensure_shape`.
        return self._features(window, place)[:, row - top, column - left]

    def _features(self, images: tf.Tensor, place: tf.Tensor | None = None) -> tf.Tensor:
        marked = self.marked(images)
        hidden = ops.cast(self.residual(marked, place), marked.dtype)
        return ops.concatenate([hidden, self.linear(marked[..., :images.shape[-1]])], axis=-1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.residual.width + input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        residual = self.residual
        return {**super().get_config(), "width": residual.width, "num_blocks": residual.num_blocks,
                "num_bits": self.num_bits, "first_kernel": residual.first_kernel,
                "activation": keras.activations.serialize(residual.activation),
                "linear_initializer": keras.initializers.serialize(self.linear_initializer),
                "network_dtype": residual.dtype_policy.name}
