# SPDX-License-Identifier: Apache-2.0
"""Tests of the checks of events: shapes, the domain of integers, floats in other units, overflow and empty batches."""

import re
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow
from tfp_glow.bijectors import ActNorm, AffinePixels, Steps

tfd, tfb = tfp.distributions, tfp.bijectors
SHAPE = (4, 4, 1)
RNG = np.random.RandomState(0)
IMAGES = RNG.randint(0, 32, (24, *SHAPE)).astype("uint8")
NOISY = IMAGES + RNG.uniform(size=IMAGES.shape)


def pixel_flow(num_bits=5):
    """Returns a flow of pixels without networks, which TensorFlow traces fast."""
    base = tfd.Independent(tfd.Normal(tf.Variable(tf.zeros(SHAPE)), 1.0), 3)
    return tfd.TransformedDistribution(base, Steps([AffinePixels(SHAPE, num_bits), ActNorm(SHAPE)]))


def build(num_bits=5, **kwargs):
    built = tfp_glow.FlowModel(pixel_flow(num_bits), **kwargs)
    built.compile(keras.optimizers.SGD(1e-4))
    return built


@pytest.fixture(scope="module")
def model():
    """A flow of 5 bits, initialized and compiled. Tests may train it."""
    built = build()
    built.initialize(IMAGES)
    return built


def batches(*data):
    return tf.data.Dataset.from_tensor_slices(data if len(data) > 1 else data[0]).batch(8)


# Integers.


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64", "int8"])
@pytest.mark.parametrize("call", [
    lambda m, x: m.log_prob(x), lambda m, x: m.bits_per_dim(x), lambda m, x: m.importance_weighted_bits(x, 2),
    lambda m, x: m.encode(x), lambda m, x: m.reconstruct(x), lambda m, x: m.initialize(x),
    lambda m, x: m.fit(x, verbose=0), lambda m, x: m.evaluate(x, verbose=0), lambda m, x: m.predict(x, verbose=0),
    lambda m, x: m.train_on_batch(x), lambda m, x: m.test_on_batch(x), lambda m, x: m.log_prob(x[0]),
    lambda m, x: m.fit(IMAGES, validation_data=(x,), verbose=0)])
def test_arrays_of_integers_outside_the_domain_raise(model, call, dtype):
    wrong = np.full((4, *SHAPE), 32, dtype) if dtype == "uint8" else np.full((4, *SHAPE), -1, dtype)
    with pytest.raises(ValueError, match=r"must hold integers in \[0, 32\); received values from (32|-1) to "):
        call(model, wrong)


@pytest.mark.parametrize("call", ["fit", "evaluate", "predict"])
def test_integers_outside_the_domain_in_a_dataset_raise(model, call):
    wrong = np.concatenate([IMAGES, np.full((8, *SHAPE), 255, "uint8")])
    with pytest.raises(ValueError, match=r"^Events must be integers in \[0, 32\); received values from 255 to 255\.$"):
        getattr(model, call)(batches(wrong), verbose=0)


def test_graphs_assert_the_domain(model):
    function = tf.function(lambda x: model.log_prob(x), input_signature=[tf.TensorSpec((None, *SHAPE), tf.int32)])
    np.testing.assert_allclose(function(IMAGES), model.log_prob(IMAGES), rtol=1e-6)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"events must be integers in \[0, 32\).*-7.*to.*24"):
        function(IMAGES.astype("int32") - 7)


def test_xla_skips_steps_with_integers_outside_the_domain(recwarn):
    """XLA ignores assertions, so the loss becomes NaN instead."""
    compiled = build()
    compiled.initialize(IMAGES)
    compiled.compile(keras.optimizers.SGD(1e-4), jit_compile=True)
    wrong = np.concatenate([IMAGES[:8], np.full((8, *SHAPE), 255, "uint8")])
    history = compiled.fit(batches(wrong), verbose=0).history
    assert np.isfinite(history["bits_per_dim"]) and compiled.skipped_steps == 1
    assert np.isnan(compiled.fit(batches(wrong[8:]), verbose=0).history["bits_per_dim"][0])


