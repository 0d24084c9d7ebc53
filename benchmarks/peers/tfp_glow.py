# SPDX-License-Identifier: Apache-2.0
"""Times TensorFlow Probability's `tfb.Glow`: `python -m benchmarks.peers.tfp_glow K WIDTH BATCH [memory] [jit]`."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from benchmarks.harness import NUM_LEVELS, SHAPE, Program, run

tfb, tfd = tfp.bijectors, tfp.distributions


def make_flow(num_steps, width, shape=SHAPE, num_levels=NUM_LEVELS):
    """The distribution of images; its variables are created by the first call."""
    glow = tfb.Glow(
        output_shape=shape, num_glow_blocks=num_levels, num_steps_per_block=num_steps,
        coupling_bijector_fn=lambda shape: tfb.GlowDefaultNetwork(shape, num_hidden=width),
        exit_bijector_fn=tfb.GlowDefaultExitNetwork)
    return tfd.TransformedDistribution(tfd.Sample(tfd.Normal(0.0, 1.0), glow.inverse_event_shape(shape)), glow)


def build(num_steps, width, batch, options):
    flow = make_flow(num_steps, width)
    glow = flow.bijector
    x = tf.random.uniform((batch, *SHAPE))
    flow.log_prob(x)  # Creates the variables and initialises actnorm.
    variables = glow.trainable_variables
    optimizer = tf_keras.optimizers.Adamax(1e-3)
    optimizer.build(variables)
    compiled = tf.function(jit_compile="jit" in options)

    @compiled
    def step(x):
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(flow.log_prob(x))
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    log_prob = compiled(flow.log_prob)
    sample = compiled(lambda: flow.sample(batch))

    def round_trip():
        z = glow.inverse(x)
        return float(tf.reduce_max(tf.abs(glow.forward(tf.identity(z)) - x)))

    return Program(
        params=sum(int(np.prod(v.shape)) for v in variables),
        state_bytes=lambda: sum(v.numpy().nbytes for v in [*variables, *optimizer.variables]),
        step=lambda: step(x).numpy(),
        log_prob=lambda: log_prob(x).numpy(),
        sample=lambda: sample().numpy(),
        round_trip=round_trip)


if __name__ == "__main__":
    run(build)
