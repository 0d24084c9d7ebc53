# SPDX-License-Identifier: Apache-2.0
"""Tests of uniform and variational dequantization: bounds, training, saving and the command line."""

import contextlib
import json
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from small_flows import eagerly

import tfp_glow
from tfp_glow.models.quantization import add_noise
from trainers import evaluate, train

tfb, tfd = tfp.bijectors, tfp.distributions
RNG = np.random.RandomState(0)
SHAPE = (2, 2, 1)
BITS = RNG.randint(0, 2, (256, *SHAPE)).astype("uint8")
# Each of the two bins of a pixel has half of the probability mass, near the border between the bins. An image costs
# 1 bit per dimension if the noise is near 1 for pixels of 0 and near 0 for pixels of 1.
MIDDLE = tfd.Independent(tfd.Normal(tf.ones(SHAPE), 0.25), 3)


def small_dequantizer(shape=SHAPE, **kwargs):
    return tfp_glow.dequantizer(shape, **{"num_steps": 2, "width": 8, "num_bits": 1, "seed": 1, **kwargs})


def disturbed(distribution, size=0.5):
    rng = np.random.RandomState(1)
    for variable in distribution.trainable_variables:
        variable.assign_add(size * rng.standard_normal(variable.shape).astype(variable.dtype.name))
    return distribution


@pytest.fixture(scope="module")
def trained():
    """A trained model in which only the dequantizer has variables. Tests must not change it."""
    model = tfp_glow.FlowModel(MIDDLE, dequantizer=small_dequantizer())
    model.compile(keras.optimizers.Adam(1e-2))
    model.fit(BITS, batch_size=64, epochs=60, verbose=0)
    return model


# The noise.


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_noise_stays_inside_the_bin_where_the_sum_is_rounded(dtype):
    x = np.array([0, 1, 255, 4095, 65535, -1, -2, -65536], dtype)
    most = np.nextafter(np.array(1.0, dtype), np.array(0.0, dtype))
    for noise in (0.0, 0.25, 0.5, most):
        points = add_noise(tf.constant(x), tf.constant(np.full_like(x, noise))).numpy()
        assert np.all(points >= x) and np.all(points < x + 1)
        np.testing.assert_allclose(points, x + noise, rtol=2 * np.finfo(dtype).eps)
    large = np.array([2.0**24, -(2.0**24)], "float32")  # Beside it, floats are two apart.
    np.testing.assert_array_equal(add_noise(tf.constant(large), tf.constant([0.9, 0.9])), large)


@pytest.mark.parametrize("num_bits", [8, 16])
def test_the_largest_integer_with_noise_has_a_density(num_bits):
    end = np.nextafter(np.float32(2**num_bits), np.float32(0))  # Above it, the density is 0.
    uniform = tfd.Independent(tfd.Uniform(tf.zeros(SHAPE), end), 3)
    model = tfp_glow.FlowModel(uniform, num_bits=num_bits)
    images = np.full((1, *SHAPE), 2**num_bits - 1, "uint8" if num_bits == 8 else "uint16")
    noise = np.full(images.shape, np.nextafter(np.float32(1), np.float32(0)))
    nats = -math.prod(SHAPE) * num_bits * math.log(2)
    np.testing.assert_allclose(model.log_prob(images, noise=noise), nats, rtol=1e-6)
    many = np.broadcast_to(images, (2000, *SHAPE))
    assert np.isfinite(model.log_prob(many, seed=0)).all()


# The dequantizer.


def test_the_dequantizer_starts_as_uniform_noise():
    model = tfp_glow.FlowModel(MIDDLE, dequantizer=small_dequantizer())
    plain = tfp_glow.FlowModel(MIDDLE)
    assert plain.is_initialized and not model.is_initialized
    model.initialize(BITS)
    assert model.is_initialized
    np.testing.assert_allclose(model.log_prob(BITS, seed=4), plain.log_prob(BITS, seed=4), atol=1e-4)
    extremes = np.zeros_like(BITS, "float32")
    extremes[::2] = 1.0
    assert np.isfinite(model.log_prob(BITS, noise=extremes)).all()


