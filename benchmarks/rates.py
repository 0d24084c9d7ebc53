# SPDX-License-Identifier: Apache-2.0
"""The machine's own rates: `python -m benchmarks.rates K WIDTH BATCH`, in GFLOP/s, one a line.

`matmul` is a product of two large matrices. `conv` is the coupling networks' convolutions and nothing else, no bias,
ReLU, coupling or optimizer: at each level a chain of K networks, forward, and forward with both gradients. The rates of
the whole weigh the levels as the flow does, by the time each takes.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import sys

import tensorflow as tf

from benchmarks import work
from benchmarks.harness import median_seconds, show


def matmul_rate(dtype, size=2048):
    a, b = (tf.cast(tf.random.normal((size, size)), dtype) for _ in range(2))
    product = tf.function(tf.matmul, autograph=False)
    product(a, b)
    # One element is read back, so that the product is done but not copied.
    return 2 * size**3 / median_seconds(lambda: product(a, b)[0, 0].numpy(), 15) / 1e9


def chain(x, kernels):
    """K networks, each fed with half of the channels of the last one's output."""
    for network in kernels:
        y = x
        for kernel in network:
            y = tf.nn.conv2d(y, kernel, strides=1, padding="SAME")
        x = y[..., :x.shape[-1]]
    return y


def chain_seconds(side, channels, num_steps, width, batch, dtype):
    """Seconds of one level's chain: forward, and forward with gradients."""
    def kernel(size, inputs, outputs):
        return tf.cast(tf.random.normal((size, size, inputs, outputs), stddev=(size**2 * inputs) ** -0.5), dtype)

    x = tf.cast(tf.random.normal((batch, side, side, channels // 2)), dtype)
    kernels = [[kernel(*shape) for shape in work.convolutions(channels, width)] for _ in range(num_steps)]
    cotangent = tf.ones((batch, side, side, channels), dtype)

    @tf.function(autograph=False)
    def forward(x, kernels):
        return chain(x, kernels)

    @tf.function(autograph=False)
    def both(x, kernels):
        with tf.GradientTape() as tape:
            tape.watch([x, kernels])
            y = chain(x, kernels)
        return tape.gradient(y, [x, kernels], cotangent)

    forward(x, kernels), both(x, kernels)
    return (median_seconds(lambda: forward(x, kernels)[0, 0, 0, 0].numpy(), 15),
            median_seconds(lambda: both(x, kernels)[0][0, 0, 0, 0].numpy(), 15))


def main(num_steps, width, batch):
    show("ideal_step_gflop", work.step_flops(num_steps, width, batch) / 1e9)
    for dtype in ("float32", "bfloat16"):
        show(f"matmul_{dtype}", matmul_rate(dtype))
        totals = [0.0, 0.0, 0.0]
        for side, channels in work.levels():
            gflop = num_steps * work.forward_flops(side, channels, width, batch) / 1e9
            forward, both = chain_seconds(side, channels, num_steps, width, batch, dtype)
            show(f"conv_{dtype}_{side}x{side}_forward", gflop / forward)
            show(f"conv_{dtype}_{side}x{side}_training", 3 * gflop / both)
            totals = [total + more for total, more in zip(totals, (gflop, forward, both), strict=True)]
        show(f"conv_{dtype}_forward", totals[0] / totals[1])
        show(f"conv_{dtype}_training", 3 * totals[0] / totals[2])


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
