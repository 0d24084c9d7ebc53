# SPDX-License-Identifier: Apache-2.0
"""Tests of the bijectors in TFP's compositions, and of Keras dtype policies and `training` inside them."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow
from tfp_glow import bijectors as tfgb
from tfp_glow.networks import MLP, ConvNet

tfb, tfd = tfp.bijectors, tfp.distributions


def moved(bijector):
    rng = np.random.RandomState(0)
    for variable in bijector.trainable_variables:
        variable.assign_add(0.2 * rng.standard_normal(variable.shape))
    return bijector


def vector_flow(size=4):
    network = MLP(2 * (size - size // 2), (6,), "tanh", dtype="float64")
    coupling = tfgb.AffineCoupling((size,), network, scale="exp", dtype="float64")
    return moved(tfgb.Steps([tfgb.ActNorm((size,), dtype="float64"), coupling]))


def image_flow():
    coupling = tfgb.AffineCoupling((2, 2, 2), ConvNet(4, 2, dtype="float64"), dtype="float64")
    return moved(tfgb.Steps([tfgb.InvertibleConv1x1((2, 2, 2), dtype="float64"), coupling]))


def normal(*shape):
    return tf.constant(np.random.RandomState(1).standard_normal((3, *shape)))


def inverted():
    part = vector_flow()
    return tfb.Invert(part), normal(4), 1, lambda x: part.inverse_and_log_det(x)


def chained():
    first, second, shift = vector_flow(), vector_flow(), tfb.Softplus()

    def expected(x):
        y, log_det = second.forward_and_log_det(x)
        log_det += shift.forward_log_det_jacobian(y, 1)
        z, more = first.forward_and_log_det(shift.forward(y))
        return z, log_det + more

    return tfb.Chain([first, shift, second]), normal(4), 1, expected


def blockwise():
    parts, sizes = [vector_flow(4), tfb.Softplus(), vector_flow(3)], [4, 2, 3]

    def expected(x):
        values = tf.split(x, sizes, axis=-1)
        log_dets = [part.forward_log_det_jacobian(v, 1) for part, v in zip(parts, values, strict=True)]
        return tf.concat([part.forward(v) for part, v in zip(parts, values, strict=True)], axis=-1), sum(log_dets)

    return tfb.Blockwise(parts, block_sizes=sizes), normal(9), 1, expected


def joint():
    parts = {"image": image_flow(), "plain": tfb.Softplus(), "vector": vector_flow()}
    event_ndims = {"image": 3, "plain": 1, "vector": 1}
    value = {"image": normal(2, 2, 2), "plain": normal(2), "vector": normal(4)}

    def expected(x):
        log_dets = [parts[key].forward_log_det_jacobian(x[key], event_ndims[key]) for key in parts]
        return {key: parts[key].forward(x[key]) for key in parts}, sum(log_dets)

    return tfb.JointMap(parts), value, event_ndims, expected


CASES = {"invert": inverted, "chain": chained, "blockwise": blockwise, "joint_map": joint}
every_composition = pytest.mark.parametrize("name", CASES)


def copy(value):
    return tf.nest.map_structure(tf.identity, value)


@every_composition
@pytest.mark.parametrize("wrap", [lambda f: f, tf.function], ids=["eager", "graph"])
def test_values_and_log_dets_match_the_parts(name, wrap):
    whole, x, event_ndims, expected = CASES[name]()
    y, log_det = expected(x)

    @wrap
    def all_four(x, y):
        return (whole.forward(x), whole.forward_log_det_jacobian(x, event_ndims),
                whole.inverse(copy(y)), whole.inverse_log_det_jacobian(copy(y), event_ndims))

    received = all_four(x, y)
    for left, right in zip(received, (y, log_det, x, -log_det), strict=True):
        tf.nest.map_structure(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-9), left, right)


@every_composition
def test_gradients_match_the_parts_and_variables_are_listed_once(name):
    whole, x, event_ndims, expected = CASES[name]()
    variables = whole.trainable_variables
    flows = [m for m in whole.submodules if isinstance(m, tfgb.FlowBijector)]
    ours = {id(v.value) for flow in flows for v in flow.keras_variables if v.trainable}
    assert len(variables) == len({id(v) for v in variables}) and {id(v) for v in variables} == ours

    def gradients(y_and_log_det):
        with tf.GradientTape() as tape:
            y, log_det = y_and_log_det()
            loss = sum(tf.reduce_sum(tf.sin(part)) for part in tf.nest.flatten(y)) + tf.reduce_sum(log_det**2)
        return tape.gradient(loss, variables)

    received = gradients(lambda: (whole.forward(copy(x)), whole.forward_log_det_jacobian(copy(x), event_ndims)))
    for left, right in zip(received, gradients(lambda: expected(copy(x))), strict=True):
        np.testing.assert_allclose(left, right, atol=1e-9)


@pytest.mark.parametrize("name", ["invert", "chain", "blockwise"])
def test_flow_model_trains_all_tfp_variables(name):
    whole, x, _, _ = CASES[name]()
    base = tfd.MultivariateNormalDiag(tf.zeros(x.shape[1:], "float64"))
    model = tfp_glow.FlowModel(tfd.TransformedDistribution(base, whole))
    trained = {id(v.value) for v in model.trainable_variables}
    assert trained == {id(v) for v in model.distribution.trainable_variables} and len(trained) > 0
    assert len(trained) == len(model.trainable_variables)


def test_a_chain_passes_a_context_by_name():
    network = MLP(4, (6,), dtype="float64")
    coupling = moved(tfgb.AffineCoupling((4,), network, context_shape=2, dtype="float64", name="conditioned"))
    x, context = normal(4), normal(2)
    y = tfb.Chain([tfb.Softplus(), coupling]).forward(x, conditioned={"context": context})
    np.testing.assert_allclose(y, tf.nn.softplus(coupling.forward(x, context=context)), atol=1e-12)
    z = tfb.Invert(coupling).forward(x, context=context)
    np.testing.assert_allclose(z, coupling.inverse(x, context=context), atol=1e-12)


@pytest.fixture
def global_bfloat16():
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy("float32")


def test_mixed_precision_affects_only_the_networks(global_bfloat16):
    networks = [MLP(4, (6,), "tanh"), MLP(4, (6,), "tanh")]
    parts = [part for index, network in enumerate(networks) for part in (
        tfgb.ActNorm((4,)), tfgb.InvertibleConv1x1((4,)),
        tfgb.AffineCoupling((4,), network, ("channel", "channel_reversed")[index]))]
    flow = tfd.TransformedDistribution(tfd.MultivariateNormalDiag(tf.zeros(4)), moved(tfgb.Steps(parts)))
    y = tf.random.normal((5, 4))
    assert all(network(y[:, :2]).dtype == tf.bfloat16 for network in networks)
    assert all(v.dtype == tf.float32 for v in flow.trainable_variables)
    x, log_det = flow.bijector.inverse_and_log_det(y)
    assert x.dtype == log_det.dtype == flow.log_prob(y).dtype == tf.float32
    np.testing.assert_allclose(flow.bijector.forward(tf.identity(x)), y, atol=1e-4)  # bfloat16 has only 3 digits.
    model = tfp_glow.FlowModel(flow)
    model.compile(keras.optimizers.Adam(1e-3))
    history = model.fit(np.random.RandomState(0).normal(size=(32, 4)).astype("float32"), verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert model.log_prob(y).dtype == tf.float32


def test_training_reaches_dropout_in_a_network():
    network = keras.Sequential([
        keras.layers.Dense(64, "relu"), keras.layers.Dropout(0.5), keras.layers.Dense(4, kernel_initializer="ones")])
    coupling = tfgb.AffineCoupling((4,), network, scale="exp")
    flow = tfd.TransformedDistribution(tfd.MultivariateNormalDiag(tf.zeros(4)), coupling)
    model = tfp_glow.FlowModel(flow)
    x = tf.random.normal((8, 4))
    np.testing.assert_array_equal(model(x, training=False), model(x, training=False))
    np.testing.assert_array_equal(model(x, training=False), flow.log_prob(tf.identity(x)))
    assert np.all(model(x, training=True) != model(x, training=True))
    assert np.all(coupling.inverse(x, training=True)[:, 2:] != coupling.inverse(x, training=False)[:, 2:])
    with pytest.raises(ValueError, match="keyword must be one of 'context', 'training'; received 'trainin'"):
        coupling.inverse(x, trainin=True)