def test_the_domain_is_that_of_the_flow_and_of_the_model():
    model = build(num_bits=8)
    model.log_prob(np.full((2, *SHAPE), 255, "int64"))
    with pytest.raises(ValueError, match=r"in \[0, 256\); received values from 0 to 256"):
        model.log_prob(np.arange(32, dtype="int64").reshape(2, *SHAPE) * 256 // 31)
    with pytest.raises(ValueError, match=r"in \[0, 16\)"):  # Decoded integers would be clipped.
        tfp_glow.FlowModel(model.distribution, num_bits=4).log_prob(IMAGES)
    deep = tfp_glow.FlowModel(tfd.Sample(tfd.Normal(0.0, 1.0), 3))  # Without pixel units there is no domain.
    assert np.isfinite(deep.log_prob(np.array([[-5, 0, 900]]))).all()


def test_each_step_adds_new_noise_to_integers_and_none_to_floats():
    still = build()
    still.compile(keras.optimizers.SGD(0.0))
    still.initialize(IMAGES)

    def losses(x):
        found = []
        for _ in range(3):
            still.reset_metrics()
            found.append(float(still.train_on_batch(x)[0]))
        return set(found)

    assert len(losses(IMAGES)) == 3 and len(losses(NOISY)) == 1
    noise = NOISY - IMAGES
    np.testing.assert_allclose(still.log_prob(IMAGES, noise=noise), still.log_prob(NOISY), rtol=1e-5)
    np.testing.assert_allclose(still.encode(IMAGES), still.encode(IMAGES + 0.5), rtol=1e-5, atol=1e-5)


# Floats.


def messages(function):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function()
    return [str(warning.message) for warning in caught if "holds floats" in str(warning.message)]


OTHER_UNITS = {
    "whole": (IMAGES.astype("float64"), "all whole numbers. Floats get no noise"),
    "unit": (IMAGES / 31.0, r"lie in \[0, 1\], but the model has pixel units \[0, 32\)"),
    "random_unit": (RNG.uniform(size=IMAGES.shape), r"pixel units \[0, 32\)"),
    "symmetric": (IMAGES / 15.5 - 1.0, r"lie in \[-1, 1\], but"),
    "half": ((IMAGES / 32).astype("float16"), r"pixel units \[0, 32\)"),
}


@pytest.mark.parametrize("name", OTHER_UNITS)
def test_floats_in_other_units_cause_one_warning_with_the_remedy(name):
    x, text = OTHER_UNITS[name]
    for first in ("log_prob", "initialize", "encode"):
        model = build()
        (message,) = messages(lambda model=model, first=first: [getattr(model, first)(x) for _ in range(2)])
        assert re.search(text, message) and "Pass integers" in message
        assert "`check_values=False`" in message
    assert not messages(lambda: build(check_values=False).log_prob(x))


@pytest.mark.parametrize("call", [
    lambda m, x: m.fit(x, verbose=0), lambda m, x: m.evaluate(x, verbose=0), lambda m, x: m.predict(x, verbose=0),
    lambda m, x: m.fit(batches(x), verbose=0), lambda m, x: m.evaluate(batches(x), verbose=0),
    lambda m, x: m.fit(IMAGES, validation_data=(x,), verbose=0),
    lambda m, x: m.evaluate((part for part in np.split(x, 3)), verbose=0)],
    ids=["fit", "evaluate", "predict", "fit_dataset", "evaluate_dataset", "validation", "generator"])
def test_training_and_evaluation_warn_of_floats_in_other_units(model, call):
    model.functions.checks._warned.clear()
    assert len(messages(lambda: call(model, OTHER_UNITS["whole"][0]))) == 1


@pytest.mark.parametrize("x", [
    NOISY, NOISY[:1], IMAGES + 0.5, np.zeros((3, *SHAPE)), np.full((1, *SHAPE), 31.0), np.full((2, *SHAPE), 0.5),
    IMAGES, RNG.uniform(-1.5, 33.5, IMAGES.shape)],
    ids=["noisy", "one", "middle", "black", "white", "constant", "integers", "near the domain"])
def test_floats_in_pixel_units_and_constants_cause_no_warning(x):
    assert not messages(lambda: build().log_prob(x))


@pytest.mark.parametrize("x", [NOISY * 8.0, np.full((2, *SHAPE), 40.5), NOISY - 16.0], ids=["8 bits", "one", "below"])
def test_floats_outside_of_the_domain_cause_a_warning(x):
    (message,) = messages(lambda: build().log_prob(x))
    assert "outside of the model's pixel units [0, 32)" in message and "another `num_bits`" in message


def test_standardized_floats_cause_a_warning():
    x = RNG.normal(size=IMAGES.shape)
    (message,) = messages(lambda: build(num_bits=8).log_prob(x))
    assert "pixel units [0, 256)" in message


def test_models_without_pixel_units_and_of_one_bit_accept_small_floats():
    vectors = tfp_glow.FlowModel(tfd.Sample(tfd.Normal(0.0, 1.0), 3))
    assert not messages(lambda: [vectors.log_prob(x) for x in (np.eye(3), RNG.uniform(size=(5, 3)))])
    assert not messages(lambda: build(num_bits=1).log_prob(RNG.uniform(size=(2, *SHAPE))))


def test_the_choice_is_saved(tmp_path):
    flow = tfp_glow.glow(SHAPE, num_levels=1, num_steps=1, width=2)
    tfp_glow.FlowModel(flow, check_values=False).save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.get_config()["check_values"] is False and not loaded.functions.checks.warn
    with pytest.raises(ValueError, match="`check_values` must be True or False; received 'warn'"):
        build(check_values="warn")


# Shapes.


@pytest.mark.parametrize("call", ["fit", "evaluate", "predict"])
def test_other_image_sizes_raise_after_the_first_call(model, call):
    def run(x):
        return getattr(model, call)(x, verbose=0)

    for number in (8, 5):  # Keras relaxes the shapes of its function after calls with different shapes.
        run(IMAGES[:number])
    large = np.zeros((8, 8, 8, 1), "uint8")
    for x in (large, large[:, :2]):
        for data, size in ((x, 8), (batches(x), None)):
            received = re.escape(str((size, *x.shape[1:])))
            with pytest.raises(ValueError, match=rf"`x` must have shape \(batch, 4, 4, 1\); received shape {received}"):
                run(data)
    unknown = tf.data.Dataset.from_generator(
        lambda: iter([large]), output_signature=tf.TensorSpec((None, None, None, 1), tf.uint8))
    with pytest.raises(ValueError, match=r"^Events must have shape \(batch, 4, 4, 1\); received shape 8 8 8 1\.$"):
        run(unknown)


@pytest.mark.parametrize("shape", [(None, None, None, 1), None])
def test_graphs_assert_sizes_that_are_unknown(model, shape):
    functions = [tf.function(model, input_signature=[tf.TensorSpec(shape)])]
    if shape is not None:
        functions.append(tf.function(model.distribution.log_prob, input_signature=[tf.TensorSpec(shape)]))
        functions.append(tf.function(lambda x: model.log_prob(x), input_signature=[tf.TensorSpec(shape)]))
    expected = model.log_prob(NOISY)
    for function in functions:
        np.testing.assert_allclose(function(tf.constant(NOISY, tf.float32)), expected, rtol=1e-5)
        for wrong in ((2, 8, 8, 1), (2, 2, 8, 1)):
            with pytest.raises(tf.errors.InvalidArgumentError, match=r"must have .*4, 4, 1\); received shape.*2 "):
                function(tf.zeros(wrong))


@pytest.mark.parametrize("call", [
    lambda m: m.fit(IMAGES[0], verbose=0), lambda m: m.evaluate(IMAGES[0], verbose=0),
    lambda m: m.predict(IMAGES[0], verbose=0), lambda m: m.initialize(IMAGES[0]), lambda m: m.train_on_batch(IMAGES[0]),
    lambda m: m.fit(batches(IMAGES).unbatch(), verbose=0), lambda m: m.evaluate(batches(IMAGES).unbatch(), verbose=0),
    lambda m: m.fit(batches(IMAGES, IMAGES).unbatch(), verbose=0), lambda m: m(IMAGES[0])])
@pytest.mark.parametrize("is_fresh", [True, False])
def test_data_without_a_batch_axis_raises(model, call, is_fresh):
    fresh = build()
    fresh.compile("sgd")
    with pytest.raises(ValueError, match=r"`x`|`batch` must have shape \(batch, 4, 4, 1\); received shape \(4, 4, 1\)"):
        call(fresh if is_fresh else model)


@pytest.mark.parametrize(("x", "message"), [
    (IMAGES.astype("complex64"), "`x` must hold floats or integers; received complex64"),
    (np.array(["a"]), "`x` must have a shape that ends in"),
    (None, "`x` must be an array of numbers; received None"),
    ([[1.0], [1.0, 2.0]], "`x` must be an array of numbers; received list"),
    (np.full((1, *SHAPE), 1e39), "`x` must be finite"),
])
def test_events_that_are_no_numbers_raise(model, x, message):
    with pytest.raises(ValueError, match=message):
        model.log_prob(x)


# Empty batches.

FLOWS = {
    "classes": lambda: tfp_glow.glow(SHAPE, num_levels=1, num_steps=1, width=4, seed=0, num_classes=3),
    "glow": lambda: tfp_glow.glow(SHAPE, num_levels=1, num_steps=1, width=4, seed=0),
    "realnvp": lambda: tfp_glow.realnvp(SHAPE, num_scales=2, num_blocks=1, width=4, seed=0),
    "maf": lambda: tfp_glow.maf(SHAPE, num_bits=8, hidden_sizes=(8,), seed=0),
}


@pytest.mark.parametrize("name", ["classes", *(pytest.param(n, marks=pytest.mark.slow) for n in [*FLOWS][1:])])
def test_empty_batches_have_empty_results(name):
    dequantizer = tfp_glow.dequantizer(SHAPE, num_steps=2, width=4, seed=1) if name == "glow" else None
    model = tfp_glow.FlowModel(FLOWS[name](), dequantizer=dequantizer)
    model.compile("sgd")
    nothing, given = IMAGES[:0], {"condition": np.zeros(0, int)} if name == "classes" else {}
    for x in (nothing, nothing.astype("float32")):
        assert model.log_prob(x, **given).shape == model.bits_per_dim(x, **given).shape == (0,)
        assert model.encode(x, **given).shape == (0, 16)
    assert model.importance_weighted_bits(nothing, 2, **given).shape == (0,)
    assert model.log_prob(nothing, noise=np.zeros(nothing.shape), **given).shape == (0,)
    assert model.log_prob(nothing.reshape(3, 0, *SHAPE), **({"condition": 1} if given else {})).shape == (3, 0)
    for images in (model.decode(np.zeros((0, 16)), **given), model.reconstruct(nothing, **given),
                   model.sample(0, **given), model.sample(0, **({"condition": 1} if given else {}))):
        assert images.shape == (0, *SHAPE) and images.dtype == tf.uint8
    labels = () if name != "classes" else (np.zeros(0, int),)
    assert model.predict((nothing, *labels) if labels else nothing, verbose=0).shape == (0,)
    assert np.isnan(model.evaluate(nothing, *labels, verbose=0)).all()


def test_data_without_events(model, recwarn):
    nothing = batches(IMAGES[:0])
    unknown = batches(IMAGES).filter(lambda x: False)
    empty = batches(IMAGES).map(lambda x: x[:0])
    for data in (nothing, unknown, empty):
        assert model.predict(data, verbose=0).shape == (0,)
        results = model.evaluate(data, verbose=0, return_dict=True)
        assert set(results) == {"loss", "bits_per_dim"} and np.isnan(list(results.values())).all()
    for data in (IMAGES[:0], nothing, unknown, (x for x in ())):
        for each in (model, build()):
            with pytest.raises(ValueError, match="at least one"):
                each.fit(data, verbose=0)
    for call in (model.train_on_batch, model.initialize):
        with pytest.raises(ValueError, match="must hold at least one event; received 0"):
            call(IMAGES[:0])
    some = batches(NOISY.astype("float32"))
    np.testing.assert_allclose(model.evaluate(some.concatenate(some.map(lambda x: x[:0])), verbose=0),
                               model.evaluate(some, verbose=0), rtol=1e-6)


# Overflow, temperatures and seeds.


def test_overflow_raises(model):
    for latents in (np.full((2, *SHAPE), 3e38, "float32"), np.full(SHAPE, -3e38, "float32")):
        with pytest.raises(ValueError, match="^The forward pass of the flow gave events that are not finite.* of "):
            model.decode(latents)
    base = tfd.Sample(tfd.Normal(0.0, 1.0), 3)
    wide = tfp_glow.FlowModel(tfd.TransformedDistribution(base, tfb.Chain([tfb.Exp(), tfb.Scale(1e3)])))
    with pytest.raises(ValueError, match="lower the temperature"):
        wide.sample(8, seed=1)
    assert np.isfinite(wide.sample(8, temperature=1e-3, seed=1)).all()


@pytest.mark.parametrize("temperature", [float("nan"), float("inf"), -float("inf"), -0.1, "1", None, 1e39])
def test_wrong_temperatures_raise(model, temperature):
    with pytest.raises(ValueError, match="`temperature` must be finite and not be negative; received"):
        model.sample(2, temperature=temperature)
    if isinstance(temperature, float) and temperature != 1e39:
        with pytest.raises(tf.errors.InvalidArgumentError, match="temperature must be a finite number of at least 0"):
            model.functions.sample(tf.constant(2), tf.constant(temperature), tf.constant(1))


def test_seeds_are_int32(model):
    for call in (lambda s: model.log_prob(IMAGES, seed=s), lambda s: model.sample(1, seed=s)):
        for seed in (2**31, 2**70, 1.5):
            with pytest.raises(ValueError, match="`seed` must be"):
                call(seed)
        call(np.int64(7))
