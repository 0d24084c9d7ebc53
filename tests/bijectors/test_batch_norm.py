# SPDX-License-Identifier: Apache-2.0
"""Tests of `BatchNorm`: statistics, gradients, replicas and compositions that reject it."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from constructors import conv, resnet

import tfp_glow
from tfp_glow import bijectors as tfgb

tfd = tfp.distributions

SHAPE = (4, 4, 3)


def images(batch=6, seed=0, loc=5.0):
    return tf.constant(loc + 2.0 * np.random.RandomState(seed).standard_normal((batch, *SHAPE)), tf.float64)


def normal_flow(bijector):
    size = len(bijector.latent_shape)
    base = tfd.Independent(tfd.Normal(tf.zeros(bijector.latent_shape, bijector.dtype), tf.ones([], bijector.dtype)),
                           size)
    return tfd.TransformedDistribution(base, bijector)


def compiled(bijector):
    model = tfp_glow.FlowModel(normal_flow(bijector))
    model.compile(keras.optimizers.SGD(0.0))
    return model


def test_training_uses_batch_statistics_and_updates_running_statistics():
    norm = tfgb.BatchNorm(SHAPE, momentum=0.75, dtype="float64")
    y = images()
    mean, variance = (m.numpy() for m in tf.nn.moments(y, [0, 1, 2]))
    x, log_det = norm.inverse_and_log_det(y, training=True)
    np.testing.assert_allclose(x, (y - mean) / np.sqrt(variance + 1e-4), atol=1e-12)
    np.testing.assert_allclose(log_det, np.full(6, -8.0 * np.sum(np.log(variance + 1e-4))), atol=1e-9)
    np.testing.assert_allclose(norm.statistics.mean, 0.25 * mean, atol=1e-12)
    np.testing.assert_allclose(norm.statistics.variance, 0.75 + 0.25 * variance, atol=1e-12)


def test_inference_uses_and_keeps_the_running_statistics():
    norm = tfgb.BatchNorm(SHAPE, dtype="float64")
    norm.inverse(images(), training=True)
    before = [v.numpy() for v in norm.variables]
    x, log_det = norm.inverse_and_log_det(images(seed=1))
    y, back = norm.forward_and_log_det(x, training=True)  # `training` has no effect in this direction.
    np.testing.assert_allclose(y, images(seed=1), atol=1e-12)
    np.testing.assert_allclose(back, -log_det, atol=1e-12)
    for old, new in zip(before, norm.variables, strict=True):
        np.testing.assert_array_equal(old, new)


def test_gradients_flow_through_batch_statistics():
    norm = tfgb.BatchNorm((2,), epsilon=0.1, dtype="float64")
    weight = tf.constant(np.random.RandomState(1).standard_normal((5, 2)))

    def loss(y, run):
        x, log_det = run(y)
        return tf.reduce_sum(weight * tf.sin(x)) + 3.0 * log_det[0]

    def reference(y):
        mean = tf.reduce_mean(y, 0)
        variance = tf.reduce_mean((y - mean)**2, 0) + 0.1
        return (y - mean) / tf.sqrt(variance), tf.reshape(-0.5 * tf.reduce_sum(tf.math.log(variance)), [1])

    y = tf.constant(np.random.RandomState(0).standard_normal((5, 2)))
    gradients = [tfp.math.value_and_gradient(lambda y, run=run: loss(y, run), y)[1]
                 for run in (lambda y: norm.inverse_and_log_det(y, training=True), reference)]
    np.testing.assert_allclose(*gradients, atol=1e-12)


def test_initialize_sets_running_statistics_once():
    norm = tfgb.BatchNorm(SHAPE, dtype="float64")
    assert not norm.is_initialized
    x = tfp_glow.initialize(norm, images())
    np.testing.assert_allclose(tf.reduce_mean(x, [0, 1, 2]), 0.0, atol=1e-12)
    np.testing.assert_allclose(tf.math.reduce_std(x, [0, 1, 2]), 1.0, atol=1e-3)
    before = norm.statistics.mean.numpy()
    tfp_glow.initialize(norm, images(loc=9.0))
    np.testing.assert_array_equal(norm.statistics.mean, before)


def test_training_mode_comes_from_keras():
    """Training updates the running statistics once per step. Evaluation does not change them."""
    norm = tfgb.BatchNorm(SHAPE, dtype="float32")
    model = compiled(tfgb.Steps([norm, tfgb.ActNorm(SHAPE, data_dependent=False)]))
    norm.statistics.initialized.assign(True)
    data = images().numpy().astype("float32")
    model.evaluate(data, verbose=0)
    model.log_prob(data)
    np.testing.assert_array_equal(norm.statistics.mean, np.zeros(3))
    model.fit(data, batch_size=6, epochs=2, verbose=0)
    np.testing.assert_allclose(norm.statistics.mean, (0.1 + 0.09) * data.mean((0, 1, 2)), rtol=1e-5)
    moved = norm.statistics.mean.numpy()
    model.evaluate(data, verbose=0)
    np.testing.assert_array_equal(norm.statistics.mean, moved)


def test_statistics_include_all_replicas():
    data = images(8, loc=50.0)
    single = tfgb.BatchNorm(SHAPE, dtype="float64")
    expected = single.inverse_and_log_det(data, training=True)
    # `ReductionToOneDevice` avoids collectives. Their counter is global, and other tests use them with other dtypes.
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], tf.distribute.ReductionToOneDevice())
    with strategy.scope():
        shared = tfgb.BatchNorm(SHAPE, dtype="float64")
    parts = strategy.experimental_distribute_values_from_function(
        lambda context: data[4 * context.replica_id_in_sync_group:][:4])
    x, log_det = strategy.run(tf.function(lambda y: shared.inverse_and_log_det(y, training=True)), args=(parts,))
    np.testing.assert_allclose(tf.concat(strategy.experimental_local_results(x), 0), expected[0], atol=1e-10)
    np.testing.assert_allclose(tf.concat(strategy.experimental_local_results(log_det), 0), expected[1], atol=1e-10)
    for one, other in zip(shared.statistics.variables, single.statistics.variables, strict=True):
        for value in strategy.experimental_local_results(one.value):
            np.testing.assert_allclose(value.numpy().astype("float64"), other.numpy().astype("float64"), atol=1e-10)


@pytest.mark.parametrize("backprop", ["stored", "reversible"])
@pytest.mark.parametrize("part", ["bijector", "in a network", "dropout"])
def test_repeat_rejects_variables_that_training_changes(part, backprop):
    dropout = keras.Sequential([keras.layers.Dense(4), keras.layers.Dropout(0.5)])
    make_step = {
        "bijector": lambda: tfgb.Steps([tfgb.ActNorm(SHAPE), tfgb.BatchNorm(SHAPE)]),
        "in a network": lambda: tfgb.AffineCoupling((4, 4, 2), resnet(2, "float32")),
        "dropout": lambda: tfgb.AffineCoupling((4,), dropout)}[part]
    with pytest.raises(ValueError, match="`make_step` must return a bijector that does not change its variables"):
        tfgb.Repeat(make_step, 2, backprop)


def test_repeat_accepts_frozen_networks():
    def make_step():
        network = conv(2, "float32")
        network.trainable = False
        return tfgb.AffineCoupling((4, 4, 2), network)

    assert not tfgb.Repeat(make_step, 2).trainable_variables


@pytest.mark.parametrize(("arguments", "message"), [
    ({"shape": (2, 2)}, "`shape` must be"), ({"momentum": 1.0}, r"`momentum` must be in \[0, 1\); received 1.0"),
    ({"momentum": -0.1}, "`momentum`"), ({"epsilon": 0.0}, "`epsilon` must be positive; received 0.0"),
    ({"dtype": "float16"}, "`dtype`")])
def test_wrong_arguments_raise(arguments, message):
    with pytest.raises(ValueError, match=message):
        tfgb.BatchNorm(**{"shape": SHAPE, **arguments})


def test_training_without_a_batch_axis_raises():
    with pytest.raises(ValueError, match="requires a batch axis"):
        tfgb.BatchNorm((3,)).inverse(tf.zeros([3]), training=True)


@pytest.mark.parametrize("how", ["an argument", "Keras"])
def test_training_mode_reaches_batch_norm_in_networks(how):
    coupling = tfgb.AffineCoupling((4, 4, 2), resnet(2, "float32"), scale="exp")
    averages = [v for v in coupling.network.non_trainable_variables if "moving_mean" in v.path]
    before = [v.numpy() for v in averages]
    data = np.random.RandomState(0).standard_normal((8, 4, 4, 2)).astype("float32") + 3.0
    coupling.inverse(data)
    assert all(np.array_equal(v, b) for v, b in zip(averages, before, strict=True))
    if how == "Keras":
        compiled(coupling)(data, training=True)
    else:
        coupling.inverse(data, training=True)
    assert all(not np.array_equal(v, b) for v, b in zip(averages, before, strict=True))


def test_training_ignores_cached_passes():
    norm = tfgb.BatchNorm(SHAPE)
    model = compiled(norm)
    y = tf.cast(images(), tf.float32)
    held = norm.inverse(y)
    model(y, training=True)
    assert np.all(norm.statistics.mean.numpy() != 0.0)
    del held
