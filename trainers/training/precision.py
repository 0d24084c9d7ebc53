# SPDX-License-Identifier: Apache-2.0
"""`bfloat16_is_slow`: whether this machine computes convolutions in bfloat16 much more slowly than in float32."""

import functools
import time
from collections.abc import Callable

import tensorflow as tf

# A CPU without instructions for bfloat16 took 7 to 20 times as long as in float32, one with them less than once. The
# rest of the factor is for noise: all measurements of a machine must decide the same.
_SLOW = 3.0
_REPEATS = 8


@functools.cache
def bfloat16_is_slow() -> bool:
    """Returns True if a convolution and its gradients take more than three times as long in bfloat16 as in float32.

    The first call measures it, in about two seconds: processors, builds of TensorFlow and devices differ too much for a
    list. It alternates between the two, so that other work on the machine slows down both.
    """
    durations = [_timer(dtype) for dtype in (tf.bfloat16, tf.float32)]
    times = [[duration() for duration in durations] for _ in range(_REPEATS + 1)][1:]  # The first calls trace.
    half, single = map(min, zip(*times, strict=True))
    return half > _SLOW * single


def _timer(dtype: tf.DType) -> Callable[[], float]:
    """Returns a function that evaluates the gradients of a convolution and returns the duration in seconds."""
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

    return duration
