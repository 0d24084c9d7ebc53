# SPDX-License-Identifier: Apache-2.0
"""TFP's `tfb.Glow`: `python -m benchmarks.programs.tfb_glow TASK SETTINGS`, see `command_line`."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import functools
import math

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from benchmarks.programs.command_line import main
from benchmarks.programs.system import System

tfb, tfd = tfp.bijectors, tfp.distributions


def build(first: np.ndarray, seed: int = 0, num_levels: int = 3, num_steps: int = 8, width: int = 128,
          optimizer: str = "Adamax", learning_rate: float = 1e-3, jit: bool = False) -> System:
    """Returns the system, with TFP's default networks; `jit` compiles with XLA."""
    tf_keras.utils.set_random_seed(seed)
    shape = first.shape[1:]
    offset = math.prod(shape) * math.log(256.0)  # Log-density changes so from pixels in [0, 1) to [0, 256).
    glow = tfb.Glow(shape, num_glow_blocks=num_levels, num_steps_per_block=num_steps,
                    coupling_bijector_fn=functools.partial(tfb.GlowDefaultNetwork, num_hidden=width),
                    exit_bijector_fn=tfb.GlowDefaultExitNetwork)
    flow = tfd.TransformedDistribution(tfd.Sample(tfd.Normal(0.0, 1.0), glow.inverse_event_shape(shape)), glow)
    flow.log_prob(tf.constant(first) / 256.0)  # Creates the variables and initializes actnorm.
    variables = glow.trainable_variables
    chosen = getattr(tf_keras.optimizers, optimizer)(learning_rate)
    chosen.build(variables)
    compiled = tf.function(jit_compile=jit)  # Traced for each batch size, as Glow does not take an unknown one.

    @compiled
    def update(x: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(flow.log_prob(x))
        chosen.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    def step(x: tf.Tensor, multiplier: float) -> float:
        chosen.learning_rate = multiplier * learning_rate
        return -update(x).numpy() - offset

    log_prob, sample = compiled(flow.log_prob), compiled(flow.sample)
    return System(
        sum(math.prod(v.shape) for v in variables), lambda images: tf.constant(images) / 256.0, step,
        lambda x: log_prob(x).numpy() - offset, lambda number: sample(number).numpy(),
        lambda x: float(tf.reduce_max(tf.abs(glow.forward(tf.identity(glow.inverse(x))) - x))),
        lambda: sum(v.numpy().nbytes for v in [*variables, *chosen.variables]))


if __name__ == "__main__":
    main(build)
