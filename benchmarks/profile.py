# SPDX-License-Identifier: Apache-2.0
"""Where the time of Glow goes: `python -m benchmarks.profile K WIDTH BATCH`, in milliseconds, a part a line.

Timed by turns in one process, so that the parts can be held against the whole:

* `whole`: the flow; in training with its gradient and the optimizer;
* `networks`: its coupling networks alone, at each level a chain of K, with all their gradients in training;
* `flow`: the flow with a network that is next to free in place of each: actnorms, 1x1 convolutions, couplings, splits,
  squeezes and the loop;
* `optimizer`: an update of all parameters, with gradients that are there already.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import dataclasses
import statistics
import sys
import time

import keras
import tensorflow as tf

import tfp_glow
from benchmarks import work
from benchmarks.harness import NUM_LEVELS, SHAPE, show
from tfp_glow import bijectors as tfgb
from tfp_glow.flows.glow import GlowConfig
from tfp_glow.networks import ConvNet


class Bias(keras.Layer):
    """A network that is next to free: the same numbers for every input."""

    def __init__(self, filters):
        super().__init__()
        self.filters = filters

    def build(self, input_shape):
        self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros")

    def call(self, inputs):
        return tf.broadcast_to(self.bias, tf.concat([tf.shape(inputs)[:-1], [self.filters]], axis=0))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.filters)


@dataclasses.dataclass(frozen=True)
class BareConfig(GlowConfig):
    """Glow without its networks."""

    def _step(self, shape, seed):
        return tfgb.Steps([tfgb.ActNorm(shape), tfgb.InvertibleConv1x1(shape, seed=seed),
                           tfgb.AffineCoupling(shape, Bias(shape[-1]))])


def graph(function):
    return tf.function(function, autograph=False)


def flow_calls(flow, x, optimizer=None):
    """One call each of training, log_prob and sampling; training ends with the gradients if there is no optimizer."""
    tfp_glow.initialize(flow, x)
    variables = flow.trainable_variables
    if optimizer:
        optimizer.build(variables)

    @graph
    def step():
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(flow.log_prob(x))
        gradients = tape.gradient(loss, variables)
        if optimizer:
            optimizer.apply(gradients, variables)
            return loss
        return tf.add_n([tf.reshape(g, [-1])[0] for g in gradients])

    return {"training": step, "log_prob": graph(lambda: tf.reduce_sum(flow.log_prob(x))),
            "sampling": graph(lambda: tf.reduce_sum(flow.sample(x.shape[0])))}


def network_calls(num_steps, width, batch):
    """The same of the coupling networks alone; sampling and log_prob evaluate them equally often."""
    chains = []
    for side, channels in work.levels():
        x = tf.random.normal((batch, side, side, channels // 2))
        networks = [ConvNet(width, channels, seed=0) for _ in range(num_steps)]
        for network in networks:
            network.build(x.shape)
        chains.append((x, networks))
    variables = [v.value for _, networks in chains for network in networks for v in network.trainable_variables]

    def forward():
        total = 0.0
        for x, networks in chains:
            for network in networks:
                x = network(x)[..., :x.shape[-1]] + x  # As they start as zero.
            total += tf.reduce_sum(x)
        return total

    @graph
    def both():
        with tf.GradientTape() as tape:
            total = forward()
        return tf.add_n([tf.reshape(g, [-1])[0] for g in tape.gradient(total, variables)])

    return {"training": both, "log_prob": graph(forward), "sampling": graph(forward)}


def optimizer_calls(variables, optimizer):
    gradients = [tf.zeros_like(v) for v in variables]
    optimizer.build(variables)

    @graph
    def update():
        optimizer.apply(gradients, variables)
        return tf.reshape(variables[0], [-1])[0]

    return {"training": update}


def interleaved_medians(calls, runs=15):
    """Median milliseconds of every call, the calls taking turns."""
    times = {name: [] for name in calls}
    for call in calls.values():
        call().numpy()
    for _ in range(runs):
        for name, call in calls.items():
            start = time.perf_counter()
            call().numpy()
            times[name].append(time.perf_counter() - start)
    return {name: 1e3 * statistics.median(values) for name, values in times.items()}


def main(num_steps, width, batch):
    x = tf.random.uniform((batch, *SHAPE)) * 256.0
    config = (SHAPE, NUM_LEVELS, num_steps, width)
    flow = GlowConfig(*config, seed=0, learn_top=False).build()
    parts = {
        "whole": flow_calls(flow, x, keras.optimizers.Adamax(1e-3)),
        "networks": network_calls(num_steps, width, batch),
        "flow": flow_calls(BareConfig(*config, seed=0, learn_top=False).build(), x),
        "optimizer": optimizer_calls(GlowConfig(*config).build().trainable_variables, keras.optimizers.Adamax(1e-3)),
    }
    for task in parts["whole"]:
        for part, value in interleaved_medians({p: calls[task] for p, calls in parts.items() if task in calls}).items():
            show(f"{task}_{part}_ms", round(value, 1))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
