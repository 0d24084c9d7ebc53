# SPDX-License-Identifier: Apache-2.0
"""TensorFlow Probability's `tfb.Glow`; its documentation names no optimizer, so Adam at 1e-3 and batches of 64."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import math

import tensorflow as tf
import tf_keras

from benchmarks.budget.child import NUM_LEVELS, STEPS_PER_LEVEL, WIDTH, parse_arguments, run
from benchmarks.budget.loop import System
from benchmarks.peers.tfp_glow import make_flow

BATCH = 64
LEARNING_RATE = 1e-3


def build(first, seed):
    tf_keras.utils.set_random_seed(seed)
    units = math.prod(first.shape[1:]) * math.log(256.0)  # of log-density, from [0, 1) to pixels
    flow = make_flow(STEPS_PER_LEVEL, WIDTH, first.shape[1:], NUM_LEVELS)
    flow.log_prob(tf.constant(first) / 256.0)  # Creates the variables and initialises actnorm.
    variables = flow.bijector.trainable_variables
    optimizer = tf_keras.optimizers.Adam(LEARNING_RATE)
    optimizer.build(variables)

    @tf.function  # Traced for each batch size: Glow's reshapes do not take an unknown one.
    def update(images):
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(flow.log_prob(images / 256.0))
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    @tf.function
    def density(images):
        return flow.log_prob(images / 256.0)

    def step(images, multiplier):
        optimizer.learning_rate = multiplier * LEARNING_RATE
        return -update(tf.constant(images)).numpy() - units

    def log_prob(images):
        return density(tf.constant(images)).numpy() - units

    return System(sum(math.prod(v.shape) for v in variables), step, log_prob)


if __name__ == "__main__":
    run(parse_arguments(__doc__), build, BATCH)
