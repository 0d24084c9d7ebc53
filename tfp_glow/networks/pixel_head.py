# SPDX-License-Identifier: Apache-2.0
"""`PixelHead`: parameters of a channel from features of the image and the earlier channels of the pixels."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from tfp_glow._checks import check_activation, check_bool, check_int
from tfp_glow._types import PolicyLike, SeedLike, Shape
from tfp_glow.networks._seeds import as_seed_generator
from tfp_glow.networks.pixel_inputs import PixelInputs


@keras.saving.register_keras_serializable("tfp_glow")
class PixelHead(keras.Layer):
    """Computes the parameters of a channel from features of each pixel and from the earlier channels.

    For a pair `[kept, features]`, the layer computes

    ```
    output = conv1x1(activation(features + conv3x3(scaled(kept)))) + skip
    ```

    `scaled` rounds pixel values and scales them to `[-1, 1]`, as `PixelInputs` does. `skip` is 0, or
    `conv3x3(scaled(kept))` with another kernel. The output layer starts at zero, so the initial output is `skip`.

    Args:
      out_channels: number of output channels, an int of at least 1.
      num_bits: bits per channel value of `kept`, an int of at least 1. Default: 8.
      activation: name of a Keras activation, or a callable. Default: `"relu"`.
      seed: an int or a `keras.random.SeedGenerator`, for the initial kernel. Default: None, Keras's global seed.
      dtype: dtype or dtype policy of the layer. The output layer and `skip` compute in the dtype of the
        variables. Default: None, Keras's global policy.
      skip: a bool. True adds the linear path `skip` above. Default: False.
      skip_initializer: Keras initializer of the kernel of `skip`. Default: `"zeros"`.
      **kwargs: further arguments of `keras.Layer`.

    Input shape:
      A pair of `[batch, H, W, channels]`, with at least one channel, and `[batch, H, W, features]`.

    Output shape:
      `[batch, H, W, out_channels]`.

    Raises:
      ValueError: if `out_channels` or `num_bits` is not an integer of at least 1, if `skip` is not a bool, if Keras has
        no activation or initializer of the given name, or if the layer is built for inputs without earlier channels.

    References:
      Salimans et al., *PixelCNN++*, 2017, section 2.2.

    Example:
      >>> PixelHead(out_channels=15)([keras.ops.zeros((1, 8, 8, 2)), keras.ops.zeros((1, 8, 8, 16))]).shape
      TensorShape([1, 8, 8, 15])
    """

    def __init__(self, out_channels: int, num_bits: int = 8, activation: str | Callable = "relu",
                 seed: SeedLike = None, dtype: PolicyLike = None, skip: bool = False, skip_initializer: Any = "zeros",
                 **kwargs: Any) -> None:
        super().__init__(dtype=dtype, autocast=False, **kwargs)  # Half precision would round pixel values.
        self.out_channels = check_int("out_channels", out_channels)
        self.num_bits = check_int("num_bits", num_bits)
        self.activation = check_activation("activation", activation)
        self.skip, self.skip_initializer = check_bool("skip", skip), keras.initializers.get(skip_initializer)
        self._he_normal = keras.initializers.HeNormal(seed=as_seed_generator(seed))
        self.scaled = PixelInputs(self.num_bits, dtype=self.variable_dtype, name="scaled")
        self.conv_out = keras.layers.Conv2D(self.out_channels, 1, kernel_initializer="zeros",
                                            dtype=self.variable_dtype, name="conv_out")
        self.conv_skip = keras.layers.Conv2D(
            self.out_channels, 3, padding="same", use_bias=False, kernel_initializer=self.skip_initializer,
            dtype=self.variable_dtype, name="conv_skip") if self.skip else None

    def build(self, input_shape: Sequence[Shape]) -> None:
        kept, features = map(tuple, input_shape)
        if not kept[-1]:
            raise ValueError("PixelHead requires at least one earlier channel; received inputs of the shape "
                             f"{kept}. Use a Conv2D layer for a first channel.")
        self.conv_kept = keras.layers.Conv2D(features[-1], 3, padding="same", kernel_initializer=self._he_normal,
                                             dtype=self.dtype_policy, name="conv_kept")
        self.conv_kept.build(kept)
        if self.conv_skip is not None:
            self.conv_skip.build(kept)
        self.conv_out.build(features)

    def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        kept, features = inputs
        scaled = self.scaled(kept)
        output = self.conv_out(self.activation(ops.cast(features, self.compute_dtype) + self.conv_kept(scaled)))
        return output if self.conv_skip is None else output + self.conv_skip(scaled)

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        return (*input_shape[1][:-1], self.out_channels)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "out_channels": self.out_channels, "num_bits": self.num_bits,
                "activation": keras.activations.serialize(self.activation), "skip": self.skip,
                "skip_initializer": keras.initializers.serialize(self.skip_initializer)}
