# SPDX-License-Identifier: Apache-2.0
"""Compares `in_parts` with the same function on the whole batch."""

import os
import threading

import numpy as np
import pytest
import tensorflow as tf

import tfp_glow
from tfp_glow import in_parts

SHAPE = (8, 8, 1)
BATCH = 6
IMAGES = np.random.RandomState(0).uniform(0.0, 256.0, (BATCH, *SHAPE))


@pytest.fixture(scope="module", params=["stored", "reversible"])
def flow(request):
    flow = tfp_glow.glow(SHAPE, num_levels=2, num_steps=2, width=4, seed=0, dtype="float64", backprop=request.param)
    tfp_glow.initialize(flow, IMAGES)
    rng = np.random.RandomState(1)
    for variable in flow.trainable_variables:  # Coupling networks initially return 0, so most gradients are 0.
        variable.assign_add(0.05 * rng.standard_normal(variable.shape))
    return flow


def loss_and_gradients(flow, x):
    with tf.GradientTape() as tape:
        loss = -tf.reduce_mean(flow.log_prob(x))
    return {"loss": loss, "gradients": tape.gradient(loss, flow.trainable_variables)}


def assert_close(received, expected):
    tf.nest.assert_same_structure(received, expected)
    for a, b in zip(tf.nest.flatten(received), tf.nest.flatten(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


def test_a_training_step_in_parts_equals_the_whole_batch_and_traces_once(flow):
    calls = []

    def function(x):
        calls.append(x.shape)
        return loss_and_gradients(flow, x)

    received = tf.function(lambda x: in_parts(function, x, 3, "mean"))(IMAGES)
    assert calls == [(2, *SHAPE)]
    assert_close(received, tf.function(lambda x: loss_and_gradients(flow, x))(IMAGES))


@pytest.fixture(scope="module")
def stored():
    flow = tfp_glow.glow(SHAPE, num_levels=2, num_steps=2, width=4, seed=0, dtype="float64")
    tfp_glow.initialize(flow, IMAGES)
    return flow


def test_densities_and_samples_for_any_batch_size(stored):
    signature = [tf.TensorSpec((None, *SHAPE), tf.float64)]
    there = tf.function(lambda x: in_parts(lambda x: (stored.bijector.inverse(x), stored.log_prob(x)), x, 2), signature)
    for size in (1, 3, BATCH):
        latents, log_prob = there(IMAGES[:size])
        np.testing.assert_allclose(log_prob, stored.log_prob(IMAGES[:size]), rtol=1e-9)
        images = tf.function(lambda z: in_parts(stored.bijector.forward, z, 4))(latents)
        assert images.shape == (size, *SHAPE)
        np.testing.assert_allclose(images, IMAGES[:size], atol=1e-8)


@pytest.mark.slow
def test_gradients_through_in_parts(stored):
    def gradients(log_prob, x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(log_prob(x) * np.arange(1.0, BATCH + 1.0))
        return tape.gradient(total, [x, *stored.trainable_variables])

    received = tf.function(lambda x: gradients(lambda x: in_parts(stored.log_prob, x, 2), x))(tf.constant(IMAGES))
    assert_close(received, tf.function(lambda x: gradients(stored.log_prob, x))(tf.constant(IMAGES)))


def function_of_pairs(batch):
    table = tf.ones((4, 2))
    with tf.GradientTape() as tape:
        tape.watch(table)
        y = tf.reduce_sum(tf.gather(table, batch["row"]) * batch["x"])
    return {"none": None, "slices": tape.gradient(y, table), "y": [y]}


@pytest.mark.parametrize("wrap", [lambda f: f, tf.function], ids=["eager", "graph"])
def test_structures(wrap):
    batch = {"x": tf.reshape(tf.range(8.0), (4, 2)), "row": tf.constant([1, 3, 1, 0])}
    received = wrap(lambda b: in_parts(function_of_pairs, b, 2, "sum"))(batch)
    assert received["none"] is None
    np.testing.assert_array_equal(received["slices"], [[6, 7], [4, 6], [0, 0], [2, 3]])
    np.testing.assert_array_equal(received["y"], [28])
    joined = wrap(lambda b: in_parts(lambda p: p, b, 4))(batch)
    tf.nest.map_structure(np.testing.assert_array_equal, joined, batch)


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores")
def test_parts_run_in_parallel():
    barrier = threading.Barrier(2, timeout=20.0)  # Each part waits for the other part. Sequential parts time out.

    def meet(x):
        barrier.wait()
        return x

    def part(p):
        return tf.ensure_shape(tf.numpy_function(meet, [p], p.dtype, stateful=False), p.shape)

    both = tf.function(lambda x: in_parts(part, x, 2))
    np.testing.assert_array_equal(both(tf.range(4.0)), range(4))


def test_parts_draw_different_random_numbers():
    drawn = tf.function(lambda: in_parts(lambda x: x + tf.random.uniform((3,)), tf.zeros((6,)), 2))().numpy()
    assert len(set(drawn)) == 6


@pytest.mark.parametrize("size", [1, 5, 7])
@pytest.mark.parametrize("wrap", [lambda f: f, tf.function, lambda f: tf.function(
    f, input_signature=[tf.TensorSpec((None, 2))])], ids=["eager", "graph", "unknown size"])
def test_sizes_that_the_parts_do_not_divide(wrap, size):
    def rows_mean_and_sum(x):
        return x + 1.0, tf.reduce_mean(x), tf.reduce_sum(x)

    x = tf.random.stateless_normal((size, 2), (0, 0))
    rows, mean, total = wrap(lambda x: in_parts(rows_mean_and_sum, x, 3, ("concat", "mean", "sum")))(x)
    np.testing.assert_array_equal(rows, x + 1.0)
    np.testing.assert_allclose([mean, total], [tf.reduce_mean(x), tf.reduce_sum(x)], rtol=1e-5)


@pytest.mark.parametrize("sizes", [(4, None), (None, 4), (None, None)])
def test_sizes_that_differ_when_the_graph_runs_raise(sizes):
    signature = [tf.TensorSpec((size, 2)) for size in sizes]
    add = tf.function(lambda x, y: in_parts(lambda part: part[0] + part[1], [x, y], 2), signature)
    np.testing.assert_array_equal(add(tf.ones((4, 2)), tf.ones((4, 2))), 2.0 * np.ones((4, 2)))
    given = [tf.ones((4, 2)), tf.ones((3, 2))] if sizes[1] is None else [tf.ones((3, 2)), tf.ones((4, 2))]
    with pytest.raises(tf.errors.InvalidArgumentError):
        add(*given)


@pytest.mark.parametrize(("arguments", "message"), [
    ((tf.zeros(()), 2), r"`batch` must hold tensors `\[batch, ...\]`"),
    (([tf.zeros((3, 2)), tf.zeros((4,))], 2), r"equal sizes .*; received shapes \(3, 2\), \(4,\)"),
    ((tf.zeros((4, 2)), 2, ("sum", "sum")), "`combine` must have one string per element"),
    ((tf.zeros((4, 2)), 0), "`num_parts` must be .* of at least 1; received 0"),
    ((tf.zeros((4, 2)), 2, "max"), "`combine` must be one of 'concat', 'mean', 'sum'; received 'max'"),
    ((tf.zeros((4, 2)), 2), "`combine` is 'concat'; received a scalar"),
])
@pytest.mark.parametrize("wrap", [lambda f: f, tf.function], ids=["eager", "graph"])
def test_wrong_arguments_raise(wrap, arguments, message):
    with pytest.raises(ValueError, match=message):
        wrap(lambda: in_parts(tf.reduce_sum, *arguments))()
