# SPDX-License-Identifier: Apache-2.0
"""Tests of contexts in custom distributions, and of error messages for wrong conditions."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from test_labels import IMAGES, LABELS, POINTS, SHAPE, moved, small_glow

import tfp_glow
from tfp_glow import bijectors as tfgb
from tfp_glow.networks import MLP

tfb, tfd = tfp.bijectors, tfp.distributions


@pytest.fixture(scope="module")
def labeled():
    """A class-conditional Glow, initialized and compiled. Tests must not change it."""
    model = tfp_glow.FlowModel(small_glow(num_levels=1))
    model.initialize(IMAGES, LABELS)
    model.compile("adam")
    return model


def coupling(context_shape=(3,), name="affine_coupling"):
    return tfgb.AffineCoupling((4,), MLP(4, (8,), seed=0), scale="tanh", context_shape=context_shape, name=name)


def normal():
    return tfd.MultivariateNormalDiag(tf.zeros(4))


COMPOSITIONS = {
    "steps": lambda: tfd.TransformedDistribution(normal(), tfgb.Steps([tfgb.ActNorm((4,)), coupling()])),
    "chain": lambda: tfd.TransformedDistribution(
        normal(), tfb.Chain([tfb.Shift(1.0), coupling(), tfgb.Reverse((4,)), coupling(name="other")])),
    "invert": lambda: tfd.TransformedDistribution(normal(), tfb.Invert(coupling())),
    "nested": lambda: tfd.TransformedDistribution(
        tfd.TransformedDistribution(normal(), coupling()), tfb.Chain([tfgb.ActNorm((4,)), coupling(name="other")])),
}


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_contexts_reach_the_bijectors_of_compositions(name):
    rng = np.random.RandomState(0)
    y, contexts = rng.standard_normal((8, 4)).astype("float32"), rng.standard_normal((8, 3))
    model = tfp_glow.FlowModel(COMPOSITIONS[name]())
    assert model.condition_spec == tf.TensorSpec((None, 3), tf.float32, "context")
    model.initialize(y, contexts)
    moved(model.distribution)
    log_prob = model.log_prob(y, condition=contexts)
    for index in (0, 5):
        np.testing.assert_allclose(model.log_prob(y[index], condition=contexts[index]), log_prob[index], rtol=1e-4)
    assert np.all(np.abs(model.log_prob(y, condition=contexts + 1.0) - log_prob) > 1e-4)
    latents = model.encode(y, contexts)
    np.testing.assert_allclose(model.decode(latents, contexts), y, atol=1e-4)
    assert model.sample(5, seed=1, condition=contexts[0]).shape == (5, 4)


def test_training_uses_the_contexts():
    model = tfp_glow.FlowModel(COMPOSITIONS["chain"]())
    model.compile(keras.optimizers.Adam(1e-2))
    rng = np.random.RandomState(0)
    contexts = rng.standard_normal((256, 3)).astype("float32")
    y = (contexts @ rng.standard_normal((3, 4)) + 0.1 * rng.standard_normal((256, 4))).astype("float32")
    model.fit(y, contexts, epochs=10, validation_data=(y, contexts), verbose=0)
    right, wrong = (np.mean(model.log_prob(y, condition=each)) for each in (contexts, contexts[::-1]))
    assert right > wrong + 0.5


# Wrong conditions.


def dataset(*parts):
    return tf.data.Dataset.from_tensor_slices(parts if len(parts) > 1 else parts[0]).batch(24)


@pytest.mark.parametrize(("call", "message"), [
    (lambda m: m.log_prob(POINTS), r"`condition` must be integer labels in \[0, 2\); received None"),
    (lambda m: m.bits_per_dim(POINTS, condition=[0, 1, 2, 0, 1, 0]), r"integer labels in \[0, 2\); received 2"),
    (lambda m: m.encode(POINTS, -1), r"integer labels in \[0, 2\); received -1"),
    (lambda m: m.decode(np.zeros((6, 16)), 0.5), "`condition` must be integer labels.*received 0.5"),
    (lambda m: m.reconstruct(POINTS, "bright"), "`condition` must be integer labels.*received 'bright'"),
    (lambda m: m.log_prob(POINTS, condition=[0, 1]), r"`condition` must have a batch shape that .*\(6,\)"),
    (lambda m: m.sample(3), "`condition` must be integer labels.*received None"),
    (lambda m: m.sample(3, condition=[0, 1]), r"`condition` must have a batch shape that broadcasts to .*\(3,\); .* "
     r"For 3 samples of each label, call `sample\(6, condition=np.repeat\(condition, 3\)\)`\.$"),
    (lambda m: tfp_glow.FlowModel(COMPOSITIONS["steps"]()).sample(9, condition=np.zeros((4, 3), "float32")),
     r"\(9,\); received shape \(4, 3\) and dtype float32\. For 9 samples per context, call "
     r"`model\.distribution\.sample\(\(9, 4\), bijector_kwargs=\{\"context\": condition\}\)`\.$"),
    (lambda m: m(POINTS), "`x` must be a pair of events and labels"),
    (lambda m: m.initialize(IMAGES), "`condition` must be integer labels"),
    (lambda m: m.fit(IMAGES), "`y` must be integer labels.*received None"),
    (lambda m: m.fit(IMAGES, LABELS + 1), r"`y` must be integer labels in \[0, 2\); received 2"),
    (lambda m: m.fit(IMAGES, LABELS.astype("float32")), "`y` must be integer labels.*dtype float32"),
    (lambda m: m.fit(IMAGES, np.eye(2, dtype=int)[LABELS]), r"`y` must hold integer labels.*received shape \(96, 2\)"),
    (lambda m: m.fit(dataset(IMAGES)), "`y` must hold integer labels.*received None"),
    (lambda m: m.fit(dataset(IMAGES, {"class": LABELS})), "`y` must hold integer labels.*received {'class'"),
    (lambda m: m.fit(dataset(IMAGES, LABELS / 2)), "`y` must hold integer labels.*dtype float64"),
    (lambda m: m.fit(IMAGES, LABELS, validation_data=(IMAGES,)), "`validation_data` must be .*labels.*received None"),
    (lambda m: m.fit(IMAGES, LABELS, validation_data=dataset(IMAGES)), "`validation_data` must hold integer labels"),
    (lambda m: m.evaluate(IMAGES), "`y` must be integer labels.*received None"),
    (lambda m: m.evaluate(dataset(IMAGES, LABELS + 1), verbose=0), "`y` must hold integer labels.*other labels"),
    (lambda m: tfp_glow.FlowModel(small_glow(None)).log_prob(POINTS, condition=1),
     "`condition` must be left out, because the distribution .* no conditioned bijector; received 1"),
    (lambda m: tfp_glow.FlowModel(small_glow(None), weight_y=0.1),
     "`weight_y` must be 0 unless the distribution is a tfp_glow.glow with `num_classes`"),
    (lambda m: tfp_glow.FlowModel(tfp_glow.realnvp(SHAPE, 1, 1, 4, num_classes=2), weight_y=1), "`weight_y` must be 0"),
    (lambda m: tfp_glow.FlowModel(tfd.TransformedDistribution(normal(), tfb.Chain([coupling(), coupling((2,), "b")]))),
     r"must have one context shape; received \(2,\), \(3,\)"),
    (lambda m: tfp_glow.FlowModel(tfd.Independent(COMPOSITIONS["steps"](), 0)),
     "A conditioned bijector must be inside flow bijectors, tfb.Chain.*received 'steps'"),
    (lambda m: tfp_glow.FlowModel(COMPOSITIONS["steps"]()).log_prob(np.zeros((2, 4)), condition=np.zeros((2, 4))),
     r"`condition` must be contexts of shape \(3,\); received shape \(2, 4\)"),
    (lambda m: tfp_glow.FlowModel(COMPOSITIONS["steps"]()).sample(2, condition=[0.0, np.nan, 1.0]),
     "`condition` must be finite"),
])
def test_wrong_conditions_raise(labeled, call, message):
    with pytest.raises(ValueError, match=message):
        call(labeled)


def test_a_wrong_label_in_the_middle_of_training_raises():
    model = tfp_glow.FlowModel(small_glow(num_levels=1))
    model.compile("adam")
    wrong = np.where(np.arange(96) < 72, LABELS, 7)
    with pytest.raises(ValueError, match="`y` must hold integer labels.*received a batch with other labels"):
        model.fit(dataset(IMAGES, wrong), verbose=0)


def test_a_flow_without_classes_ignores_labels():
    model = tfp_glow.FlowModel(small_glow(None, num_levels=1))
    assert model.condition_spec is None
    model.compile("adam")
    model.fit(IMAGES, np.full(96, 77), verbose=0)
    assert np.isfinite(model.evaluate(IMAGES, np.full(96, -1), verbose=0)[0])
