# SPDX-License-Identifier: Apache-2.0
"""`NormalizedConv2D` and `ZeroConv2D`: the convolutions of Glow's coupling network."""

import math
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from tfp_glow._checks import check_int
from tfp_glow._types import Shape

# With a scale of 1, a Glow of width 512 diverges in its first steps of Adamax at 1e-3. In 300 steps at width 96 and K=8
# on CIFAR-10, 128 gave lower losses than a scale of 1 at first, and about equal losses later. 32 was slower than both.
_FAN_IN_OF_SCALE_1 = 128
_PIXELS_OF_TURNED_GRADIENTS = 64  # For smaller images, turning the kernels takes longer than it saves.


class _Conv2D(keras.Layer):
    """A convolution with stride 1, zero padding, and a learned shift and log-scale per output channel."""

    def __init__(self, filters: int, kernel_size: int, kernel_initializer: keras.Initializer | str | dict,
                 **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters = check_int("filters", filters)
        self.kernel_size = check_int("kernel_size", kernel_size)
        self._kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape: Shape) -> None:
        shape = (self.kernel_size, self.kernel_size, input_shape[-1], self.filters)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=self._kernel_initializer)
        log_scale = keras.initializers.Constant(self._initial_log_scale(math.prod(shape[:-1])))
        self.log_scale = self.add_weight(name="log_scale", shape=(self.filters,), initializer=log_scale)
        self.shift = self.add_weight(name="shift", shape=(self.filters,), initializer="zeros")

    def _initial_log_scale(self, fan_in: int) -> float:
        return 0.0

    def _convolve(self, inputs: tf.Tensor, scale: tf.Tensor,
                  activation: Callable[[tf.Tensor], tf.Tensor] = tf.identity) -> tf.Tensor:
        """Computes `activation((conv(inputs, kernel) + shift) * scale)`, where `scale` has the shape `[filters]`."""
        # TensorFlow fuses `bias_add`, unlike a plain addition, with the operations directly before and after it.
        kernel, shift = self.kernel * scale, self.shift * scale
        if self.kernel_size == 1:
            pixels = ops.reshape(inputs, (-1, inputs.shape[-1])) @ ops.reshape(kernel, kernel.shape[2:])
            pixels = activation(tf.nn.bias_add(pixels, shift))
            return ops.reshape(pixels, (-1, *inputs.shape[1:-1], self.filters))
        return activation(tf.nn.bias_add(_convolution(inputs, kernel), shift))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.filters)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "filters": self.filters, "kernel_size": self.kernel_size,
                "kernel_initializer": keras.initializers.serialize(self._kernel_initializer)}


@keras.saving.register_keras_serializable("tfp_glow")
class NormalizedConv2D(_Conv2D):
    """Convolves an image and applies actnorm: `activation((conv(x, kernel) + shift) * exp(log_scale))`.

    The convolution has stride 1 and zero padding. `shift` and `log_scale` are learned, with one value per output
    channel. Both start at zero. For data-dependent initialization, call `initialize(x)` once: each channel of the
    output for the batch `x`, before the activation, then has mean 0 and standard deviation 1.

    Args:
      filters: number of output channels, an int of at least 1.
      kernel_size: height and width of the kernel in pixels, an int of at least 1.
      kernel_initializer: a Keras initializer of the kernel, or its name or config. Default: None, a normal
        distribution with mean 0 and standard deviation 0.05.
      activation: a Keras activation, which is applied last, or its name. Default: None, no activation.
      **kwargs: further arguments of `keras.Layer`, for example `name` and `dtype`.

    Input shape:
      `[batch, height, width, channels]`.

    Output shape:
      `[batch, height, width, filters]`.

    Raises:
      ValueError: if `filters` or `kernel_size` is not an integer of at least 1.

    References:
      Kingma and Dhariwal, *Glow: Generative flow with invertible 1x1 convolutions*, 2018, appendix A, and the
      authors' code.

    Example:
      >>> layer = NormalizedConv2D(filters=3, kernel_size=1)
      >>> layer.build((None, 4, 4, 2))
      >>> layer.initialize(keras.random.normal((2, 4, 4, 2))).shape
      TensorShape([2, 4, 4, 3])
      >>> layer.initialized.numpy().item()
      True
    """

    def __init__(self, filters: int, kernel_size: int, kernel_initializer: keras.Initializer | str | dict | None = None,
                 activation: Callable[[Any], Any] | str | None = None, **kwargs: Any) -> None:
        initializer = kernel_initializer or keras.initializers.RandomNormal(stddev=0.05)
        super().__init__(filters, kernel_size, initializer, **kwargs)
        self.activation = keras.activations.get(activation)

    def build(self, input_shape: Shape) -> None:
        super().build(input_shape)
        self.initialized = self.add_weight(name="initialized", shape=(), initializer="zeros", dtype="bool",
                                           trainable=False)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return self._convolve(inputs, ops.exp(self.log_scale), self.activation)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "activation": keras.activations.serialize(self.activation)}

    def initialize(self, inputs: tf.Tensor) -> tf.Tensor:
        """Sets `shift` and `log_scale` from a batch, for channels of mean 0 and standard deviation 1.

        The layer must be built. Only the first call sets them; later calls leave them unchanged. A channel whose
        output is constant over the batch gets mean 0 and keeps its scale of 1.

        Args:
          inputs: a batch of images, `[batch, height, width, channels]`.

        Returns:
          The output for `inputs`, `[batch, height, width, filters]`.
        """
        if bool(ops.convert_to_numpy(self.initialized)):
            return self(inputs)
        activation, self.activation = self.activation, keras.activations.linear
        outputs = ops.cast(self(inputs), self.variable_dtype)
        self.activation = activation
        mean, variance = ops.moments(outputs, axes=(0, 1, 2))
        constant = variance <= 1e-12 * (1.0 + ops.square(mean))
        self.shift.assign(self.shift - mean)
        self.log_scale.assign(ops.where(constant, 0.0, -0.5 * ops.log(variance)))
        self.initialized.assign(True)
        return activation(ops.cast((outputs - mean) * ops.exp(self.log_scale), self.compute_dtype))


