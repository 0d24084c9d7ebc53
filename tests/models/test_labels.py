# SPDX-License-Identifier: Apache-2.0
"""Tests of class-conditional models: priors, labels in each method, training, saving and the classifier."""

import contextlib
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_flows import log_det_by_autodiff

import tfp_glow
from tfp_glow import bijectors as tfgb
from tfp_glow.networks import ConvNet

SHAPE = (4, 4, 1)


def toy(number=96, seed=0):
    """Returns images of two classes, dark and bright, and their labels."""
    rng = np.random.RandomState(seed)
    labels = rng.randint(0, 2, number)
    images = rng.normal(64 + 128 * labels[:, None, None, None], 12.0, (number, *SHAPE))
    return np.clip(images, 0, 255).astype("uint8"), labels


IMAGES, LABELS = toy()
POINTS = IMAGES[:6] + np.random.RandomState(1).uniform(size=(6, *SHAPE)).astype("float32")


def small_glow(num_classes=2, **kwargs):
    return tfp_glow.glow(SHAPE, **{"num_levels": 2, "num_steps": 1, "width": 4, "seed": 0, "num_classes": num_classes,
                                   **kwargs})


def fitted(build, labels=LABELS, epochs=1, strategy=None, learning_rate=1e-2, **kwargs):
    with strategy.scope() if strategy else contextlib.nullcontext():
        model = tfp_glow.FlowModel(build(), **kwargs)
        model.compile(keras.optimizers.Adam(learning_rate))
    losses = []
    callback = keras.callbacks.LambdaCallback(on_train_batch_end=lambda _, logs: losses.append(logs["loss"]))
    data = (IMAGES,) if labels is None else (IMAGES, labels)
    model.fit(tf.data.Dataset.from_tensor_slices(data).batch(24), epochs=epochs, verbose=0, callbacks=[callback])
    return model, losses


def moved(flow, scale=0.3):
    """Moves the weights of a flow away from their initial values, so that zero-initialized layers matter."""
    rng = np.random.RandomState(0)
    for variable in flow.trainable_variables:
        variable.assign_add(scale * rng.standard_normal(variable.shape))
    return flow


def num_trained(flow):
    return sum(math.prod(v.shape) for v in flow.trainable_variables)


def log_normal(x, mean=0.0, log_scale=0.0):
    terms = -0.5 * ((x - mean) * np.exp(-log_scale)) ** 2 - log_scale - 0.5 * math.log(2.0 * math.pi)
    return terms.sum(axis=-1)


@pytest.fixture(scope="module")
def trained():
    """A trained class-conditional Glow of one level, with a classifier. Tests must not change it."""
    keras.utils.set_random_seed(0)
    return fitted(lambda: small_glow(num_levels=1), weight_y=0.1)[0]


# The flows.


def test_each_class_has_a_normal_prior():
    """Before training, the prior equals the prior of a flow without classes.

    With other parameters, the density matches a normal distribution with the mean and scale of the label's class.
    """
    plain, flow = small_glow(None, dtype="float64"), small_glow(dtype="float64")
    (prior,) = (part for part in flow.submodules if isinstance(part, tfgb.ConditionalAffine))
    x, one_hot = POINTS.astype("float64"), tf.one_hot(LABELS[:6], 2, dtype="float64")
    expected = plain.log_prob(x)
    np.testing.assert_allclose(flow.log_prob(x, bijector_kwargs={"context": one_hot}), expected, rtol=1e-12)
    rng = np.random.RandomState(0)
    kernel, bias = rng.standard_normal((2, 16)), rng.standard_normal(16)
    prior.kernel.assign(kernel)
    prior.bias.assign(bias)
    top = plain.bijector.inverse(x).numpy()[:, -8:]  # One pixel of eight channels.
    mean, log_scale = np.split(kernel[LABELS[:6]] + bias, 2, axis=1)
    expected = expected - log_normal(top) + log_normal(top, mean, log_scale)
    np.testing.assert_allclose(flow.log_prob(x, bijector_kwargs={"context": one_hot}), expected, rtol=1e-10)


def test_parameter_counts_match_formulas():
    assert num_trained(small_glow(3)) == num_trained(small_glow(None)) + (3 + 1) * 2 * 8
    plain, flow = (tfp_glow.realnvp(SHAPE, 2, 1, 4, num_classes=k) for k in (None, 3))
    widths = [4] * 3 + [8] * 3 + [8] * 4  # Three label inputs enter the norm, and twice the first convolution.
    assert num_trained(flow) == num_trained(plain) + sum(3 + 9 * 2 * 3 * width for width in widths)