def test_the_dequantizer_is_a_conditional_density():
    """For each image, the density integrates to 1. Sampling and `log_prob` return equal densities."""
    noise = disturbed(small_dequantizer((1, 2, 1), dtype="float64"), 0.3)
    ticks, step = np.linspace(-25.0, 25.0, 251, retstep=True)
    u = 1.0 / (1.0 + np.exp(-np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 1, 2, 1)))
    volume = step**2 * np.prod(u * (1.0 - u), axis=(1, 2, 3))
    densities = []
    for pixels in ([0.0, 0.0], [1.0, 0.0]):
        image = np.reshape(pixels, (1, 2, 1))
        densities.append(noise.prob(tf.constant(u), bijector_kwargs={"context": image}).numpy())
        assert np.sum(densities[-1] * volume) == pytest.approx(1.0, abs=1e-4)
    assert np.abs(densities[0] - densities[1]).max() > 0.1
    images = RNG.randint(0, 2, (7, 1, 2, 1)).astype("float64")
    given = {"bijector_kwargs": {"context": images}}
    sample, log_q = noise.experimental_sample_and_log_prob(7, seed=(1, 2), **given)
    assert np.all((sample > 0) & (sample < 1))
    np.testing.assert_allclose(log_q, noise.log_prob(tf.identity(sample), **given), atol=1e-6)
    model = tfp_glow.FlowModel(tfd.Independent(tfd.Normal(tf.zeros((1, 2, 1), "float64"), 1.0), 3), dequantizer=noise)
    points, log_q = model.functions.dequantization(tf.constant(images), (0, 0))
    assert log_q.shape == () and points is not images  # Float input receives no noise.
    points, log_q = model.functions.dequantization(tf.cast(images, "uint8"), (0, 0))
    np.testing.assert_allclose(log_q, noise.log_prob(points - images, **given), atol=1e-6)


def test_the_dequantizer_learns_noise_that_fits_the_density(trained):
    exact = -math.log2(0.5 * math.erf(4.0 / math.sqrt(2.0)))
    uniform = -(math.log(1 / (0.25 * math.sqrt(2 * math.pi))) - 1 / (6 * 0.25**2)) / math.log(2.0)
    without, learned = (float(np.mean(m.bits_per_dim(BITS))) for m in (tfp_glow.FlowModel(MIDDLE), trained))
    assert without == pytest.approx(uniform, abs=0.4)
    assert exact - 0.01 < learned < exact + 0.2  # Uniform noise costs about two bits more.
    u, _ = trained.functions.dequantization(tf.constant(BITS), (3, 4))
    u = u.numpy() - BITS
    assert u[BITS == 0].min() > 0 and u[BITS == 0].mean() > 0.7 and u[BITS == 1].mean() < 0.3


# The bounds.


def test_importance_weighting_tightens_the_bound(trained):
    exact = -math.log2(0.5 * math.erf(4.0 / math.sqrt(2.0)))
    for model in (tfp_glow.FlowModel(MIDDLE), trained):
        one = model.importance_weighted_bits(BITS, 1, seed=5)
        np.testing.assert_allclose(one, model.bits_per_dim(BITS, seed=5), rtol=1e-5)
        means = [float(np.mean(model.importance_weighted_bits(BITS, k, seed=5))) for k in (1, 50, 2000)]
        assert means[0] > means[1] > means[2] - 0.005
        assert means[2] == pytest.approx(exact, abs=0.02)
        assert means[1] < means[0] - (0.5 if model.dequantizer is None else 0.0)


def test_importance_weighting_averages_over_draws(trained):
    draws = []
    for k in range(3):
        points, log_q = trained.functions.dequantization(tf.constant(BITS[:5]), (7, k))
        draws.append(np.exp(MIDDLE.log_prob(points) - log_q))
    expected = -np.log2(np.mean(draws, axis=0)) / 4
    np.testing.assert_allclose(trained.importance_weighted_bits(BITS[:5], 3, seed=7), expected, rtol=1e-4)
    assert trained.importance_weighted_bits(BITS[0], 2).shape == ()


# Training and saving, together with a flow.

IMAGES = np.clip(128 + np.cumsum(RNG.randint(-20, 21, (48, 4, 4, 1)), axis=2), 0, 255).astype("uint8")


