# SPDX-License-Identifier: Apache-2.0
"""`PixelMADE`: parameters of all channels of a pixel from features of the pixel and from its earlier channels."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from tfp_glow._checks import check_activation, check_int, check_number
from tfp_glow._types import PolicyLike, SeedLike, Shape
from tfp_glow.networks._seeds import as_seed_generator
from tfp_glow.networks.pixel_inputs import PixelInputs


@keras.saving.register_keras_serializable("tfp_glow")
class PixelMADE(keras.Layer):
    """Computes the parameters of each channel of a pixel from features of the pixel and from the earlier channels.

    For a pair `[pixel, features]`, the outputs of channel `k` are

    ```
    mean = features[-channels + k] + scaled[:k] @ linear[:k, k]
    output[k] = activation(features @ kernel_k + scaled[:k] @ earlier_k + bias_k) @ kernel_out_k + bias_out_k
    output[k] = output[k] + mean * unit
    ```

    `scaled` rounds the values of the pixel and scales them to `[-1, 1]`, as `PixelInputs` does. The last `channels`
    features are a linear prediction of the pixel from other pixels, and `mean` is one that also uses the earlier
    channels. `kernel_out_k` and the biases start at zero, so the initial output is `mean * unit`.

    Args:
      unit: outputs of a channel per unit of `mean`, a sequence of numbers. Its length is the number of outputs per
        channel. Zeros leave the linear prediction out.
      hidden_size: number of hidden units of each channel, an int of at least 1.
      num_bits: bits per channel value of `pixel`, an int of at least 1. Default: 8.
      activation: name of a Keras activation, or a callable. Default: `"relu"`.
      linear_initializer: Keras initializer of `linear`, a kernel `[channels, channels]`, of which the elements `[i, k]`
        with `i < k` have an effect. Default: `"zeros"`.
      seed: an int or a `keras.random.SeedGenerator`, for the initial kernels. Default: None, Keras's global seed.
      dtype: dtype or dtype policy of the layer. Default: None, Keras's global policy.
      **kwargs: further arguments of `keras.Layer`.

    Input shape:
      A pair of `[batch, channels]` and `[batch, size]`, with at least `channels` features.

    Output shape:
      `[batch, channels, len(unit)]`.

    Raises:
      ValueError: if an argument violates its description above, or if the layer is built for fewer features than
        channels.

    References:
      Germain, Gregor, Murray and Larochelle, *MADE: Masked autoencoder for distribution estimation*, 2015, for the
      masks; Salimans et al., *PixelCNN++*, 2017, section 2.2, for channels that depend on earlier channels.

    Example:
      >>> PixelMADE(unit=[0.0, 1.0], hidden_size=8)([keras.ops.zeros((5, 3)), keras.ops.ones((5, 16))]).shape
      TensorShape([5, 3, 2])
    """

    def __init__(self, unit: Sequence[float], hidden_size: int, num_bits: int = 8, activation: str | Callable = "relu",
                 linear_initializer: Any = "zeros", seed: SeedLike = None, dtype: PolicyLike = None,
                 **kwargs: Any) -> None:
        super().__init__(dtype=dtype, autocast=False, **kwargs)  # Half precision would round pixel values.
        if not isinstance(unit, (list, tuple)) or not unit:
            raise ValueError(f"Argument `unit` must be a sequence of numbers; received {unit!r}.")
        self.unit = [check_number("unit", number, "have numbers") for number in unit]
        self.hidden_size = check_int("hidden_size", hidden_size)
        self.num_bits = check_int("num_bits", num_bits)
        self.activation = check_activation("activation", activation)
        self.linear_initializer = keras.initializers.get(linear_initializer)
        self._he_normal = keras.initializers.HeNormal(seed=as_seed_generator(seed))
        self.scaled = PixelInputs(self.num_bits, dtype=self.dtype_policy, name="scaled")

    def build(self, input_shape: Sequence[Shape]) -> None:
        channels, size = (shape[-1] for shape in input_shape)
        if size < channels:
            raise ValueError("PixelMADE requires at least as many features as channels, as the last features predict "
                             f"the channels; received {size} features for {channels} channels.")
        hidden, outputs = (channels, self.hidden_size), (channels, len(self.unit))

        def weight(name: str, shape: Sequence[int], initializer: Any = "zeros") -> keras.Variable:
            return self.add_weight(name=name, shape=shape, initializer=initializer)

        self._is_earlier = np.triu(np.ones((channels, channels), np.float32), 1)
        self.kernel = weight("kernel", (size, math.prod(hidden)), self._he_normal)
        self.earlier = weight("earlier", (channels, math.prod(hidden)), self._he_normal)
        self.bias = weight("bias", (math.prod(hidden),))
        self.kernel_out, self.bias_out = weight("kernel_out", (*hidden, len(self.unit))), weight("bias_out", outputs)
        self.linear = weight("linear", (channels, channels), self.linear_initializer)

    def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        pixel, features = inputs
        scaled, channels = self.scaled(pixel), pixel.shape[-1]
        features = ops.cast(features, scaled.dtype)
        earlier = ops.convert_to_tensor(self._is_earlier, dtype=scaled.dtype)
        mean = features[:, -channels:] + scaled @ (self.linear * earlier)
        hidden = features @ self.kernel + scaled @ (self.earlier * ops.repeat(earlier, self.hidden_size, axis=1))
        hidden = self.activation(hidden + self.bias)
        # Matrix products of the parts are faster than one batched product.
        outputs = [part @ kernel for part, kernel in zip(
            ops.split(hidden, channels, axis=1), ops.unstack(self.kernel_out), strict=True)]
        unit = ops.convert_to_tensor(self.unit, dtype=scaled.dtype)
        return ops.stack(outputs, axis=1) + self.bias_out + mean[:, :, tf.newaxis] * unit

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        return (*input_shape[0], len(self.unit))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "unit": self.unit, "hidden_size": self.hidden_size, "num_bits": self.num_bits,
                "activation": keras.activations.serialize(self.activation),
                "linear_initializer": keras.initializers.serialize(self.linear_initializer)}
