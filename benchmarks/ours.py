# SPDX-License-Identifier: Apache-2.0
"""Times this package's Glow: `python -m benchmarks.ours K WIDTH BATCH [memory] [reversible] [bfloat16] [parts]`.

With `parts` each of two cores works on half of the batch, one thread an operation; see `tfp_glow.in_parts`.
"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if "parts" in sys.argv:
    os.environ["TF_NUM_INTRAOP_THREADS"] = "1"

import keras
import numpy as np
import tensorflow as tf

import tfp_glow
from benchmarks.harness import NUM_LEVELS, SHAPE, Program, run


def build(num_steps, width, batch, options):
    flow = tfp_glow.glow(
        SHAPE, NUM_LEVELS, num_steps, width, seed=0, learn_top=False,
        backprop="reversible" if "reversible" in options else "stored",
        network_dtype="mixed_bfloat16" if "bfloat16" in options else None)
    x = tf.random.uniform((batch, *SHAPE)) * 256.0
    tfp_glow.initialize(flow, x)
    variables = flow.trainable_variables
    optimizer = keras.optimizers.Adamax(1e-3)
    optimizer.build(variables)

    def by_parts(function, x, combine="concat"):
        return tfp_glow.in_parts(function, x, 2, combine) if "parts" in options else function(x)

    def loss_and_gradients(x):
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(flow.log_prob(x))
        return loss, tape.gradient(loss, variables)

    @tf.function(autograph=False)
    def step(x):
        loss, gradients = by_parts(loss_and_gradients, x, "mean")
        optimizer.apply(gradients, variables)
        return loss

    log_prob = tf.function(lambda x: by_parts(flow.log_prob, x), autograph=False)
    sample = tf.function(
        lambda: by_parts(flow.bijector.forward, flow.distribution.sample(batch)) if "parts" in options
        else flow.sample(batch), autograph=False)

    def round_trip():
        z = flow.bijector.inverse(x)
        return float(tf.reduce_max(tf.abs(flow.bijector.forward(tf.identity(z)) - x))) / 256.0

    return Program(
        params=sum(int(np.prod(v.shape)) for v in variables),
        state_bytes=lambda: sum(int(np.prod(v.shape)) * v.dtype.size for v in variables) + sum(
            v.numpy().nbytes for v in optimizer.variables),
        step=lambda: step(x).numpy(),
        log_prob=lambda: log_prob(x).numpy(),
        sample=lambda: sample().numpy(),
        round_trip=round_trip)


if __name__ == "__main__":
    run(build)
