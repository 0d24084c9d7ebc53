# SPDX-License-Identifier: Apache-2.0
"""Tests of conditioned bijectors: Jacobians, stored and reversible gradients, calls and error messages."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from counting_layer import Counting
from small_flows import log_det_by_autodiff

import tfp_glow
from tfp_glow import bijectors as tfgb
from tfp_glow.networks import MLP, ConvNet, ResNet
from tfp_glow.networks._context import concatenate_context

tfb, tfd = tfp.bijectors, tfp.distributions
IMAGE, VECTOR, CONTEXT = (4, 4, 2), (5,), (3,)
GIVEN = {"context_shape": CONTEXT, "dtype": "float64"}


def step():
    return tfgb.Steps([
        tfgb.ActNorm(VECTOR, dtype="float64"), tfgb.Shuffle(VECTOR, dtype="float64"),
        tfgb.AffineCoupling(VECTOR, MLP(6, (8,), "tanh", dtype="float64"), **GIVEN)])


def image_step(shape=IMAGE):
    return tfgb.Steps([
        tfgb.InvertibleConv1x1(shape, dtype="float64"),
        tfgb.AffineCoupling(shape, ConvNet(6, shape[-1], dtype="float64"), **GIVEN)])


def multiscale():
    """Returns two levels. Only the last level is conditioned."""
    top = tfgb.Multiscale(image_step((2, 2, 4)))
    return tfgb.Multiscale(tfgb.Steps([tfgb.Squeeze(IMAGE, dtype="float64"), tfgb.ActNorm((2, 2, 8), dtype="float64")]),
                           top)


def mapped():
    coupling = tfgb.AffineCoupling(VECTOR, MLP(6, (8,), "tanh", dtype="float64"), context_shape=(4,), dtype="float64")
    return tfgb.MapContext(coupling, keras.layers.Dense(4, "tanh", dtype="float64"), CONTEXT)


CONDITIONED = {
    "map_context": mapped,
    "map_context_reversible": lambda: tfgb.Repeat(mapped, 2, backprop="reversible"),
    "mlp": lambda: tfgb.AffineCoupling(VECTOR, MLP(6, (8,), "tanh", dtype="float64"), **GIVEN),
    "additive": lambda: tfgb.AdditiveCoupling(VECTOR, MLP(5, (8,), dtype="float64"), "checkerboard", **GIVEN),
    "convnet": lambda: tfgb.AffineCoupling(IMAGE, ConvNet(6, 2, dtype="float64"), **GIVEN),
    "resnet": lambda: tfgb.AffineCoupling(IMAGE, ResNet(4, 2, num_blocks=1, dtype="float64"), scale="exp", **GIVEN),
    "repeat": lambda: tfgb.Repeat(step, 3),
    "repeat_reversible": lambda: tfgb.Repeat(step, 3, backprop="reversible"),
    "repeat_image_reversible": lambda: tfgb.Repeat(image_step, 2, backprop="reversible"),
    "multiscale": multiscale,
    "conditional_affine": lambda: tfgb.ConditionalAffine(IMAGE, CONTEXT, dtype="float64"),
    "repeat_conditional_affine_reversible": lambda: tfgb.Repeat(
        lambda: tfgb.ConditionalAffine(VECTOR, CONTEXT, dtype="float64"), 2, backprop="reversible"),
}
CONDITIONED["steps_partly"] = lambda: tfgb.Steps([
    step(), tfgb.AdditiveCoupling(VECTOR, MLP(3, (8,), dtype="float64"), dtype="float64")])
every_bijector = pytest.mark.parametrize("name", CONDITIONED)


def made(name, seed=3):
    keras.utils.set_random_seed(seed)
    bijector = CONDITIONED[name]()
    rng = np.random.RandomState(0)
    for variable in bijector.trainable_variables:
        variable.assign_add(0.3 * rng.standard_normal(variable.shape))
    return bijector


def data(bijector, batch=(2,), seed=0):
    rng = np.random.RandomState(seed)
    return (tf.constant(rng.standard_normal((*batch, *bijector.event_shape))),
            tf.constant(rng.standard_normal((*batch, *CONTEXT))))


@every_bijector
def test_round_trip_log_det_and_effect_of_the_context(name):
    bijector = made(name)
    y, context = data(bijector)
    x, log_det = bijector.inverse_and_log_det(y, context=context)
    expected = log_det_by_autodiff(lambda v, c: bijector.inverse_and_log_det(v, context=c)[0], y, context)
    np.testing.assert_allclose(log_det, expected, atol=1e-8)
    back, back_log_det = bijector.forward_and_log_det(x, context=context)
    np.testing.assert_allclose(back, y, atol=1e-10)
    np.testing.assert_allclose(back_log_det, -log_det, atol=1e-10)
    other = bijector.inverse(y, context=context + 1.0)
    assert np.all(np.any(np.reshape(other - x, (2, -1)), axis=1))


@every_bijector
@pytest.mark.parametrize("wrap", [lambda f: f, tf.function], ids=["eager", "graph"])
def test_gradient_of_the_context_matches_finite_differences(name, wrap):
    """Compares the gradient with a central difference of the loss along a random direction."""
    bijector = made(name)
    y, context = data(bijector)
    weight = np.random.RandomState(1).standard_normal((2, *bijector.latent_shape))

    @wrap
    def loss(context):
        x, log_det = bijector.inverse_and_log_det(y, context=context)
        return tf.reduce_sum(x * weight) + tf.reduce_sum(tf.sin(log_det))

    with tf.GradientTape() as tape:
        tape.watch(context)
        total = loss(context)
    direction = np.random.RandomState(2).standard_normal(context.shape)
    expected = (loss(context + 1e-6 * direction) - loss(context - 1e-6 * direction)) / 2e-6
    received = tf.reduce_sum(tape.gradient(total, context) * direction)
    np.testing.assert_allclose(received, expected, rtol=1e-6, atol=1e-6)
    assert abs(expected) > 1e-3


def test_reversible_and_stored_gradients_are_equal():
    flows = {}
    for backprop in ("stored", "reversible"):
        keras.utils.set_random_seed(3)
        flows[backprop] = tfgb.Repeat(step, 3, backprop=backprop)
    rng = np.random.RandomState(0)
    for pair in zip(*(flow.trainable_variables for flow in flows.values()), strict=True):
        noise = 0.3 * rng.standard_normal(pair[0].shape)
        for variable in pair:
            variable.assign_add(noise)
    y, context = data(flows["stored"], (4,))

    @tf.function(input_signature=[tf.TensorSpec((None, 5), "float64"), tf.TensorSpec((None, 3), "float64")])
    def stored(y, context):
        return gradients("stored", y, context)

    @tf.function(input_signature=[tf.TensorSpec((None, 5), "float64"), tf.TensorSpec((None, 3), "float64")])
    def reversible(y, context):
        return gradients("reversible", y, context)

    def gradients(backprop, y, context):
        flow = flows[backprop]
        with tf.GradientTape() as tape:
            tape.watch([y, context])
            x, log_det = flow.inverse_and_log_det(y, context=context)
            loss = tf.reduce_sum(x**2) - tf.reduce_sum(log_det)
        return tape.gradient(loss, [y, context, *flow.trainable_variables])

    for received, expected in zip(reversible(y, context), stored(y, context), strict=True):
        np.testing.assert_allclose(received, expected, atol=1e-10)


@pytest.mark.parametrize("name", ["mlp", "convnet", "repeat_reversible", "map_context"])
def test_contexts_broadcast_to_the_batch(name):
    bijector = made(name)
    y, context = data(bijector, (4, 2))
    expected = bijector.inverse(y, context=context)
    np.testing.assert_allclose(bijector.inverse(y[0, 1], context=context[0, 1]), expected[0, 1], atol=1e-10)
    shared = bijector.inverse(y, context=context[0])
    np.testing.assert_allclose(shared[0], expected[0], atol=1e-10)
    np.testing.assert_allclose(shared[3], bijector.inverse(y[3], context=context[0]), atol=1e-10)
    unbatched = bijector.inverse(y, context=context[0, 0].numpy().astype("float32"))
    np.testing.assert_allclose(unbatched, bijector.inverse(y, context=tf.broadcast_to(context[0, 0], (4, 2, 3))),
                               atol=1e-6)


@pytest.mark.parametrize("name", ["mlp", "repeat", "steps_partly", "map_context"])
@pytest.mark.parametrize(("context", "message"), [
    (None, r"`context` must hold numbers in a shape that ends in \(3,\).*received None"),
    (np.zeros((2, 4)), r"`context` must hold numbers in a shape that ends in \(3,\).*received shape \(2, 4\)"),
    (np.zeros((5, 3)), r"broadcasts to the batch shape of the events, \(2,\); received shape \(5, 3\)"),
    (np.zeros((7, 2, 3)), r"broadcasts to the batch shape of the events, \(2,\); received shape \(7, 2, 3\)"),
])
def test_wrong_contexts_raise(name, context, message):
    bijector = made(name)
    y, _ = data(bijector)
    for call in (bijector.inverse, bijector.forward, lambda y, **c: tfp_glow.initialize(bijector, y, **c)):
        with pytest.raises(ValueError, match=message):
            call(y, context=context)


def test_a_context_for_unconditioned_bijectors_raises():
    bijector = tfgb.Steps([tfgb.ActNorm(VECTOR), tfgb.AdditiveCoupling(VECTOR, MLP(3))])
    with pytest.raises(ValueError, match=r"`context` must be left out.*received a context of shape \(2, 3\)"):
        bijector.inverse(tf.zeros((2, 5)), context=tf.zeros((2, 3)))
    with pytest.raises(ValueError, match="`context_shape` must be"):
        tfgb.AdditiveCoupling(VECTOR, MLP(3), context_shape=(0,))


def test_a_distribution_passes_the_context_and_evaluates_the_network_once():
    class CountingPair(Counting):
        def build(self, input_shape):
            super().build((None, input_shape[0][-1] + input_shape[1][-1]))

        def compute_output_shape(self, input_shape):
            return (*input_shape[0][:-1], 4)

        def call(self, inputs):
            return super().call(concatenate_context(inputs))

    network = CountingPair(4)
    coupling = tfgb.AffineCoupling((4,), network, scale="exp", context_shape=CONTEXT)
    flow = tfd.TransformedDistribution(tfd.MultivariateNormalDiag(tf.zeros(4)), coupling)
    context = tf.random.normal((6, 3))
    network.count.assign(0)
    sample = flow.sample(6, bijector_kwargs={"context": context})
    log_prob = flow.log_prob(sample, bijector_kwargs={"context": context})
    assert int(network.count) == 1
    fresh = flow.log_prob(tf.identity(sample), bijector_kwargs={"context": context})
    assert int(network.count) == 2
    np.testing.assert_allclose(log_prob, fresh, rtol=1e-5)


@pytest.mark.parametrize("kind", [tf.Variable, np.array, keras.Variable])
def test_a_changed_context_invalidates_cached_passes(kind):
    bijector = tfgb.AffineCoupling((4,), Dense(), scale="exp", context_shape=CONTEXT)
    y, context = tf.random.normal((2, 4)), kind(np.zeros((2, 3), "float32"))
    before = bijector.inverse(y, context=context)
    if kind is np.array:
        context += 1.0
    else:
        context.assign(np.ones((2, 3), "float32"))
    after = bijector.inverse(y, context=context)
    np.testing.assert_allclose(after, bijector.inverse(y, context=tf.ones((2, 3))), rtol=1e-6)
    assert np.any(before != after)


class Dense(keras.layers.Layer):
    """A network of the kept part and the context. Its initial output is not zero."""

    def build(self, input_shape):
        self.dense = keras.layers.Dense(4, kernel_initializer="ones")
        self.dense.build((None, 5))

    def compute_output_shape(self, input_shape):
        return (*input_shape[0][:-1], 4)

    def call(self, inputs):
        return self.dense(concatenate_context(inputs))


def test_networks_accept_a_vector_or_an_image_as_context():
    kept, vector = tf.random.normal((2, 4, 4, 3)), tf.random.normal((2, 5))
    image = tf.broadcast_to(vector[:, None, None], (2, 4, 4, 5))
    np.testing.assert_array_equal(concatenate_context([kept, vector]), concatenate_context([kept, image]))
    np.testing.assert_array_equal(concatenate_context([kept, vector])[..., 3:], image)
    with pytest.raises(ValueError, match="with a context `.batch, size.` or of the rank of `kept`"):
        concatenate_context([kept, tf.zeros((2, 4, 5))])


def test_a_sequential_network_with_a_context_has_its_variables_at_once():
    """Keras builds a `Sequential` that gets a list only when it is called with values."""
    coupling = tfgb.AffineCoupling((4,), keras.Sequential([MLP(4, (8,))]), context_shape=(3,))
    assert [tuple(v.shape) for v in coupling.trainable_variables] == [(5, 8), (8,), (8, 4), (4,)]
    assert {id(v.value) for v in coupling.keras_variables} == {id(v) for v in coupling.variables}


def test_initialize_includes_the_networks_of_a_conditioned_flow():
    flow = tfgb.Steps([image_step(), image_step()])
    y, context = data(flow, (32,))
    tfp_glow.initialize(flow, 3.0 + y, context=context)
    assert flow.is_initialized