@pytest.mark.parametrize("build", [
    small_glow, lambda **k: small_glow(backprop="reversible", **k),
    lambda **k: tfp_glow.realnvp(SHAPE, 2, 1, 4, num_classes=2, **k)], ids=["glow", "glow_reversible", "realnvp"])
def test_density_depends_on_the_label_and_has_all_gradients(build):
    flow = moved(build(dtype="float64"))
    x = tf.constant(POINTS[:2], tf.float64)
    given = {"context": tf.one_hot([0, 1], 2, dtype="float64")}
    with tf.GradientTape() as tape:
        log_prob = flow.log_prob(x, bijector_kwargs=given)
    assert all(g is not None and np.any(g) for g in tape.gradient(log_prob, flow.trainable_variables))
    z, log_det = flow.bijector.inverse_and_log_det(x, **given)
    expected = log_det_by_autodiff(
        lambda v, c: flow.bijector.inverse_and_log_det(v, context=c)[0], x, given["context"])
    np.testing.assert_allclose(log_det, expected, atol=1e-8)
    np.testing.assert_allclose(flow.bijector.forward(tf.identity(z), **given), x, atol=1e-8)
    other = flow.log_prob(x, bijector_kwargs={"context": given["context"][::-1]})
    assert np.all(np.abs(other - log_prob) > 1e-3)


# The model.


def test_labels_lower_bits_per_dim():
    """Trains one-step flows on two well-separated classes, with and without labels."""
    small = {"num_levels": 1, "learn_top": True}
    conditional, _ = fitted(lambda: small_glow(**small), epochs=8, learning_rate=0.03)
    plain, _ = fitted(lambda: small_glow(None, **small), epochs=8, learning_rate=0.03)
    images, labels = toy(seed=5)
    bits = [np.mean(conditional.bits_per_dim(images, condition=each)) for each in (labels, 1 - labels)]
    assert bits[0] + 0.1 < np.mean(plain.bits_per_dim(images)) < bits[1]
    samples = conditional.sample(40, seed=1, condition=np.arange(40) % 2).numpy()
    assert samples[::2].mean() + 64 < samples[1::2].mean()


def test_methods_and_functions_agree_for_labels(trained):
    labels = LABELS[:6]
    assert trained.condition_spec == tf.TensorSpec((None,), tf.int32, "labels")
    functions, seed = trained.functions, tf.constant(3)
    c = tf.constant(labels, tf.int32)
    expected = trained.distribution.log_prob(tf.constant(POINTS), bijector_kwargs={"context": tf.one_hot(c, 2)})
    np.testing.assert_allclose(trained.log_prob(POINTS, condition=labels), expected, rtol=1e-5)
    np.testing.assert_allclose(functions.log_prob(POINTS, seed, c), expected, rtol=1e-5)
    np.testing.assert_allclose(functions.bits_per_dim(POINTS, seed, c), functions.to_bits(expected), rtol=1e-5)
    latents = trained.encode(POINTS, labels)
    np.testing.assert_array_equal(functions.encode(POINTS, c), latents)
    np.testing.assert_array_equal(functions.decode(latents, c), trained.decode(latents, labels))
    np.testing.assert_array_equal(trained.reconstruct(IMAGES, LABELS), IMAGES)
    one = functions.sample(tf.constant(4), tf.constant(0.7), seed, tf.constant([1]))
    np.testing.assert_array_equal(one, trained.sample(4, 0.7, seed=3, condition=1))
    np.testing.assert_array_equal(one, trained.sample(4, 0.7, seed=3, condition=[1, 1, 1, 1]))


def test_labels_broadcast_to_the_batch(trained):
    expected = trained.log_prob(POINTS, condition=np.ones(6, "uint8"))
    np.testing.assert_allclose(trained.log_prob(POINTS, condition=1), expected, rtol=1e-6)
    square = trained.log_prob(POINTS.reshape(2, 3, *SHAPE), condition=np.array([[1], [0]]))
    assert square.shape == (2, 3)
    np.testing.assert_allclose(square[0], expected[:3], rtol=1e-6)
    assert trained.log_prob(POINTS[0], condition=1).shape == ()
    assert trained.encode(POINTS[0], 1).shape == (16,) and trained.decode(np.zeros(16), 0).shape == SHAPE


