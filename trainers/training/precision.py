# SPDX-License-Identifier: Apache-2.0
"""`bfloat16_is_slow`: whether this machine computes convolutions in bfloat16 much more slowly than in float32."""

import functools
import time

import tensorflow as tf

# Without instructions for bfloat16, a CPU took 10 to 60 times as long. With them, less than once. Half of a factor is
# left for noise, so that all workers of a training decide the same.
_SLOW = 1.5
_REPEATS = 5


@functools.cache
def bfloat16_is_slow() -> bool:
    """Returns True if a convolution and its gradients take more than 1.5 times as long in bfloat16 as in float32.

    The first call measures it, in one or two seconds: processors, builds of TensorFlow and devices differ too much for
    a list.
    """
    return _seconds(tf.bfloat16) > _SLOW * _seconds(tf.float32)


def _seconds(dtype: tf.DType) -> float:
    """Returns the least duration of several evaluations of the gradients of a convolution."""
    images, kernel = tf.ones((8, 16, 16, 64), dtype), tf.ones((3, 3, 64, 64), dtype)

    @tf.function
    def gradients(images: tf.Tensor, kernel: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch((images, kernel))
            outputs = tf.square(tf.nn.conv2d(images, kernel, 1, "SAME"))
        return tape.gradient(outputs, (images, kernel))

    def duration() -> float:
        start = time.perf_counter()
        for gradient in gradients(images, kernel):
            gradient.numpy()
        return time.perf_counter() - start

    return min([duration() for _ in range(_REPEATS + 1)][1:])  # The first call traces.
