# SPDX-License-Identifier: Apache-2.0
"""A training by hand that starts before the data-dependent initialization warns once, and nothing else does."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from small_flows import SMALL_FLOWS, events

import tfp_glow

tfb, tfd = tfp.bijectors, tfp.distributions
MESSAGE = r"data-dependent parameters are not set.*tfp_glow.initialize\(flow, batch\)"


def points(flow):
    return tf.constant(events(flow, batch=8) + 0.5, tf.float32)


def loss_and_gradient(flow, x):
    with tf.GradientTape() as tape:
        loss = -tf.reduce_mean(flow.log_prob(x))
    return loss, tape.gradient(loss, flow.trainable_variables)


def warnings_of(function, *args):
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        function(*args)
    return [str(w.message) for w in record if "data-dependent" in str(w.message)]


@pytest.mark.parametrize("name", ["glow", "realnvp", "maf"])
def test_training_by_hand_without_initialization_warns_once(name):
    flow = SMALL_FLOWS[name]()
    x = points(flow)
    with pytest.warns(UserWarning, match=MESSAGE):
        loss_and_gradient(flow, x)
    assert not warnings_of(loss_and_gradient, flow, x)


@pytest.mark.parametrize("wrap", [
    lambda flow: tf.function(lambda x: loss_and_gradient(flow, x)),
    lambda flow: lambda x: loss_and_gradient(tfd.Independent(flow, 0), x),
    lambda flow: lambda x: loss_and_gradient(
        tfd.TransformedDistribution(flow.distribution, tfb.Chain([flow.bijector])), x)],
    ids=["tf_function", "independent", "chain"])
def test_the_warning_reaches_graphs_and_compositions(wrap):
    flow = SMALL_FLOWS["realnvp_vector"](act_norm=True)
    assert len(warnings_of(wrap(flow), points(flow))) == 1


def test_replicas_warn():
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        flow = SMALL_FLOWS["maf"]()
    x = points(flow)
    step = tf.function(lambda: strategy.run(lambda: loss_and_gradient(flow, x)[0]))
    assert len(warnings_of(step)) == 1
    with strategy.scope():
        flow = SMALL_FLOWS["maf"]()
    tfp_glow.initialize(flow, x)
    assert not warnings_of(tf.function(lambda: strategy.run(lambda: loss_and_gradient(flow, x)[0])))


def test_initialized_flows_models_samples_and_densities_do_not_warn():
    flow, fitted = SMALL_FLOWS["maf"](), SMALL_FLOWS["maf"]()
    x = points(flow)

    def use():
        flow.log_prob(x)
        with tf.GradientTape():
            flow.sample(2)
        tfp_glow.initialize(flow, x)
        loss_and_gradient(flow, x)
        model = tfp_glow.FlowModel(fitted)
        model.compile(keras.optimizers.Adam(1e-3))
        model.fit(events(fitted, batch=8), batch_size=8, verbose=0)

    assert not warnings_of(use)


def test_reversible_backpropagation_does_not_warn():
    flow = tfp_glow.glow((4, 4, 1), 1, 2, 4, backprop="reversible")
    x = points(flow)
    tfp_glow.initialize(flow, x)
    assert not warnings_of(tf.function(lambda: loss_and_gradient(flow, x)))


def test_weights_that_are_restored_after_the_warning_end_it():
    flow, other = (SMALL_FLOWS["realnvp_vector"](act_norm=True) for _ in range(2))
    tfp_glow.initialize(other, points(other))
    for variable, value in zip(flow.variables, other.variables, strict=True):
        variable.assign(value)
    assert not warnings_of(loss_and_gradient, flow, points(flow))
    assert np.isfinite(loss_and_gradient(flow, points(flow))[0])
