# SPDX-License-Identifier: Apache-2.0
"""Tests of couplings with networks from outside Keras 3: functions, `tf.Module`s and legacy tf_keras layers."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

import tfp_glow
from tfp_glow import bijectors as tfgb

tfd = tfp.distributions


def function():
    """Returns a plain function that uses two variables. Only a call of the function reveals them."""
    kernel, bias = tf.Variable(0.1 * tf.ones((2, 4))), tf.Variable(tf.zeros(4))
    return lambda kept: tf.tanh(kept @ kernel + bias)


class DenseModule(tf.Module):
    def __init__(self):
        super().__init__()
        self.kernel, self.bias = tf.Variable(0.1 * tf.ones((2, 4))), tf.Variable(tf.zeros(4))

    def __call__(self, kept, training=None):
        return tf.tanh(kept @ self.kernel + self.bias)


def legacy():
    return tf_keras.layers.Dense(4, kernel_initializer="ones")


def legacy_model():
    return tf_keras.Sequential([tf_keras.layers.Dropout(0.5), tf_keras.layers.Dense(4, kernel_initializer="ones")])


KINDS = {"function": function, "graph_function": lambda: tf.function(function()), "module": DenseModule,
         "legacy_layer": legacy, "legacy_model": legacy_model}
every_kind = pytest.mark.parametrize("kind", KINDS)


@every_kind
def test_values_gradients_and_variables(kind):
    coupling = tfgb.AffineCoupling((4,), KINDS[kind](), scale="exp")
    assert len(coupling.trainable_variables) == len(coupling.variables) == 2
    y = tf.random.normal((3, 2, 4))
    with tf.GradientTape() as tape:
        x, log_det = coupling.inverse_and_log_det(y)
        loss = tf.reduce_sum(x**2) + tf.reduce_sum(log_det)
    assert all(g is not None for g in tape.gradient(loss, coupling.trainable_variables))
    np.testing.assert_allclose(coupling.forward(x), y, atol=1e-5)
    raw = coupling.network(tf.reshape(y[..., :2], (-1, 2)))
    np.testing.assert_allclose(tf.reshape(log_det, [-1]), -tf.reduce_sum(raw[:, 2:], axis=-1), rtol=1e-5)


def flow_of(kind):
    couplings = [tfgb.AffineCoupling((4,), KINDS[kind](), mask) for mask in ("channel", "channel_reversed")]
    return tfd.TransformedDistribution(tfd.MultivariateNormalDiag(tf.zeros(4)), tfgb.Steps(couplings))


@every_kind
def test_flow_model_trains_and_checkpoints_restore_their_variables(kind, tmp_path):
    flow = flow_of(kind)
    model = tfp_glow.FlowModel(flow)
    assert {id(v.value) for v in model.trainable_variables} == {id(v) for v in flow.trainable_variables}
    assert len(model.trainable_variables) == 4
    before = [v.numpy() for v in flow.trainable_variables]
    model.compile(keras.optimizers.Adam(1e-2))
    data = np.random.RandomState(0).normal(3.0, 2.0, (64, 4)).astype("float32")
    model.fit(data, batch_size=32, verbose=0)
    assert all(np.any(v.numpy() != b) for v, b in zip(flow.trainable_variables, before, strict=True))
    path = tf.train.Checkpoint(flow=flow.bijector).write(str(tmp_path / "checkpoint"))
    other = flow_of(kind)
    tf.train.Checkpoint(flow=other.bijector).read(path).assert_existing_objects_matched()
    np.testing.assert_array_equal(other.log_prob(data), flow.log_prob(tf.constant(data)))


def test_legacy_dropout_receives_training():
    coupling = tfgb.AdditiveCoupling((4,), tf_keras.Sequential([
        tf_keras.layers.Dropout(0.5), tf_keras.layers.Dense(2, kernel_initializer="ones")]))
    y = tf.ones((50, 4))
    assert np.ptp(coupling.inverse(y, training=False)[:, 2]) == 0.0
    assert np.ptp(coupling.inverse(y, training=True)[:, 2]) > 0.0


def test_function_network_receives_a_context():
    coupling = tfgb.AdditiveCoupling((4,), lambda inputs: inputs[0] * inputs[1], context_shape=(1,))
    x = coupling.inverse(tf.ones((3, 4)), context=[[1.0], [2.0], [3.0]])
    np.testing.assert_allclose(x[:, 2], [0.0, -1.0, -2.0])


def test_repeat_rejects_variables_outside_keras():
    with pytest.raises(ValueError, match="`make_step` must return a bijector with Keras variables only"):
        tfgb.Repeat(lambda: tfgb.AffineCoupling((4,), function()), 2)


@pytest.mark.parametrize(("network", "message"), [
    (lambda kept: kept[:, :1], r"`network` must map kept parts of shape \(2,\) to outputs of shape \(4,\); received "
                               r"a network with outputs of shape \(1,\)"),
    (lambda kept: tf.reduce_sum(kept), r"outputs of shape \(4,\); received a network with outputs of shape \(\)"),
    (lambda kept: kept @ tf.zeros((3, 4)), r"`network` must accept kept parts of shape \(2,\); received .* raises"),
    (lambda: None, r"`network` must accept kept parts of shape \(2,\); received .* raises TypeError"),
    (legacy_model, "`network` must accept kept parts"),
    (keras.layers.Dense, "`network` must be a Keras layer or model, or another callable; received <class"),
    ("dense", "`network` must be a Keras layer or model, or another callable; received 'dense'"),
])
def test_errors_name_the_wrong_network(network, message):
    with pytest.raises(ValueError, match=message):
        tfgb.AffineCoupling((4,), network)
