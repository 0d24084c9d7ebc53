# SPDX-License-Identifier: Apache-2.0
"""Tests of `FlowModel`: training, initialization, strategies, saving, densities and wrong input."""

import contextlib
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow

pytestmark = pytest.mark.matrix

tfb, tfd = tfp.bijectors, tfp.distributions
RNG = np.random.RandomState(0)
IMAGES = np.clip(128 + np.cumsum(RNG.randint(-20, 21, (96, 8, 8, 1)), axis=2), 0, 255).astype("uint8")
POINTS = IMAGES[:5] + RNG.uniform(size=(5, 8, 8, 1)).astype("float32")


def small_glow(**kwargs):
    return tfp_glow.glow((8, 8, 1), **{"num_levels": 2, "num_steps": 2, "width": 8, "seed": 0, **kwargs})


def fitted(strategy=None, epochs=1, jit_compile=False, data=None, **kwargs):
    with strategy.scope() if strategy else contextlib.nullcontext():
        model = tfp_glow.FlowModel(small_glow(**kwargs))
        model.compile(keras.optimizers.Adam(1e-3), jit_compile=jit_compile)
    data = tf.data.Dataset.from_tensor_slices((IMAGES, np.zeros(96))).batch(24) if data is None else data
    losses = []
    callback = keras.callbacks.LambdaCallback(on_train_batch_end=lambda _, logs: losses.append(logs["loss"]))
    model.fit(data, epochs=epochs, verbose=0, callbacks=[callback])
    return model, losses


@pytest.fixture(scope="module")
def trained():
    keras.utils.set_random_seed(0)
    return fitted(epochs=5)


def test_training_lowers_bits_per_dim_and_evaluate_is_deterministic(trained):
    model, losses = trained
    assert losses[16] < losses[0] - 0.05  # The same batch, four epochs later.
    first, second = (model.evaluate(IMAGES, verbose=0, return_dict=True) for _ in range(2))
    assert first == second
    assert first["bits_per_dim"] == pytest.approx(first["loss"], abs=1e-5)
    assert 4.0 < first["bits_per_dim"] < 8.0


def test_all_lists_of_trainable_variables_are_equal(trained):
    model, _ = trained
    keras_s = [id(v.value) for v in model.trainable_variables]
    tfp_s = [id(v) for v in model.distribution.trainable_variables]
    optimizer_s = [id(v.value) for v in model.optimizer._trainable_variables]
    assert len(keras_s) == len(set(keras_s)) == 29
    assert set(keras_s) == set(tfp_s) == set(optimizer_s)


def test_one_device_and_two_replicas_give_the_same_losses():
    """The flow has one level, because each replica is traced."""
    _, alone = fitted(epochs=5, num_levels=1)
    _, together = fitted(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]), epochs=5, num_levels=1)
    assert len(together) == 20
    np.testing.assert_allclose(together, alone, atol=1e-4)


@pytest.mark.slow
def test_reversible_backprop_and_xla_give_the_same_losses(trained):
    _, losses = trained
    np.testing.assert_allclose(fitted(backprop="reversible")[1], losses[:4], atol=1e-5)
    xla = fitted(jit_compile=True)[1]  # XLA draws different noise from the same seed.
    np.testing.assert_allclose(xla, losses[:4], atol=2e-2)