@keras.saving.register_keras_serializable("tfp_glow")
class ZeroConv2D(_Conv2D):
    """Convolves an image with a kernel that starts at zero: `(conv(x, kernel) + shift) * exp(3 * log_scale)`.

    The convolution has stride 1 and zero padding. `shift` and `log_scale` are learned, with one value per output
    channel. The kernel and `shift` start at zero, so the initial output is zero.

    `log_scale` starts at zero, or at `-log(fan_in / 128) / 3` if the `fan_in = kernel_size**2 * channels` inputs of an
    output value are more than 128. Optimizers such as Adam change each weight by about the learning rate in their
    first step. With this initial scale, that step changes the output by about the same amount at any width.

    Args:
      filters: number of output channels, an int of at least 1.
      kernel_size: height and width of the kernel in pixels, an int of at least 1. Default: 3.
      kernel_initializer: a Keras initializer of the kernel, or its name or config. Default: `"zeros"`.
      **kwargs: further arguments of `keras.Layer`, for example `name` and `dtype`.

    Input shape:
      `[batch, height, width, channels]`.

    Output shape:
      `[batch, height, width, filters]`.

    Raises:
      ValueError: if `filters` or `kernel_size` is not an integer of at least 1.

    References:
      Kingma and Dhariwal, *Glow: Generative flow with invertible 1x1 convolutions*, 2018, section 3.3, and the
      authors' code.

    Example:
      >>> ZeroConv2D(filters=1)(keras.ops.ones((1, 1, 2, 3))).numpy().tolist()
      [[[[0.0], [0.0]]]]
    """

    def __init__(self, filters: int, kernel_size: int = 3,
                 kernel_initializer: keras.Initializer | str | dict = "zeros", **kwargs: Any) -> None:
        super().__init__(filters, kernel_size, kernel_initializer, **kwargs)

    def _initial_log_scale(self, fan_in: int) -> float:
        return -math.log(max(1.0, fan_in / _FAN_IN_OF_SCALE_1)) / 3.0

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return self._convolve(inputs, ops.exp(3.0 * self.log_scale))


def _convolution(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Computes `tf.nn.conv2d(x, kernel, 1, "SAME")`, with gradients that are faster on CPUs."""
    has_large_images = None not in x.shape[1:3] and math.prod(x.shape[1:3]) >= _PIXELS_OF_TURNED_GRADIENTS
    if x.dtype == tf.float32 and has_large_images and not tf.config.get_visible_devices("GPU"):
        return _convolution_with_turned_gradients(x, kernel)
    return tf.nn.conv2d(x, kernel, 1, "SAME")


@tf.custom_gradient
def _convolution_with_turned_gradients(x: tf.Tensor, kernel: tf.Tensor) -> Any:
    # oneDNN is faster in these equivalent forms: the gradient of the input as a convolution with the turned kernel, and
    # the gradient of the kernel as that of the turned kernel if this has fewer input channels. In bfloat16 it is not.
    def gradient(dy: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        dx = tf.nn.conv2d(dy, _turned(kernel), 1, "SAME")
        if x.shape[-1] > dy.shape[-1]:
            return dx, _turned(_kernel_gradient(dy, x, kernel.shape))
        return dx, _kernel_gradient(x, dy, kernel.shape)

    return tf.nn.conv2d(x, kernel, 1, "SAME"), gradient


def _turned(kernel: tf.Tensor) -> tf.Tensor:
    """Turns a kernel by 180 degrees and exchanges input and output channels."""
    return tf.transpose(tf.reverse(kernel, (0, 1)), (0, 1, 3, 2))


def _kernel_gradient(x: tf.Tensor, dy: tf.Tensor, kernel_shape: tf.TensorShape) -> tf.Tensor:
    return tf.raw_ops.Conv2DBackpropFilter(
        input=x, filter_sizes=(*kernel_shape[:2], x.shape[-1], dy.shape[-1]), out_backprop=dy,
        strides=[1, 1, 1, 1], padding="SAME")
