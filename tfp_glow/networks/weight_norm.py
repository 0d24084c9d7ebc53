# SPDX-License-Identifier: Apache-2.0
"""A convolution whose kernel is a direction and a length."""

import math

import keras
import tensorflow as tf
from keras import ops

from tfp_glow._checks import check_int


@keras.saving.register_keras_serializable("tfp_glow")
class WeightNormConv2D(keras.Layer):
    """A stride-1, zero-padded convolution with kernel `scale * direction / ||direction||`, a norm for each filter.

    Args:
      filters: channels of the output.
      kernel_size: side of the kernel.
      use_scale: whether the length is learned; if not it is 1, for use before a normalisation.
      use_bias: whether a bias is added.
      kernel_initializer: a Keras initialiser of the direction.
      regularizer: a Keras regulariser of `scale`, or None.
      **kwargs: further arguments of `keras.Layer`.

    Inputs `[batch, height, width, channels]`, outputs the same with `filters` channels.

    Reference: Salimans and Kingma, *Weight normalization*, 2016; `scale` starts as in RealNVP's published code.

    >>> WeightNormConv2D(4, 3)(keras.ops.zeros((1, 8, 8, 2))).shape
    TensorShape([1, 8, 8, 4])
    """

    def __init__(self, filters, kernel_size, use_scale=True, use_bias=True, kernel_initializer="random_uniform",
                 regularizer=None, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.kernel_size = check_int("filters", filters), check_int("kernel_size", kernel_size)
        self.use_scale, self.use_bias = use_scale, use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.regularizer = keras.regularizers.get(regularizer)

    def build(self, input_shape):
        shape = (self.kernel_size, self.kernel_size, input_shape[-1], self.filters)
        self.direction = self.add_weight(name="direction", shape=shape, initializer=self.kernel_initializer)
        if self.use_scale:
            start = keras.initializers.Constant(math.sqrt(self.kernel_size**2 / 6.0))
            self.scale = self.add_weight(name="scale", shape=(self.filters,), initializer=start,
                                         regularizer=self.regularizer)
        if self.use_bias:
            self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros")

    def call(self, inputs):
        length = ops.rsqrt(ops.sum(ops.square(self.direction), axis=(0, 1, 2)))
        kernel = self.direction * (length * self.scale if self.use_scale else length)
        outputs = tf.nn.conv2d(inputs, kernel, strides=1, padding="SAME")
        return tf.nn.bias_add(outputs, self.bias) if self.use_bias else outputs

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.filters)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, "kernel_size": self.kernel_size,
                "use_scale": self.use_scale, "use_bias": self.use_bias,
                "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
                "regularizer": keras.regularizers.serialize(self.regularizer)}