def test_restored_models_are_equal(trained, tmp_path):
    trained.save(tmp_path / "model.keras")
    other = keras.saving.load_model(tmp_path / "model.keras")
    assert other.condition_spec == trained.condition_spec
    third = tfp_glow.FlowModel(small_glow(seed=5, num_levels=1), weight_y=0.1)
    trained.save_weights(tmp_path / "model.weights.h5")
    third.load_weights(tmp_path / "model.weights.h5")
    for each in (other, third):
        for received, expected in zip(each((POINTS, LABELS[:6])), trained((POINTS, LABELS[:6])), strict=True):
            np.testing.assert_array_equal(received, expected)
        assert each.is_initialized


def test_initialize_accepts_labels():
    model = tfp_glow.FlowModel(tfp_glow.realnvp(SHAPE, 1, 1, 4, num_classes=2))
    model.initialize(IMAGES, LABELS)
    assert model.is_initialized and np.all(np.isfinite(model.log_prob(IMAGES, condition=LABELS)))


@pytest.mark.slow
def test_replicas_and_reversible_backprop_give_the_same_losses():
    how = {"weight_y": 0.1, "learning_rate": 1e-3}
    _, alone = fitted(small_glow, epochs=2, **how)
    _, reversible = fitted(lambda: small_glow(backprop="reversible"), **how)
    np.testing.assert_allclose(reversible, alone[:4], atol=1e-4)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], tf.distribute.ReductionToOneDevice())
    _, together = fitted(small_glow, epochs=2, strategy=strategy, **how)
    np.testing.assert_allclose(together, alone, atol=1e-4)


# The classifier.


def test_classifier_loss_and_accuracy_match_the_logits(trained):
    log_prob, logits = trained((POINTS, LABELS[:6]))
    result = trained.evaluate(POINTS, LABELS[:6], verbose=0, return_dict=True)
    nats = np.log(np.exp(logits).sum(axis=1)) - np.take_along_axis(logits.numpy(), LABELS[:6, None], 1)[:, 0]
    bits = -log_prob / (16 * math.log(2.0)) + 0.1 * nats / math.log(2.0)
    assert result["loss"] == pytest.approx(np.mean(bits), rel=1e-5)
    assert result["bits_per_dim"] == pytest.approx(np.mean(-log_prob) / (16 * math.log(2.0)), rel=1e-5)
    assert result["accuracy"] == pytest.approx(np.mean(np.argmax(logits, axis=1) == LABELS[:6]))
    fresh = tfp_glow.FlowModel(small_glow(), weight_y=0.1)
    fresh.compile()
    result = fresh.evaluate(POINTS, LABELS[:6], verbose=0, return_dict=True)
    assert result["loss"] - result["bits_per_dim"] == pytest.approx(0.1 * math.log2(2), rel=1e-3)  # Zero-initialized.


def test_logits_do_not_depend_on_the_label():
    model = tfp_glow.FlowModel(moved(small_glow()), weight_y=0.1)
    model.classifier.set_weights([np.random.RandomState(0).standard_normal(v.shape) for v in model.classifier.weights])
    (log_prob, logits), (other, same) = (model((POINTS, np.full(6, label))) for label in (0, 1))
    assert np.all(np.abs(log_prob - other) > 1e-3) and np.any(np.abs(logits) > 0.1)
    np.testing.assert_allclose(logits, same, atol=1e-4)


def test_the_classifier_adds_no_network_evaluation(monkeypatch):
    count, call = tf.Variable(0), ConvNet.call

    def counting(self, inputs):
        if not isinstance(inputs, keras.KerasTensor):
            count.assign_add(1)
        return call(self, inputs)

    monkeypatch.setattr(ConvNet, "call", counting)
    model = tfp_glow.FlowModel(small_glow(num_steps=2), weight_y=0.1)
    model.initialize(IMAGES, LABELS)
    model.compile("adam")
    count.assign(0)
    before = [v.numpy() for v in model.trainable_variables]
    model.fit(IMAGES, LABELS, batch_size=96, epochs=3, verbose=0)
    assert int(count) == 3 * 4  # Two levels with two steps each.
    assert all(np.any(v.numpy() != b) for v, b in zip(model.trainable_variables, before, strict=True))
    count.assign(0)
    model((POINTS, LABELS[:6]))
    assert int(count) == 4