def build(strategy=None, optimizer=None):
    with strategy.scope() if strategy else contextlib.nullcontext():
        flow = tfp_glow.glow((4, 4, 1), num_levels=1, num_steps=2, width=4, seed=0)
        model = tfp_glow.FlowModel(flow, dequantizer=small_dequantizer((4, 4, 1), num_bits=8))
        model.compile(optimizer or keras.optimizers.Adam(1e-3))
    return model


def fitted(strategy=None, optimizer=None):
    model, losses = build(strategy, optimizer), []
    callback = keras.callbacks.LambdaCallback(on_train_batch_end=lambda _, logs: losses.append(logs["loss"]))
    data = tf.data.Dataset.from_tensor_slices(IMAGES).batch(16)
    model.fit(data, epochs=2, verbose=0, callbacks=[callback])
    return model, losses


@pytest.fixture(scope="module")
def joint():
    keras.utils.set_random_seed(0)
    return fitted()


def test_each_variable_is_listed_once_and_has_a_gradient(joint):
    model, losses = joint
    listed = [id(v.value) for v in model.trainable_variables]
    parts = [*model.distribution.trainable_variables, *model.dequantizer.trainable_variables]
    assert len(listed) == len(set(listed)) == len(parts) and set(listed) == set(map(id, parts))
    assert np.isfinite(losses).all()
    disturbed(model.dequantizer, 0.1)
    with tf.GradientTape() as tape:
        loss = -tf.reduce_mean(model(tf.constant(IMAGES), training=True))
    for variable, gradient in zip(parts, tape.gradient(loss, parts), strict=True):
        assert gradient is not None and np.isfinite(gradient).all() and np.any(gradient), variable.name


def test_two_replicas_draw_the_same_noise(joint):
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], tf.distribute.ReductionToOneDevice())
    keras.utils.set_random_seed(0)
    np.testing.assert_allclose(fitted(strategy)[1], joint[1], atol=1e-4)


@pytest.mark.parametrize("way", ["keras", pytest.param("weights", marks=pytest.mark.slow), "checkpoint"])
def test_restored_models_are_equal(joint, way, tmp_path):
    model, _ = joint
    if way == "keras":
        model.save(tmp_path / "model.keras")
        other = keras.saving.load_model(tmp_path / "model.keras")
    else:
        other = build()
        if way == "weights":
            model.save_weights(tmp_path / "model.weights.h5")
            other.load_weights(tmp_path / "model.weights.h5")
        else:
            tf.train.Checkpoint(model=other).read(tf.train.Checkpoint(model=model).write(str(tmp_path / "checkpoint")))
    assert other.is_initialized
    np.testing.assert_array_equal(other.log_prob(IMAGES, seed=1), model.log_prob(IMAGES, seed=1))
    np.testing.assert_array_equal(other.log_prob(IMAGES + 0.5), model.log_prob(IMAGES + 0.5))


def test_export_and_another_resolution_keep_the_density(joint, tmp_path):
    model, _ = joint
    served = tf.saved_model.load(tfp_glow.export_saved_model(model, str(tmp_path / "1"))).signatures
    points = IMAGES.astype("float32") + 0.5
    np.testing.assert_allclose(served["log_prob"](images=points)["log_prob"], model.log_prob(points), rtol=1e-5)
    bound = served["log_prob_uint8"](images=IMAGES, seed=tf.constant(3))["log_prob"]
    np.testing.assert_allclose(bound, model.log_prob(IMAGES, seed=3), rtol=1e-5)
    np.testing.assert_allclose(model.distribution.log_prob(tf.constant(points)), model.log_prob(points), rtol=1e-5)
    larger = tfp_glow.at_resolution(model, 8, 6)
    assert np.isfinite(larger.log_prob(np.zeros((1, 8, 6, 1), "uint8"))).all()


# Wrong arguments.

OWN = tfd.TransformedDistribution(tfd.Sample(tfd.Normal(0.0, 1.0), SHAPE), tfp_glow.bijectors.ActNorm(SHAPE))


