# SPDX-License-Identifier: Apache-2.0
"""Conditional densities p(y | context) of the flows over vectors, from the argument `context_shape`."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_flows import eagerly

import tfp_glow
from tfp_glow.networks import MADE, MLP, ResidualMADE, ResidualMLP

SIZE, CONTEXT = 3, 2
BUILDERS = {
    "realnvp_vector": lambda **k: tfp_glow.realnvp_vector(SIZE, 4, (8,), **k),
    "realnvp_vector_batch_norm": lambda **k: tfp_glow.realnvp_vector(SIZE, 2, (8,), batch_norm=True, **k),
    "nice": lambda **k: tfp_glow.nice(SIZE, 3, (8,), **k),
    "maf": lambda **k: tfp_glow.maf(SIZE, 2, (8,), **k),
    "maf_loop": lambda **k: tfp_glow.maf(SIZE, 3, (8,), batch_norm=False, log_scale="tanh", **k),
    "iaf": lambda **k: tfp_glow.iaf(SIZE, 2, (8,), **k),
    "nsf": lambda **k: tfp_glow.nsf(SIZE, 2, 8, num_blocks=1, num_bins=4, **k),
    "nsf_autoregressive": lambda **k: tfp_glow.nsf(
        SIZE, 2, 8, num_blocks=1, num_bins=4, kind="autoregressive", linear="permutation", **k),
}
every_flow = pytest.mark.parametrize("name", BUILDERS)


def moved(flow):
    rng = np.random.RandomState(0)
    for variable in flow.trainable_variables:
        variable.assign_add(0.2 * rng.standard_normal(variable.shape))
    return flow


@every_flow
def test_densities_depend_on_the_context(name):
    flow = moved(BUILDERS[name](context_shape=CONTEXT, dtype="float64"))
    rng = np.random.RandomState(1)
    y, c = rng.standard_normal((5, SIZE)), tf.constant(rng.standard_normal((5, CONTEXT)))
    with tf.GradientTape() as tape:
        tape.watch(c)
        log_prob = flow.log_prob(y, bijector_kwargs={"context": c})
    assert np.all(np.any(tape.gradient(log_prob, c) != 0.0, axis=1))
    np.testing.assert_allclose(flow.log_prob(y[:2, None], bijector_kwargs={"context": c[:2, None]})[:, 0], log_prob[:2])
    # One context for all events, and events without a batch axis.
    both = flow.log_prob(np.tile(y[:1], (4, 1)), bijector_kwargs={"context": c[0]})
    np.testing.assert_allclose(both, np.tile(log_prob[0], 4))
    np.testing.assert_allclose(flow.log_prob(y[0], bijector_kwargs={"context": c[0]}), log_prob[0])
    latents = flow.bijector.inverse(y, context=c)
    np.testing.assert_allclose(flow.bijector.forward(tf.identity(latents), context=c), y, atol=1e-7)
    assert flow.sample(5, bijector_kwargs={"context": c}).shape == (5, SIZE)
    for wrong in ({}, {"bijector_kwargs": {"context": c[:, :1]}}):
        with pytest.raises(ValueError, match="`context` must hold numbers in a shape that ends in"):
            flow.log_prob(y, **wrong)
    assert BUILDERS[name](context_shape=(CONTEXT,)).bijector.context_shape == (CONTEXT,)


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name == "maf_loop" else pytest.mark.slow)
                                  for name in BUILDERS])
def test_models_train_sample_and_save(name, tmp_path):
    model = tfp_glow.FlowModel(BUILDERS[name](context_shape=(CONTEXT,), act_norm=True, seed=1))
    model.compile(keras.optimizers.Adam(1e-2))
    rng = np.random.RandomState(0)
    y, c = (rng.standard_normal((32, size)).astype("float32") for size in (SIZE, CONTEXT))
    before = [v.numpy() for v in model.trainable_variables]
    # The kernels of the context receive a gradient only after the zero output layer has moved.
    model.fit(y, c, batch_size=16, epochs=2, verbose=0)
    assert all(np.any(v.numpy() != b) for v, b in zip(model.trainable_variables, before, strict=True))
    model.save(tmp_path / "model.keras")
    other = keras.saving.load_model(tmp_path / "model.keras")
    samples = model.sample(7, seed=1, condition=c[0])  # In a graph, as `fit` ran the other direction.
    assert samples.shape == (7, SIZE) and np.all(np.isfinite(samples))
    with eagerly():
        np.testing.assert_array_equal(other.log_prob(y, condition=c), model.log_prob(y, condition=c))
        same = model.sample(7, seed=1, condition=c[0])
        np.testing.assert_array_equal(other.sample(7, seed=1, condition=c[0]), same)
    np.testing.assert_allclose(samples, same, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nsf", "nsf_autoregressive", "realnvp_vector"])
def test_exported_signatures_take_the_context(name, tmp_path):
    model = tfp_glow.FlowModel(moved(BUILDERS[name](context_shape=(CONTEXT,), seed=1)))
    rng = np.random.RandomState(0)
    y, c = (rng.standard_normal((5, size)).astype("float32") for size in (SIZE, CONTEXT))
    signatures = tf.saved_model.load(tfp_glow.export_saved_model(model, tmp_path / "1")).signatures
    served = signatures["log_prob"](images=tf.constant(y), context=tf.constant(c))["log_prob"]
    np.testing.assert_allclose(served, model.log_prob(y, condition=c), atol=1e-5)
    latents = signatures["encode"](images=tf.constant(y), context=tf.constant(c))["latents"]
    decoded = signatures["decode"](latents=latents, context=tf.constant(c))["images"]
    np.testing.assert_allclose(decoded, y, atol=1e-4)
    samples = signatures["sample"](number=tf.constant(4), temperature=tf.constant(1.0), seed=tf.constant(0),
                                   context=tf.constant(c[:1]))["images"]
    np.testing.assert_allclose(samples, model.sample(4, seed=0, condition=c[0]), atol=1e-4)


def test_the_first_element_of_autoregressive_flows_depends_on_the_context():
    """Also for vectors of size 1, whose networks have no other input."""
    for flow in (tfp_glow.maf(1, 1, (4,), batch_norm=False, context_shape=CONTEXT),
                 tfp_glow.nsf(1, 2, 4, kind="autoregressive", context_shape=CONTEXT)):
        c = tf.ones((1, CONTEXT))
        with tf.GradientTape() as tape:
            tape.watch(c)
            log_prob = moved(flow).log_prob([[0.5]], bijector_kwargs={"context": c})
        assert np.any(tape.gradient(log_prob, c) != 0.0)


@pytest.mark.parametrize("network", [
    lambda **k: MADE(4, (9, 7), "tanh", **k), lambda **k: ResidualMADE(4, 9, 2, "tanh", **k),
    lambda **k: MADE(4, (), **k)], ids=["made", "residual_made", "made_without_hidden_layers"])
def test_networks_with_a_context_are_autoregressive(network):
    """Each output depends on all earlier inputs and on the context."""
    for context_size in (None, CONTEXT):
        layer, rng = network(context_size=context_size, dtype="float64"), np.random.RandomState(0)
        for variable in layer.trainable_variables:
            variable.assign(rng.standard_normal(variable.shape))
        x, c = (tf.constant(rng.standard_normal((2, size))) for size in (4, CONTEXT))
        with tf.GradientTape(persistent=True) as tape:
            tape.watch([x, c])
            outputs = layer(x if context_size is None else [x, c])
        reached = np.any(tape.batch_jacobian(outputs, x).numpy() != 0.0, axis=(0, 2))
        np.testing.assert_array_equal(reached, np.tri(4, k=-1, dtype=bool))
        if context_size is not None:
            assert np.all(np.any(tape.batch_jacobian(outputs, c).numpy() != 0.0, axis=(0, 2)))
        config = layer.get_config()
        assert type(layer).from_config(config).get_config() == config


def test_networks_refuse_inputs_of_other_sizes():
    for layer in (MADE(3, context_size=CONTEXT), ResidualMADE(3, context_size=CONTEXT)):
        for wrong in (tf.zeros((2, 3)), [tf.zeros((2, 3)), tf.zeros((2, 3))]):
            with pytest.raises(ValueError, match=r"`inputs` must be a pair \[x, context\] whose last axes have"):
                layer(wrong)


@pytest.mark.parametrize(("build", "network", "sampling"), [
    (lambda **k: tfp_glow.nsf(5, 3, 8, backprop="unrolled", **k), ResidualMLP, 1),
    (lambda **k: tfp_glow.nsf(5, 3, 8, kind="autoregressive", backprop="unrolled", **k), ResidualMADE, 5),
    (lambda **k: tfp_glow.realnvp_vector(5, 3, (8,), backprop="unrolled", **k), MLP, 1)],
    ids=["coupling", "made", "mlp"])
@pytest.mark.parametrize("context_shape", [None, (CONTEXT,)])
def test_number_of_network_evaluations(build, network, sampling, context_shape, monkeypatch):
    flow = moved(build(context_shape=context_shape))
    calls, call = [], network.call
    monkeypatch.setattr(network, "call", lambda self, inputs: calls.append(1) or call(self, inputs))
    keywords = {} if context_shape is None else {"bijector_kwargs": {"context": tf.zeros((3, CONTEXT))}}
    flow.log_prob(tf.zeros((3, 5)), **keywords)
    assert len(calls) == 3
    calls.clear()
    flow.sample(3, **keywords)
    assert len(calls) == 3 * sampling


def test_a_posterior_is_learned():
    """y given c is c plus noise of deviation 0.1, so the density at c is near that of the noise."""
    rng = np.random.RandomState(0)
    c = rng.uniform(-2.0, 2.0, (1024, 1)).astype("float32")
    y = c * np.array([[1.0, -1.0]]) + 0.1 * rng.standard_normal((1024, 2))
    model = tfp_glow.FlowModel(tfp_glow.nsf(2, 2, 16, num_blocks=1, context_shape=1, seed=0))
    model.compile(keras.optimizers.Adam(1e-2))
    model.fit(y.astype("float32"), c, batch_size=128, epochs=15, verbose=0)
    expected = np.mean(-0.5 * ((y - c * np.array([[1.0, -1.0]])) / 0.1) ** 2 - np.log(0.1 * np.sqrt(2 * np.pi)))
    assert np.mean(model.log_prob(y.astype("float32"), condition=c)) > 2 * expected - 0.6
    samples = model.sample(500, seed=1, condition=[1.5]).numpy()
    np.testing.assert_allclose(samples.mean(axis=0), [1.5, -1.5], atol=0.1)


@pytest.mark.parametrize(("build", "message"), [
    (lambda: tfp_glow.nsf(1), "`event_shape` must have at least 2 elements"),
    (lambda: tfp_glow.nsf(3, num_steps=0), "`num_steps` must be an integer of at least 1; received 0"),
    (lambda: tfp_glow.nsf(3, width=0), "`width`"),
    (lambda: tfp_glow.nsf(3, num_blocks=0), "`num_blocks`"),
    (lambda: tfp_glow.nsf(3, kind="cubic"), "`kind` must be one of 'coupling', 'autoregressive'; received 'cubic'"),
    (lambda: tfp_glow.nsf(3, num_bins=1), "`num_bins` must be an integer of at least 2; received 1"),
    (lambda: tfp_glow.nsf(3, bound=-1.0), "`bound` must be positive and finite; received -1.0"),
    (lambda: tfp_glow.nsf(3, linear="none"), "`linear` must be one of 'lu', 'permutation'; received 'none'"),
    (lambda: tfp_glow.nsf(3, activation="no such"), "`activation`"),
    (lambda: tfp_glow.nsf(3, context_shape=0), r"`context_shape` must be a shape \(size,\) of positive integers"),
    (lambda: tfp_glow.maf(3, context_shape=(2, 2)), "`context_shape` must be a shape"),
    (lambda: ResidualMLP(0), "`out_features`"),
    (lambda: ResidualMADE(3, width=0), "`width`"),
    (lambda: MADE(3, context_size=0), "`context_size` must be an integer of at least 1; received 0"),
    (lambda: tfp_glow.bijectors.InvertibleConv1x1((3,), order=[0, 1, 1]), "`order` must be a permutation of range"),
])
def test_wrong_arguments_raise(build, message):
    with pytest.raises(ValueError, match=message):
        build()
