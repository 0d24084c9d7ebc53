# SPDX-License-Identifier: Apache-2.0
"""Compares `Repeat` with a chain of its steps: values, stored and reversible gradients, and initialization."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from constructors import dense, step

import tfp_glow
from tfp_glow import bijectors as tfgb

tfb = tfp.bijectors
SHAPE, NUM_STEPS = (4, 4, 2), 3


def pair(make_step, backprop):
    """Returns a `Repeat`, `Steps` with the same parameters, and the list of the bijectors in `Steps`."""
    loop = tfgb.Repeat(make_step, NUM_STEPS, backprop=backprop)
    parts = [make_step() for _ in range(NUM_STEPS)]
    rng = np.random.RandomState(0)
    for index, stack in enumerate(loop._stacks):
        value = keras.ops.convert_to_numpy(stack)
        if stack.trainable:
            value = value + 0.1 * rng.standard_normal(value.shape)
        stack.assign(value)
        for k, part in enumerate(parts):
            part.keras_variables[index].assign(value[k])
    return loop, tfgb.Steps(parts), parts


MAKERS = {
    "glow": lambda: step(SHAPE, "float64"),
    "no_affine_part": lambda: tfgb.AffineCoupling(SHAPE, tfp_glow.networks.ConvNet(4, 2, dtype="float64"),
                                                  dtype="float64"),
    "affine_part_alone": lambda: tfgb.ActNorm(SHAPE, dtype="float64"),
    "checkerboard": lambda: tfgb.Steps([tfgb.ActNorm(SHAPE, dtype="float64"), tfgb.AffineCoupling(
        SHAPE, tfp_glow.networks.ConvNet(4, 4, dtype="float64"), "checkerboard", "tanh", dtype="float64")]),
    "additive": lambda: tfgb.Steps([tfgb.InvertibleConv1x1(SHAPE, dtype="float64"), tfgb.AdditiveCoupling(
        SHAPE, tfp_glow.networks.ConvNet(4, 1, dtype="float64"), dtype="float64")]),
    "inverted": lambda: tfgb.Steps([tfgb.ActNorm(SHAPE, dtype="float64"), tfb.Invert(tfgb.AffineCoupling(
        SHAPE, tfp_glow.networks.ConvNet(4, 2, dtype="float64"), dtype="float64"))]),
    "repeat": lambda: tfgb.Steps([
        tfgb.Repeat(lambda: step(SHAPE, "float64"), 2, backprop="reversible"), tfgb.ActNorm(SHAPE, dtype="float64")]),
    "nested": lambda: tfgb.Steps([step(SHAPE, "float64"), tfgb.Steps([tfgb.ActNorm(SHAPE, dtype="float64")])]),
}


@pytest.mark.parametrize("backprop", ["stored", "reversible"])
@pytest.mark.parametrize("name", MAKERS)
def test_repeat_equals_the_unrolled_chain(name, backprop):
    loop, chain, parts = pair(MAKERS[name], backprop)
    y = tf.constant(np.random.RandomState(1).standard_normal((3, *SHAPE)))
    weight = np.random.RandomState(2).standard_normal((3, *SHAPE))

    def loss_and_gradients(flow, variables):
        with tf.GradientTape() as tape:
            tape.watch(y)
            x, log_det = flow.inverse_and_log_det(y)
            loss = tf.reduce_sum(x * weight) + tf.reduce_sum(log_det * [1.0, 2.0, 3.0])
        return x, log_det, tape.gradient(loss, [y, *variables])

    x, log_det, gradients = tf.function(lambda: loss_and_gradients(loop, loop.trainable_variables))()
    expected_x, expected_log_det, expected = loss_and_gradients(chain, chain.trainable_variables)
    np.testing.assert_allclose(x, expected_x, atol=1e-10)
    np.testing.assert_allclose(log_det, expected_log_det, atol=1e-10)
    np.testing.assert_allclose(gradients[0], expected[0], atol=1e-9)
    by_id = {id(v): g for v, g in zip(chain.trainable_variables, expected[1:], strict=True)}
    received = {id(v): g for v, g in zip(loop.trainable_variables, gradients[1:], strict=True)}
    for index, stack in enumerate(loop._stacks):
        if stack.trainable:
            rows = [by_id[id(part.keras_variables[index].value)] for part in parts]
            np.testing.assert_allclose(received[id(stack.value)], tf.stack(rows), atol=1e-9)
    back, back_log_det = loop.forward_and_log_det(x)
    np.testing.assert_allclose(back, y, atol=1e-10)
    np.testing.assert_allclose(back_log_det, -log_det, atol=1e-10)


def test_initialization_proceeds_step_by_step():
    keras.utils.set_random_seed(1)
    loop = tfgb.Repeat(lambda: step(SHAPE, "float64"), NUM_STEPS)
    parts = [step(SHAPE, "float64") for _ in range(NUM_STEPS)]
    for index, stack in enumerate(loop._stacks):
        for k, part in enumerate(parts):
            part.keras_variables[index].assign(stack[k])
    batch = tf.constant(np.random.RandomState(0).normal(3.0, 2.0, (20, *SHAPE)))
    np.testing.assert_allclose(
        tfp_glow.initialize(loop, batch), tfp_glow.initialize(tfgb.Steps(parts), batch), atol=1e-9)
    for index, stack in enumerate(loop._stacks):
        expected = [keras.ops.convert_to_numpy(part.keras_variables[index]) for part in parts]
        np.testing.assert_allclose(keras.ops.convert_to_numpy(stack), expected, atol=1e-9)


def test_the_graph_does_not_grow_with_depth():
    def num_nodes(num_steps):
        loop = tfgb.Repeat(lambda: tfgb.AffineCoupling((4,), dense(4, "float32")), num_steps)
        graph = tf.function(loop.inverse_and_log_det).get_concrete_function(tf.zeros((2, 4))).graph.as_graph_def()
        return len(graph.node) + sum(len(f.node_def) for f in graph.library.function)

    assert num_nodes(2) == num_nodes(16)


@pytest.mark.parametrize(("make_step", "num_steps", "backprop", "message"), [
    (lambda: tfgb.ActNorm((4,)), 0, "stored", "`num_steps` must be an integer of at least 1; received 0"),
    (lambda: tfgb.ActNorm((4,)), 2, "magic", "`backprop` must be one of 'stored', 'reversible'; received 'magic'"),
    (lambda: tfgb.Squeeze((4, 4, 1)), 2, "stored",
     "`make_step` must return a FlowBijector whose latent shape is its event shape"),
    (lambda: "step", 2, "stored", "`make_step` must return a FlowBijector"),
])
def test_wrong_arguments_raise(make_step, num_steps, backprop, message):
    with pytest.raises(ValueError, match=message):
        tfgb.Repeat(make_step, num_steps, backprop=backprop)


def test_steps_of_different_structure_raise():
    sizes = iter((4, 5))
    with pytest.raises(ValueError, match="`make_step` must return the same structure every time"):
        tfgb.Repeat(lambda: tfgb.AffineCoupling((4,), keras.Sequential(
            [keras.layers.Dense(next(sizes)), keras.layers.Dense(4)])), 2)