@pytest.mark.parametrize("way", ["keras", "weights", "checkpoint"])
def test_restored_models_are_equal_and_are_not_initialized_again(trained, way, tmp_path):
    model, _ = trained
    if way == "keras":
        model.save(tmp_path / "model.keras")
        other = keras.saving.load_model(tmp_path / "model.keras")
    else:
        other = tfp_glow.FlowModel(small_glow(seed=5))
        other.compile(keras.optimizers.Adam(1e-3))
        if way == "weights":
            model.save_weights(tmp_path / "model.weights.h5")
            other.load_weights(tmp_path / "model.weights.h5")
        else:
            path = tf.train.Checkpoint(model=model).write(str(tmp_path / "checkpoint"))
            tf.train.Checkpoint(model=other).read(path)
    np.testing.assert_array_equal(other.log_prob(POINTS), model.log_prob(POINTS))
    assert other.is_initialized
    other.compile(keras.optimizers.SGD(0.0), run_eagerly=True)  # Faster than a graph for two steps.
    other.fit(IMAGES // 2, batch_size=48, verbose=0)  # A second initialization would change the actnorms.
    np.testing.assert_array_equal(other.log_prob(POINTS), model.log_prob(POINTS))


def test_initialization_handles_constant_channels():
    model = tfp_glow.FlowModel(small_glow())
    images = IMAGES.astype("float32")
    images[:, :2] = 0.0
    model.initialize(images)
    assert np.all(np.isfinite(model.log_prob(images)))
    black = tfp_glow.FlowModel(small_glow())
    black.initialize(np.zeros((1, 8, 8, 1), "float32"))
    assert np.all(np.isfinite(black.log_prob(np.zeros((3, 8, 8, 1), "float32"))))


def test_densities_match_the_distribution(trained):
    model, _ = trained
    log_prob = model.log_prob(POINTS)
    np.testing.assert_allclose(log_prob, model.distribution.log_prob(tf.constant(POINTS)), rtol=1e-5)
    np.testing.assert_allclose(model.bits_per_dim(POINTS), -log_prob / (64 * math.log(2.0)), rtol=1e-6)
    np.testing.assert_array_equal(model.log_prob(IMAGES, seed=3), model.log_prob(IMAGES, seed=3))
    assert np.any(model.log_prob(IMAGES, seed=3) != model.log_prob(IMAGES, seed=4))
    assert model.log_prob(POINTS[0]).shape == ()
    assert model.log_prob(POINTS[:4].reshape(2, 2, 8, 8, 1)).shape == (2, 2)


def test_encode_and_decode_are_exact_for_integers(trained):
    model, _ = trained
    latents = model.encode(IMAGES)
    assert latents.shape == (96, 64)
    decoded = model.decode(latents)
    assert decoded.dtype == tf.uint8
    np.testing.assert_array_equal(decoded, IMAGES)
    np.testing.assert_array_equal(model.reconstruct(IMAGES[0]), IMAGES[0])


def test_samples_follow_seed_number_and_temperature(trained):
    model, _ = trained
    first = model.sample(3, seed=1)
    assert first.shape == (3, 8, 8, 1) and first.dtype == tf.uint8
    np.testing.assert_array_equal(first, model.sample(3, seed=1))
    assert np.any(first != model.sample(3, seed=2))
    cold = model.sample(3, temperature=0.0, seed=1).numpy()
    np.testing.assert_array_equal(cold[0], cold[1])
    np.testing.assert_array_equal(cold[0], model.decode(np.zeros(64, "float32")))


def test_densities_are_per_gray_level():
    """The density is per unit of pixel values. The test compares an untrained 1-bit flow with the closed form."""
    model = tfp_glow.FlowModel(tfp_glow.glow((2, 2, 1), num_levels=1, num_steps=1, width=2, num_bits=1, scale="exp"))
    latents = model.encode(POINTS[:1, :2, :2] % 2)
    expected = -0.5 * np.sum(latents**2) - 2 * math.log(2 * math.pi) - 4 * math.log(2.0)
    assert float(model.log_prob(POINTS[:1, :2, :2] % 2)[0]) == pytest.approx(expected, rel=1e-5)


def test_plain_variables_of_any_distribution_are_trained_and_saved(tmp_path):
    def build():
        base = tfd.MultivariateNormalDiag(tf.Variable(tf.zeros(3)), tfp.util.TransformedVariable(tf.ones(3), tfb.Exp()))
        chain = tfb.Chain([tfp_glow.bijectors.ActNorm((3,)), tfb.Scale(tf.Variable([1.0, 2.0, 3.0]))])
        model = tfp_glow.FlowModel(tfd.TransformedDistribution(base, chain))
        model.compile(keras.optimizers.Adam(1e-2))
        return model

    model = build()
    data = RNG.normal(5.0, 3.0, (500, 3)).astype("float32")
    before = [v.numpy() for v in model.distribution.trainable_variables]
    model.fit(data, epochs=2, verbose=0)
    assert len(model.trainable_variables) == len(model.distribution.trainable_variables) == 5
    assert all(np.any(v.numpy() != b) for v, b in zip(model.distribution.trainable_variables, before, strict=True))
    entropy = math.log2(3.0 * math.sqrt(2 * math.pi * math.e))
    assert model.evaluate(data, verbose=0)[0] == pytest.approx(entropy, abs=0.1)
    model.save_weights(tmp_path / "model.weights.h5")
    other = build()
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(other.log_prob(data), model.log_prob(data))
    with pytest.raises(ValueError, match="can be saved whole only if"):
        model.save(tmp_path / "model.keras")


def test_float64_flows_train():
    model, losses = fitted(dtype="float64")
    assert model.log_prob(POINTS).dtype == tf.float64 and np.all(np.isfinite(losses))


@pytest.mark.parametrize(("call", "message"), [
    (lambda m: tfp_glow.FlowModel("glow"), "`distribution` must be a tfd.Distribution"),
    (lambda m: tfp_glow.FlowModel(tfd.Normal([0.0, 1.0], 1.0)), "no batch shape"),
    (lambda m: tfp_glow.FlowModel(small_glow(), num_bits=17), "`num_bits` must be at most 16; received 17"),
    (lambda m: tfp_glow.FlowModel(small_glow(), seed=-1), "`seed` must be an integer"),
    (lambda m: m.log_prob(np.zeros((2, 8, 9, 1), "float32")), r"`x` must have a shape that ends in \(8, 8, 1\)"),
    (lambda m: m.log_prob(np.full((2, 8, 8, 1), np.nan, "float32")), "`x` must be finite"),
    (lambda m: m.fit(np.full((2, 8, 8, 1), np.nan, "float32")), "`x` must be finite"),
    (lambda m: m.encode(np.zeros((8, 8))), "`x` must have a shape"),
    (lambda m: m.decode(np.zeros((3, 63), "float32")), r"`latents` must have a shape that ends in \(64,\)"),
    (lambda m: m.sample(-1), "`n` must be an integer of at least 0; received -1"),
    (lambda m: m.sample(1, temperature=-1.0), "`temperature` must be finite and not be negative; received -1.0"),
    (lambda m: m.sample(1, seed=1.5), "`seed` must be an integer"),
    (lambda m: tfp_glow.FlowModel(tfd.Sample(tfd.Normal(0.0, 1.0), 3)).encode(np.zeros((1, 3))), "Latents"),
    (lambda m: tfp_glow.export_saved_model("model", "x"), "`model` must be a tfp_glow.FlowModel"),
])
def test_wrong_input_raises(trained, call, message):
    with pytest.raises(ValueError, match=message):
        call(trained[0])
