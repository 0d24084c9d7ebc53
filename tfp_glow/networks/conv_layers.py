# SPDX-License-Identifier: Apache-2.0
"""The two convolutions of Glow's coupling network."""

import keras
import tensorflow as tf
from keras import ops

from tfp_glow._checks import check_int


class _Conv2D(keras.Layer):
    """A stride-1, zero-padded convolution whose output channels have a learned scale, folded into the kernel."""

    def __init__(self, filters, kernel_size, kernel_initializer, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.kernel_size = check_int("filters", filters), check_int("kernel_size", kernel_size)
        self._kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape):
        shape = (self.kernel_size, self.kernel_size, input_shape[-1], self.filters)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=self._kernel_initializer)
        self.log_scale = self.add_weight(name="log_scale", shape=(self.filters,), initializer="zeros")
        self.shift = self.add_weight(name="shift", shape=(self.filters,), initializer="zeros")

    def _convolve(self, inputs, scale):
        """`(conv(inputs, kernel) + shift) * scale`, by `bias_add`, which TensorFlow fuses with its neighbours."""
        kernel, shift = self.kernel * scale, self.shift * scale
        if self.kernel_size == 1:
            pixels = tf.nn.bias_add(ops.reshape(inputs, (-1, inputs.shape[-1])) @ kernel[0, 0], shift)
            return ops.reshape(pixels, (-1, *inputs.shape[1:-1], self.filters))
        return tf.nn.bias_add(tf.nn.conv2d(inputs, kernel, strides=1, padding="SAME"), shift)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.filters)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, "kernel_size": self.kernel_size,
                "kernel_initializer": keras.initializers.serialize(self._kernel_initializer)}


@keras.saving.register_keras_serializable("tfp_glow")
class NormalizedConv2D(_Conv2D):
    """A convolution followed by actnorm: `(conv(x, kernel) + shift) * exp(log_scale)`.

    `initialize(x)` sets `shift` and `log_scale` once, so that the output for `x` has mean 0 and standard deviation 1
    in every channel. Inputs `[batch, height, width, channels]`, outputs the same with `filters` channels.

    Reference: Kingma and Dhariwal, *Glow*, 2018, appendix A and the published code.
    """

    def __init__(self, filters, kernel_size, kernel_initializer=None, **kwargs):
        initializer = kernel_initializer or keras.initializers.RandomNormal(stddev=0.05)
        super().__init__(filters, kernel_size, initializer, **kwargs)

    def build(self, input_shape):
        super().build(input_shape)
        self.initialized = self.add_weight(name="initialized", shape=(), initializer="zeros", dtype="bool",
                                           trainable=False)

    def call(self, inputs):
        return self._convolve(inputs, ops.exp(self.log_scale))

    def initialize(self, inputs):
        """Sets the actnorm from a batch, unless it was set before, and returns the output."""
        if not bool(ops.convert_to_numpy(self.initialized)):
            mean, variance = ops.moments(ops.cast(self(inputs), self.variable_dtype), axes=(0, 1, 2))
            constant = variance <= 1e-12 * (1.0 + ops.square(mean))
            self.shift.assign(self.shift - mean)
            self.log_scale.assign(ops.where(constant, 0.0, -0.5 * ops.log(variance)))
            self.initialized.assign(True)
        return self(inputs)


@keras.saving.register_keras_serializable("tfp_glow")
class ZeroConv2D(_Conv2D):
    """A convolution that starts at zero: `(conv(x, kernel) + shift) * exp(3 * log_scale)`, all parameters zero.

    Inputs `[batch, height, width, channels]`, outputs the same with `filters` channels.

    Reference: Kingma and Dhariwal, *Glow*, 2018, section 3.3 and the published code.
    """

    def __init__(self, filters, kernel_size=3, kernel_initializer="zeros", **kwargs):
        super().__init__(filters, kernel_size, kernel_initializer, **kwargs)

    def call(self, inputs):
        return self._convolve(inputs, ops.exp(3.0 * self.log_scale))
