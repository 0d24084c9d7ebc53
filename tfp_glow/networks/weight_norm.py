# SPDX-License-Identifier: Apache-2.0
"""`WeightNormConv2D`: a weight-normalized convolution, with separate parameters for direction and length."""

import math
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from tfp_glow._checks import check_bool, check_int
from tfp_glow._types import Shape


@keras.saving.register_keras_serializable("tfp_glow")
class WeightNormConv2D(keras.Layer):
    """Convolves an image with the weight-normalized kernel `scale * direction / ||direction||`.

    The parameter `direction` has the shape of the kernel, `[kernel_size, kernel_size, channels, filters]`. The norm and
    the learned `scale` have one value per output channel. The convolution has stride 1 and zero padding.

    Args:
      filters: number of output channels, an int of at least 1.
      kernel_size: height and width of the kernel in pixels, an int of at least 1.
      use_scale: a bool. If False, `scale` is 1 and not learned, which suffices if a normalization follows.
        Default: True.
      use_bias: a bool. If True, the layer adds a learned bias. Default: True.
      kernel_initializer: a Keras initializer of `direction`, or its name or config. Default: `"random_uniform"`.
      regularizer: a Keras regularizer of `scale`, or its name or config. Default: None, no regularization.
      **kwargs: further arguments of `keras.Layer`, for example `name` and `dtype`.

    Input shape:
      `[batch, height, width, channels]`.

    Output shape:
      `[batch, height, width, filters]`.

    Raises:
      ValueError: if `filters` or `kernel_size` is not an integer of at least 1, or if `use_scale` or `use_bias` is not
        a bool.

    References:
      Salimans and Kingma, *Weight normalization*, 2016. The initial value of `scale` is from the code of RealNVP's
      authors.

    Example:
      >>> WeightNormConv2D(filters=4, kernel_size=3)(keras.ops.zeros((1, 8, 8, 2))).shape
      TensorShape([1, 8, 8, 4])
    """

    def __init__(self, filters: int, kernel_size: int, use_scale: bool = True, use_bias: bool = True,
                 kernel_initializer: keras.Initializer | str | dict = "random_uniform",
                 regularizer: keras.Regularizer | str | dict | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters = check_int("filters", filters)
        self.kernel_size = check_int("kernel_size", kernel_size)
        self.use_scale = check_bool("use_scale", use_scale)
        self.use_bias = check_bool("use_bias", use_bias)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.regularizer = keras.regularizers.get(regularizer)

    def build(self, input_shape: Shape) -> None:
        shape = (self.kernel_size, self.kernel_size, input_shape[-1], self.filters)
        self.direction = self.add_weight(name="direction", shape=shape, initializer=self.kernel_initializer)
        if self.use_scale:
            initializer = keras.initializers.Constant(math.sqrt(self.kernel_size**2 / 6.0))
            self.scale = self.add_weight(name="scale", shape=(self.filters,), initializer=initializer,
                                         regularizer=self.regularizer)
        if self.use_bias:
            self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros")

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        length = ops.rsqrt(ops.sum(ops.square(self.direction), axis=(0, 1, 2)))
        kernel = self.direction * (length * self.scale if self.use_scale else length)
        outputs = tf.nn.conv2d(inputs, kernel, strides=1, padding="SAME")
        return tf.nn.bias_add(outputs, self.bias) if self.use_bias else outputs

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.filters)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "filters": self.filters, "kernel_size": self.kernel_size,
                "use_scale": self.use_scale, "use_bias": self.use_bias,
                "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
                "regularizer": keras.regularizers.serialize(self.regularizer)}
