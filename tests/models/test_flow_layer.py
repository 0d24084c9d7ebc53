# SPDX-License-Identifier: Apache-2.0
"""Keras trains and saves flows that are attributes of Keras models, and flows inside a `FlowLayer`."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow
from tfp_glow import bijectors as tfgb

pytestmark = pytest.mark.matrix

tfb, tfd = tfp.bijectors, tfp.distributions
POINTS = np.random.RandomState(0).normal(1.0, 3.0, (64, 2)).astype("float32")


def new_flow(**kwargs):
    return tfp_glow.realnvp_vector(2, 2, (6,), **kwargs)


def composed():
    """TFP objects around flow bijectors, with plain variables."""
    base = tfd.Independent(tfd.Normal(tf.Variable([0.0, 0.0]), tfp.util.TransformedVariable([1.0, 1.0], tfb.Exp())), 1)
    chain = tfb.Chain([tfb.Shift(tf.Variable([0.0, 0.0])), new_flow().bijector, tfb.Invert(tfgb.Scale((2,)))])
    return tfd.Independent(tfd.TransformedDistribution(base, chain), 0)


class LateLayer(keras.layers.Layer):
    """Its method `build` creates the flow."""

    def build(self, shape):
        self.flow = new_flow()

    def call(self, x):
        return self.flow.log_prob(x)


def nll(_, log_prob):
    return -log_prob


class CallModel(keras.Model):
    def __init__(self, flow):
        super().__init__()
        self.flow = flow

    def call(self, x):
        return self.flow.log_prob(x)


class StepModel(CallModel):
    def train_step(self, data):
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(self.flow.log_prob(data[0]))
        self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
        return {"loss": loss}


class LossModel(CallModel):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return -tf.reduce_mean(self.flow.log_prob(x))


class ListModel(keras.Model):
    def __init__(self, flow):
        super().__init__()
        self.parts = {"flows": [new_flow(), (flow,)]}

    def call(self, x):
        return self.parts["flows"][0].log_prob(x) + self.parts["flows"][1][0].log_prob(x)


class BijectorLayer(keras.layers.Layer):
    def __init__(self, flow):
        super().__init__()
        self.bijector = flow.bijector

    def call(self, x):
        return self.bijector.inverse_log_det_jacobian(x) - tf.reduce_sum(self.bijector.inverse(x)**2, axis=-1)


class LateModel(keras.Model):
    """Its flow is appended to a list, which Keras does not see."""

    def __init__(self, flow):
        super().__init__()
        self.dense = keras.layers.Dense(2)
        self.flows = []
        self.flows.append(flow)

    def call(self, x):
        return self.flows[0].log_prob(self.dense(x))


def compiled(model, run_eagerly=True):
    loss = None if isinstance(model, (StepModel, LossModel)) else nll
    model.compile(keras.optimizers.Adam(1e-2), loss=loss, run_eagerly=run_eagerly)  # Eagerly, to save the tracing.
    return model


def trained_variables(model, flow):
    """Fits a model; returns how many trainable variables of the flow changed, and how many there are."""
    before = [variable.numpy() for variable in flow.trainable_variables]
    compiled(model).fit(POINTS, POINTS, batch_size=32, epochs=1, verbose=0)
    changed = [np.any(v.numpy() != b) for v, b in zip(flow.trainable_variables, before, strict=True)]
    return sum(changed), len(changed)


@pytest.mark.parametrize("make", [
    CallModel, StepModel, LossModel, ListModel, lambda flow: keras.Sequential([BijectorLayer(flow)])],
    ids=["call", "train_step", "compute_loss", "containers", "layer_with_a_bijector"])
def test_keras_trains_flows_in_attributes(make):
    flow = new_flow()
    changed, number = trained_variables(make(flow), flow)
    assert changed == number == 10


def test_keras_trains_flows_that_the_method_build_creates():
    model = compiled(keras.Sequential([LateLayer()]), run_eagerly=False)
    model.fit(POINTS, POINTS, batch_size=32, verbose=0)
    assert len(model.trainable_variables) == len(model.layers[0].flow.trainable_variables) == 10


def test_keras_trains_plain_variables_of_compositions_once():
    flow = composed()
    model = CallModel(flow)
    model.again = [flow]
    model.layer = tfp_glow.FlowLayer(flow)
    changed, number = trained_variables(model, flow)
    assert changed == number == len(model.trainable_variables) == 14


def test_weights_and_checkpoints_of_a_model_hold_its_flow(tmp_path):
    model = compiled(CallModel(new_flow()))
    expected = model.predict(POINTS, verbose=0)
    model.save_weights(tmp_path / "model.weights.h5")
    saved = tf.train.Checkpoint(model=model).save(str(tmp_path / "checkpoint"))
    others = [CallModel(new_flow()) for _ in range(2)]
    for other in others:
        other.build((None, 2))
    others[0].load_weights(tmp_path / "model.weights.h5")
    tf.train.Checkpoint(model=others[1]).restore(saved).assert_existing_objects_matched()
    for other in others:
        np.testing.assert_allclose(other.predict(POINTS, verbose=0), expected, rtol=1e-6)


def test_keras_serializes_flows_that_are_arguments():
    flow = new_flow(name="prior")
    saved = keras.saving.serialize_keras_object(flow)
    loaded = keras.saving.deserialize_keras_object(saved)
    assert loaded.name == "prior" and loaded.get_config() == flow.get_config()
    with pytest.raises(ValueError, match="has no config.*register_flow"):
        keras.saving.serialize_keras_object(flow.copy(bijector=tfgb.Scale((2,))))


@pytest.mark.parametrize("make", [
    LateModel, lambda flow: keras.Sequential([keras.layers.Dense(2), keras.layers.Lambda(flow.log_prob)])],
    ids=["appended", "lambda"])
def test_a_flow_that_keras_cannot_see_warns_once(make):
    flow = new_flow()
    message = r"does not track its variables.*self.flow = flow.*FlowLayer\(flow\)"
    with pytest.warns(UserWarning, match=message) as record:
        changed, _ = trained_variables(make(flow), flow)
    assert changed == 0 and sum("track" in str(r.message) for r in record) == 1


def test_an_attribute_that_keras_does_not_track_warns():
    model = keras.Sequential([keras.layers.Dense(2)])
    model.build((None, 2))
    with pytest.warns(UserWarning, match="does not track the flow in its attribute 'flow'"):
        model.flow = new_flow()


def test_a_functional_model_with_a_flow_layer_trains_and_saves(tmp_path):
    flow = new_flow(act_norm=True)
    layer = tfp_glow.FlowLayer(flow)
    layer.initialize(POINTS)
    inputs = keras.Input((2,))
    model = keras.Model(inputs, layer(inputs))
    np.testing.assert_allclose(model.predict(POINTS, verbose=0), flow.log_prob(POINTS), rtol=1e-5)
    changed, number = trained_variables(model, flow)
    assert changed == number == 12
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    np.testing.assert_allclose(loaded.predict(POINTS, verbose=0), model.predict(POINTS, verbose=0), rtol=1e-6)


def test_a_flow_layer_of_plain_distributions_of_frozen_flows_and_of_bijectors():
    plain = tfd.MultivariateNormalDiag(tf.Variable([0.0, 0.0]), tf.Variable([1.0, 1.0]))
    assert trained_variables(keras.Sequential([tfp_glow.FlowLayer(plain)]), plain) == (2, 2)
    fixed = new_flow()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model = keras.Sequential([keras.layers.Dense(2), tfp_glow.FlowLayer(fixed, trainable=False)])
        assert trained_variables(model, fixed)[0] == 0 and len(model.trainable_variables) == 2
    latents, log_det = tfp_glow.FlowLayer(fixed.bijector)(POINTS)
    np.testing.assert_allclose(log_det, fixed.bijector.inverse_log_det_jacobian(POINTS), rtol=1e-5)
    assert latents.shape == (64, 2)
    with pytest.raises(ValueError, match="can be saved whole only if"):
        tfp_glow.FlowLayer(fixed.bijector).get_config()
    with pytest.raises(ValueError, match="`flow` must be a tfd.Distribution over one tensor or a tfb.Bijector"):
        tfp_glow.FlowLayer(keras.layers.Dense(2))


def test_conditions_of_a_flow_layer():
    flow = tfp_glow.glow((4, 4, 1), 1, 1, 4, num_classes=3)
    layer = tfp_glow.FlowLayer(flow)
    images, labels = np.zeros((2, 4, 4, 1), "uint8"), np.array([0, 2])
    layer.initialize(np.random.RandomState(0).uniform(0, 255, (8, 4, 4, 1)), np.arange(8) % 3)
    expected = flow.log_prob(images.astype("float32"), bijector_kwargs={"context": tf.one_hot(labels, 3)})
    np.testing.assert_allclose(layer(images, labels), expected, rtol=1e-6)
    with pytest.raises(ValueError, match="`condition` must hold labels, one per event; received None"):
        layer(images)
    with pytest.raises(ValueError, match="`condition` must be left out"):
        tfp_glow.FlowLayer(new_flow())(POINTS, labels)