@pytest.mark.parametrize(("call", "message"), [
    (lambda m: tfp_glow.FlowModel(MIDDLE, dequantizer="variational"), "`dequantizer` must be .* of uniform noise"),
    (lambda m: tfp_glow.FlowModel(MIDDLE, dequantizer=OWN), "`dequantizer` must be .* of uniform noise"),
    (lambda m: tfp_glow.FlowModel(MIDDLE, dequantizer=small_dequantizer((2, 3, 1))),
     r"event shape \(2, 2, 1\) as .* dtype float32; received shapes \(2, 3, 1\), "),
    (lambda m: tfp_glow.FlowModel(MIDDLE, dequantizer=small_dequantizer(dtype="float64")), "received .*dtype float64"),
    (lambda m: tfp_glow.dequantizer((1, 1, 3)), "`image_shape` must have at least 2 pixels"),
    (lambda m: tfp_glow.dequantizer((4, 4)), r"`image_shape` must be a shape \(height, width, channels\)"),
    (lambda m: tfp_glow.dequantizer((4, 4, 1), num_steps=0), "`num_steps` must be .* of at least 1"),
    (lambda m: tfp_glow.dequantizer((4, 4, 1), num_bits=17), "`num_bits` must be at most 16"),
    (lambda m: m.importance_weighted_bits(BITS + 0.5, 2), "`x` must be integers"),
    (lambda m: m.importance_weighted_bits(BITS, 0), "`num_samples` must be .* of at least 1"),
    (lambda m: m.log_prob(BITS, noise=np.zeros((3, *SHAPE), "float32")), "`noise` must have the shape of `x`"),
    (lambda m: m.log_prob(BITS, noise=np.full(BITS.shape, -0.5)), "`noise` must be in .0, 1.; received .* from -0.5"),
    (lambda m: m.log_prob(BITS, noise=np.full(BITS.shape, 5.0)), "`noise` must be in .0, 1.; received .* to 5"),
    (lambda m: m.log_prob(BITS + 0.5, noise=np.zeros_like(BITS, "float32")), "and `x` must be integers"),
    (lambda m: tfp_glow.bijectors.MapContext(tfp_glow.bijectors.ActNorm((3,)), keras.layers.Dense(2), (2,)),
     "`bijector` must be a FlowBijector with a `context_shape`"),
    (lambda m: tfp_glow.bijectors.MapContext(tfp_glow.bijectors.AdditiveCoupling(
        (4,), tfp_glow.networks.MLP(2), context_shape=(8,)), keras.layers.Dense(7), (3,)),
     r"`network` must map contexts of shape \(3,\) to outputs of shape \(8,\); received a network with outputs"),
])
def test_wrong_arguments_raise(trained, call, message):
    with pytest.raises(ValueError, match=message):
        call(trained)


# The command line.


def test_train_and_evaluate_with_variational_dequantization(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TFP_GLOW_DATA_DIR", str(tmp_path / "cache"))
    run = tmp_path / "run"
    command = ["train", "--preset=digits_nice_smoke", "--data=digits", f"--output_dir={run}", "--epochs=1",
               "--noreport", "--notensorboard"]
    assert train.main([*command, "--dequantization=variational"]) == 0
    config = json.loads((run / "config.json").read_text())
    assert (config["dequantizer"]["num_steps"], config["dequantizer"]["image_shape"]) == (2, [8, 8, 1])
    model = keras.saving.load_model(run / "model.keras")
    assert model.dequantizer is not None and model.is_initialized
    assert train.main([*command, "--dequantization=uniform"]) == 1
    assert "another configuration: dequantizer" in capsys.readouterr().err
    results = []
    for batch_size in (100, 297):
        with eagerly():
            assert evaluate.main(["evaluate", f"--run_dir={run}", "--data=digits", "--split=test", "--nobaseline",
                                  "--importance_samples=3", f"--batch_size={batch_size}"]) == 0
        results.append(json.loads(capsys.readouterr().out.splitlines()[-1]))
    first, second = results
    assert first["importance_samples"] == 3
    assert first["importance_weighted_bits_per_dim"] < first["bits_per_dim"]
    for key in ("importance_weighted_bits_per_dim", "bits_per_dim"):
        assert first[key] == pytest.approx(second[key], rel=1e-5)
    assert train.main(["train", "--preset=toy_maf_smoke", "--data=toy:two_moons", f"--output_dir={tmp_path / 'toy'}",
                       "--dequantization=variational"]) == 1
    assert "dequantization: variational is for images; two_moons has vectors" in capsys.readouterr().err
