# SPDX-License-Identifier: Apache-2.0
"""Tests that each pass evaluates a network once, and that the cache returns no outdated result."""

import gc

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from counting_layer import Counting

import tfp_glow
from tfp_glow import bijectors as tfgb

tfb, tfd = tfp.bijectors, tfp.distributions


def flow_of(how):
    networks = [Counting(4), Counting(4)]
    couplings = [tfgb.AffineCoupling((4,), n, mask, "exp") for n, mask in zip(
        networks, ("channel", "channel_reversed"), strict=True)]
    bijector = {"steps": tfgb.Steps, "chain": tfb.Chain, "invert": lambda c: tfb.Invert(tfb.Chain(c))}[how](couplings)
    for network in networks:
        network.count.assign(0)
    return tfd.TransformedDistribution(tfd.MultivariateNormalDiag(tf.zeros(4)), bijector), networks


@pytest.mark.parametrize("how", ["steps", "chain", "invert"])
@pytest.mark.parametrize("wrap", [lambda f: f, tf.function], ids=["eager", "graph"])
@pytest.mark.parametrize("what", ["log_prob", "sample", "sample_then_log_prob"])
def test_each_network_is_evaluated_exactly_once(how, wrap, what):
    flow, networks = flow_of(how)
    x = tf.random.normal((3, 4))
    calls = {"log_prob": lambda: flow.log_prob(x), "sample": lambda: flow.sample(3),
             "sample_then_log_prob": lambda: flow.log_prob(flow.sample(3))}
    wrap(calls[what])()
    assert [int(n.count) for n in networks] == [1, 1]


@pytest.mark.parametrize("bijector", [
    lambda: tfgb.ActNorm((4,)), lambda: flow_of("steps")[0].bijector,
    lambda: tfgb.Repeat(lambda: tfgb.ActNorm((4,)), 2)], ids=["act_norm", "steps", "repeat"])
def test_a_change_of_weights_invalidates_cached_log_dets(bijector):
    bijector = bijector()
    flow = tfd.TransformedDistribution(tfd.MultivariateNormalDiag(tf.zeros(4)), bijector)
    x = tf.random.normal((3, 4))
    kept_alive = bijector.inverse(x)
    before = flow.log_prob(x)

    def change():
        for variable in bijector.trainable_variables:
            variable.assign_add(0.1 * tf.ones_like(variable))

    change()
    after = flow.log_prob(x)
    np.testing.assert_allclose(after, flow.log_prob(tf.identity(x)), rtol=1e-6)
    assert np.any(before != after) and kept_alive is not None

    @tf.function
    def in_a_graph():
        first = flow.log_prob(x)
        change()
        return first, flow.log_prob(x), flow.log_prob(tf.identity(x))

    first, second, fresh = in_a_graph()
    np.testing.assert_allclose(second, fresh, rtol=1e-6)
    assert np.any(first != second)


def test_graphs_do_not_capture_cached_eager_results():
    bijector = tfgb.ActNorm((4,))
    y = tf.random.normal((3, 4))
    x = bijector.inverse(y)
    log_det = tf.function(lambda: bijector.inverse_log_det_jacobian(y))
    log_det()
    bijector.log_scale.assign(tf.ones(4))
    np.testing.assert_allclose(log_det(), -4.0 * np.ones(3))
    assert x is not None


def test_a_tape_records_gradients_after_a_cached_pass():
    flow, _ = flow_of("steps")
    sample = flow.sample(3)
    flow.log_prob(sample)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(flow.log_prob(sample))
    gradients = tape.gradient(loss, flow.trainable_variables)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(flow.log_prob(tf.identity(sample)))
    for received, expected in zip(gradients, tape.gradient(loss, flow.trainable_variables), strict=True):
        np.testing.assert_allclose(received, expected, rtol=1e-5, atol=1e-5)


def test_the_cache_does_not_grow():
    bijector = tfgb.ActNorm((4,))
    storage = bijector._cache.storage
    y = tf.random.normal((3, 4))
    bijector.inverse(tf.identity(y))
    gc.collect()
    before = len(storage)
    for _ in range(300):
        bijector.inverse_log_det_jacobian(bijector.forward(bijector.inverse(tf.identity(y))))
    gc.collect()
    assert len(storage) <= before


def test_initialize_reaches_chains_and_nested_distributions():
    inner = tfd.TransformedDistribution(tfd.MultivariateNormalDiag(tf.zeros(3)), tfgb.ActNorm((3,)))
    flow = tfd.TransformedDistribution(inner, tfb.Chain([tfgb.ActNorm((3,)), tfb.Scale(3.0)]))
    batch = tf.random.normal((500, 3), mean=7.0, stddev=2.0)
    latents = tfp_glow.initialize(flow, batch)
    np.testing.assert_allclose(tf.reduce_mean(latents, axis=0), np.zeros(3), atol=1e-4)
    np.testing.assert_allclose(tf.math.reduce_std(latents, axis=0), np.ones(3), atol=1e-4)
    assert all(m.is_initialized for m in flow.submodules if isinstance(m, tfgb.FlowBijector))
