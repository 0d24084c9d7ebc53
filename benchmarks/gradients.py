# SPDX-License-Identifier: Apache-2.0
"""Gradients by rebuilt activations against stored ones: `python -m benchmarks.gradients K WIDTH BATCH [STEPS]`.

Trains a flow for a while on smooth random images, so that no parameter is at its start any more, and prints the
relative difference |reversible - stored| / |stored| of the whole gradient (Euclidean norms), in float32 and float64
with the same weights; beside it, for scale, that of stored float32 against stored float64.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import math
import sys

import keras
import tensorflow as tf

import tfp_glow
from benchmarks.harness import NUM_LEVELS, SHAPE, show


def images(batch, seed):
    """Smooth colour fields with a little noise, in pixel units."""
    coarse = tf.random.stateless_uniform((batch, 5, 5, SHAPE[-1]), (seed, 0))
    smooth = tf.image.resize(coarse, SHAPE[:2], "bicubic")
    noisy = 20.0 + 200.0 * smooth + 10.0 * tf.random.stateless_normal((batch, *SHAPE), (seed, 1))
    return tf.floor(tf.clip_by_value(noisy, 0.0, 255.0)) + tf.random.stateless_uniform((batch, *SHAPE), (seed, 2))


def make_flow(num_steps, width, backprop, dtype="float32"):
    return tfp_glow.glow(SHAPE, NUM_LEVELS, num_steps, width, backprop=backprop, seed=0, dtype=dtype)


def value_and_gradient(flow, x):
    variables = flow.trainable_variables
    with tf.GradientTape() as tape:
        loss = -tf.reduce_mean(flow.log_prob(x)) / (math.prod(SHAPE) * math.log(2.0))
    return loss, tape.gradient(loss, variables)


def trained_weights(num_steps, width, batch, steps):
    flow = make_flow(num_steps, width, "stored")
    tfp_glow.initialize(flow, images(batch, 0))
    optimizer = keras.optimizers.Adamax(1e-3)
    optimizer.build(flow.trainable_variables)

    @tf.function(autograph=False)
    def step(x):
        loss, gradient = value_and_gradient(flow, x)
        optimizer.apply(gradient, flow.trainable_variables)
        return loss

    losses = [float(step(images(batch, 1 + n))) for n in range(steps)]
    show("bits_per_dim_first", losses[0])
    show("bits_per_dim_last", losses[-1])
    return [v.numpy() for v in flow.variables]


def gradient_of(weights, num_steps, width, backprop, dtype, x):
    flow = make_flow(num_steps, width, backprop, dtype)
    for variable, value in zip(flow.variables, weights, strict=True):
        variable.assign(tf.cast(value, variable.dtype))
    gradient = tf.function(lambda x: value_and_gradient(flow, x)[1], autograph=False)(tf.cast(x, dtype))
    return tf.concat([tf.reshape(tf.cast(g, "float64"), [-1]) for g in gradient], axis=0)


def relative_difference(a, b):
    return float(tf.norm(a - b) / tf.norm(b))


def main(num_steps, width, batch, steps=50):
    weights = trained_weights(num_steps, width, batch, steps)
    x = images(batch, 10**6)
    stored = {}
    for dtype in ("float32", "float64"):
        stored[dtype] = gradient_of(weights, num_steps, width, "stored", dtype, x)
        rebuilt = gradient_of(weights, num_steps, width, "reversible", dtype, x)
        show(f"reversible_against_stored_{dtype}", relative_difference(rebuilt, stored[dtype]))
    show("stored_float32_against_float64", relative_difference(stored["float32"], stored["float64"]))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
