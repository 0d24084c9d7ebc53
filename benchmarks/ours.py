# SPDX-License-Identifier: Apache-2.0
"""Times this package's Glow on 32x32x3 images: `python -m benchmarks.ours K WIDTH BATCH [reversible] [bfloat16]`.

Prints one figure a line, the same ones as the peers' scripts.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import resource
import sys
import time

import keras
import numpy as np
import tensorflow as tf

import tfp_glow

SHAPE = (32, 32, 3)


def median_seconds(function, runs):
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        function().numpy()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def main(num_steps, width, batch, *options):
    start = time.perf_counter()
    flow = tfp_glow.glow(
        SHAPE, num_levels=3, num_steps=num_steps, width=width, seed=0, learn_top=False,
        backprop="reversible" if "reversible" in options else "stored",
        network_dtype="mixed_bfloat16" if "bfloat16" in options else None)
    optimizer = keras.optimizers.Adamax(1e-3)
    optimizer.build(flow.trainable_variables)
    print("build_s", time.perf_counter() - start)
    print("params", sum(int(np.prod(v.shape)) for v in flow.trainable_variables))
    x = tf.random.uniform((batch, *SHAPE)) * 256.0
    start = time.perf_counter()
    tfp_glow.initialize(flow, x)
    print("initialize_s", time.perf_counter() - start)
    variables = flow.trainable_variables

    @tf.function(autograph=False)
    def step(x):
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(flow.log_prob(x))
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    log_prob = tf.function(flow.log_prob, autograph=False)
    sample = tf.function(lambda: flow.sample(batch), autograph=False)
    start = time.perf_counter()
    step(x)
    print("first_step_s", time.perf_counter() - start)
    print("train_step_s", median_seconds(lambda: step(x), 10))
    log_prob(x)
    print("log_prob_s", median_seconds(lambda: log_prob(x), 7))
    sample()
    print("sample_s", median_seconds(sample, 7))
    z = flow.bijector.inverse(x)
    print("round_trip_max_abs", float(tf.reduce_max(tf.abs(flow.bijector.forward(tf.identity(z)) - x))))
    print("peak_rss_gb", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]), *sys.argv[4:])
