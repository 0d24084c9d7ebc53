# SPDX-License-Identifier: Apache-2.0
"""Tests of every flow: densities, training, sampling, saving and errors. test_architectures.py tests their layers."""

import dataclasses
import inspect
import json
import math
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from small_flows import IMAGE, SMALL_FLOWS, eagerly, events, moved

import tfp_glow
from tfp_glow import bijectors as tfgb
from tfp_glow.flows import FlowConfig, config_from_dict, config_of, config_to_dict
from tfp_glow.networks import MADE

pytestmark = pytest.mark.matrix

every_flow = pytest.mark.parametrize("name", SMALL_FLOWS)


@every_flow
def test_density_gradients_and_round_trip(name):
    distribution = moved(SMALL_FLOWS[name](dtype="float64"))
    x = tf.constant(events(distribution), tf.float64)
    x += 0.5 if x.shape.rank == 4 else 0.0
    with tf.GradientTape() as tape:
        log_prob = distribution.log_prob(x)
        loss = tf.reduce_sum(log_prob)
    assert log_prob.shape == (6,) and np.all(np.isfinite(log_prob))
    gradients = tape.gradient(loss, distribution.trainable_variables)
    assert all(g is not None and np.all(np.isfinite(g)) for g in gradients)
    latents = distribution.bijector.inverse(x)
    np.testing.assert_allclose(distribution.bijector.forward(tf.identity(latents)), x, atol=1e-8)
    assert distribution.sample(2, seed=1).shape == (2, *distribution.event_shape)


@every_flow
def test_trains_three_steps_and_saves_the_whole_model(name, tmp_path):
    distribution = SMALL_FLOWS[name](seed=3)
    model = tfp_glow.FlowModel(distribution)
    model.compile(keras.optimizers.Adam(1e-2))
    assert {id(v.value) for v in model.trainable_variables} == {id(v) for v in distribution.trainable_variables}
    before = [v.numpy() for v in model.trainable_variables]
    data = events(distribution, batch=24)
    history = model.fit(data, batch_size=8, epochs=1, verbose=0).history
    assert np.isfinite(history["bits_per_dim"][0]) and model.is_initialized
    assert all(np.any(v.numpy() != b) for v, b in zip(model.trainable_variables, before, strict=True))
    model.save(tmp_path / "model.keras")
    other = keras.models.load_model(tmp_path / "model.keras")
    assert config_of(other.distribution) == config_of(distribution)
    sample = model.sample(2, seed=1)  # In a graph, as `fit` ran the other direction.
    assert sample.dtype == (tf.uint8 if distribution.event_shape.rank == 3 else tf.float32)
    assert sample.shape == (2, *distribution.event_shape)
    with eagerly():
        np.testing.assert_array_equal(other.log_prob(data), model.log_prob(data))
        np.testing.assert_array_equal(other.sample(2, seed=1), model.sample(2, seed=1))


@every_flow
def test_config_round_trips_through_json(name):
    config = config_of(SMALL_FLOWS[name](seed=3))
    assert config_from_dict(json.loads(json.dumps(config_to_dict(config)))) == config


@pytest.mark.parametrize(("preset", "density", "sampling"), [("maf", 1, 5), ("iaf", 5, 1)])
def test_number_of_network_evaluations_per_direction(preset, density, sampling, monkeypatch):
    """The serial direction evaluates the network once per element, the other once."""
    distribution = moved(getattr(tfp_glow, preset)(5, num_layers=1, hidden_sizes=(8,), batch_norm=False))
    calls = []
    call = MADE.call
    monkeypatch.setattr(MADE, "call", lambda self, inputs: calls.append(1) or call(self, inputs))
    distribution.log_prob(tf.zeros((3, 5)))
    assert len(calls) == density
    calls.clear()
    distribution.sample(3)
    assert len(calls) == sampling


@pytest.mark.parametrize("preset", ["maf", "iaf"])
def test_round_trip_in_single_precision(preset):
    distribution = moved(getattr(tfp_glow, preset)(12, num_layers=3, hidden_sizes=(16,), batch_norm=True))
    x = tf.random.stateless_normal((50, 12), (1, 2))
    np.testing.assert_allclose(distribution.bijector.forward(tf.identity(distribution.bijector.inverse(x))), x,
                               atol=1e-4)


@pytest.mark.parametrize("size", [1, 2, 6])
def test_made_is_autoregressive_and_fits_tfp(size):
    made = MADE(size, (11, 5), "tanh", dtype="float64")
    rng = np.random.RandomState(0)
    for variable in made.trainable_variables:
        variable.assign(rng.standard_normal(variable.shape))
    x = tf.constant(rng.standard_normal((2, size)))
    with tf.GradientTape() as tape:
        tape.watch(x)
        outputs = made(x)
    reached = np.any(tape.batch_jacobian(outputs, x).numpy() != 0.0, axis=(0, 2))  # [output, input]
    np.testing.assert_array_equal(reached, np.tri(size, k=-1, dtype=bool))
    assert made(tf.zeros((2, 3, size), tf.float64)).shape == (2, 3, size, 2)
    theirs, ours = tfp.bijectors.MaskedAutoregressiveFlow(made), tfgb.MaskedAutoregressive((size,), made, "float64")
    np.testing.assert_allclose(theirs.forward(x), ours.forward(x), atol=1e-12)
    np.testing.assert_allclose(theirs.inverse_log_det_jacobian(x, 1), ours.inverse_log_det_jacobian(x), atol=1e-12)


def test_standardization_keeps_densities_in_the_units_of_the_data():
    loc, scale = np.array([100.0, -3.0]), np.array([50.0, 0.1])
    plain, inside = (moved(tfp_glow.maf(2, 2, (8,), batch_norm=False, seed=1, dtype="float64", **k))
                     for k in ({}, {"loc": loc, "scale": scale}))
    x = np.random.RandomState(0).standard_normal((5, 2))
    np.testing.assert_allclose(inside.log_prob(x * scale + loc), plain.log_prob(x) - np.sum(np.log(scale)))


def test_realnvp_regularizes_the_scales_in_nats():
    model = tfp_glow.FlowModel(tfp_glow.realnvp(IMAGE, 1, 1, 4, l2=0.5))
    scales = [v for v in model.trainable_variables if v.path.endswith(("/scale", "/factor"))]
    expected = 0.5 * sum(np.sum(v.numpy()**2) for v in scales) / (math.prod(IMAGE) * math.log(2.0))
    assert len(scales) == 4 * 5 and float(sum(model.losses)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("num_bits", [1, 8, 16])
def test_logits_are_finite_on_the_closed_range_of_pixels(num_bits):
    top = 2.0**num_bits
    pixels = tfgb.LogitPixels((3,), num_bits)
    x, log_det = pixels.inverse_and_log_det([0.0, top / 2, top])
    np.testing.assert_allclose(x, [math.log(0.05 / 0.95), 0.0, math.log(0.95 / 0.05)], atol=1e-6)
    slope = 0.9 / top / (np.array([0.05, 0.5, 0.95]) * np.array([0.95, 0.5, 0.05]))
    np.testing.assert_allclose(log_det, np.sum(np.log(slope)), rtol=1e-6)
    np.testing.assert_allclose(pixels.forward(tf.identity(x)), [0.0, top / 2, top], atol=2e-6 * top)


def test_shuffles_differ_between_steps():
    flow = tfp_glow.glow((4, 4, 4), num_levels=1, num_steps=4, width=4, permutation="shuffle")
    orders = next(v for v in flow.bijector.keras_variables if "order" in v.name).numpy()
    assert len({tuple(order) for order in orders}) > 1
    np.testing.assert_array_equal(np.sort(orders), np.tile(np.arange(16), (4, 1)))


@pytest.mark.parametrize(("build", "message"), [
    (lambda: tfp_glow.realnvp((6, 6, 1), 3), "`image_shape` must have height and width divisible by .* = 4"),
    (lambda: tfp_glow.realnvp((2, 2, 1), 2), "`image_shape`"),
    (lambda: tfp_glow.realnvp((8, 8)), "`image_shape` must be"),
    (lambda: tfp_glow.realnvp(IMAGE, num_blocks=0), "`num_blocks` must be an integer of at least 1; received 0"),
    (lambda: tfp_glow.realnvp(IMAGE, width=1.5), "`width`"),
    (lambda: tfp_glow.realnvp(IMAGE, alpha=0.5), "`alpha` must be between 0 and 1/2; received 0.5"),
    (lambda: tfp_glow.realnvp(IMAGE, l2=-1.0), "`l2` must not be negative; received -1.0"),
    (lambda: tfp_glow.realnvp(IMAGE, num_bits=17), "`num_bits` must be at most 16; received 17"),
    (lambda: tfp_glow.realnvp(IMAGE, dtype="int8"), "`dtype`"),
    (lambda: tfp_glow.glow(IMAGE, 1, coupling="cubic"), "`coupling` must be one of 'affine', 'additive'"),
    (lambda: tfp_glow.glow(IMAGE, 1, permutation="none"), "`permutation` must be one of"),
    (lambda: tfp_glow.nice(0), "`event_shape` must be"),
    (lambda: tfp_glow.nice((2, 2)), "`event_shape` must be"),
    (lambda: tfp_glow.nice(4, prior="cauchy"), "`prior` must be one of 'logistic', 'normal'; received 'cauchy'"),
    (lambda: tfp_glow.nice(4, partition="thirds"), "`partition`"),
    (lambda: tfp_glow.nice(4, hidden_sizes=(8, 0)), "`hidden_sizes` must be"),
    (lambda: tfp_glow.nice(1), "at least 2"),
    (lambda: tfp_glow.nice(IMAGE, pixels="raw"), "`pixels` must be one of"),
    (lambda: tfp_glow.nice(IMAGE, loc=1.0), "`loc` is for vectors, not images; received 1.0"),
    (lambda: tfp_glow.maf(3, loc=[0.0, 1.0]), "`loc` must be a finite number or 3 finite numbers"),
    (lambda: tfp_glow.maf(3, scale=[1.0, 0.0, 1.0]), "`scale` must be positive"),
    (lambda: tfp_glow.maf(3, scale="wide"), "`scale` must be a finite number"),
    (lambda: tfp_glow.maf(3, num_layers=0), "`num_layers`"),
    (lambda: tfp_glow.maf(3, log_scale="exp"), "`log_scale` must be one of 'linear', 'tanh'; received 'exp'"),
    (lambda: tfp_glow.iaf(3, activation="no such"), "no such"),
    (lambda: tfp_glow.realnvp_vector(3, num_couplings=0), "`num_couplings`"),
    (lambda: tfgb.Permute((3,), [0, 1, 1]), "`order` must be a permutation of range"),
    (lambda: tfgb.Permute((3,), [[0, 1, 2]]), "`order` must be a permutation of range"),
    (lambda: tfgb.MaskedAutoregressive((3,), print), "`network` must be a Keras 3 layer"),
    (lambda: tfgb.MaskedAutoregressive((3,), keras.layers.Dense(3)), "`network` must map vectors of shape"),
    (lambda: tfgb.MaskedAutoregressive((3, 3, 3), MADE(3)), "`shape` must be"),
    (lambda: MADE(0), "`size` must be an integer of at least 1; received 0"),
    (lambda: tfp_glow.networks.MLP(4, (8, -1)), "`hidden_sizes`"),
    (lambda: tfp_glow.networks.ResNet(4, 3, 1), "`out_channels` must be even; received 3"),
])
def test_wrong_arguments_raise(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_defaults_match_the_papers():
    def defaults(flow, **required):
        return config_from_dict({"flow": flow, **required}).arguments

    glow, realnvp = defaults("glow", image_shape=(32, 32, 3)), defaults("realnvp", image_shape=(32, 32, 3))
    assert (glow["num_levels"], glow["num_steps"], glow["width"]) == (3, 32, 512)
    assert [realnvp[name] for name in ("num_scales", "num_blocks", "width", "alpha", "l2")] == [2, 8, 64, 0.05, 5e-5]
    assert defaults("nice", event_shape=784)["hidden_sizes"] == (1000,) * 5


def test_configs_hold_plain_data_and_are_frozen():
    flow = tfp_glow.maf(np.int64(3), np.int32(1), [np.int64(8)], loc=np.arange(3.0), dtype=tf.float64)
    config = config_of(flow)
    assert isinstance(config, FlowConfig) and config.flow == "maf"
    assert [config.arguments[name] for name in ("event_shape", "num_layers", "hidden_sizes", "loc", "dtype")] == [
        3, 1, (8,), (0.0, 1.0, 2.0), "float64"]
    assert config_from_dict(json.loads(json.dumps(config_to_dict(config)))).build().event_shape == (3,)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.flow = "iaf"


def test_shared_arguments_are_documented_and_in_the_signature():
    parameters = inspect.signature(tfp_glow.nice).parameters
    assert parameters["num_bits"].default == 8 and parameters["loc"].kind is inspect.Parameter.KEYWORD_ONLY
    entries = re.findall(r"^  (\w+):", inspect.getdoc(tfp_glow.nice), re.MULTILINE)
    assert entries == [*parameters, "ValueError"]


@pytest.mark.parametrize(("values", "message"), [
    ({"flow": "glow", "image_shape": (8, 8, 1), "depth": 3}, "entries among .*; received \\['depth'\\] in addition"),
    ({"flow": "glow"}, "must have the entries \\['image_shape'\\]"),
    ({"image_shape": (8, 8, 1)}, "`flow` must be one of .*; received None"),
])
def test_wrong_configs_raise(values, message):
    with pytest.raises(ValueError, match=message):
        config_from_dict(values)


N = np.int64


@pytest.mark.parametrize("build", [
    lambda: tfp_glow.glow((N(4), N(4), N(1)), N(1), N(1), N(4), num_bits=np.uint8(5), seed=N(1), num_classes=N(2)),
    lambda: tfp_glow.realnvp((N(4), N(4), N(1)), N(1), N(1), N(4), num_bits=N(5), batch_norm=np.bool_(False)),
    lambda: tfp_glow.realnvp_vector(N(3), N(2), [N(4)], batch_norm=np.bool_(True)),
    lambda: tfp_glow.nice(N(3), N(2), (N(4),), loc=np.float32(1.0), scale=np.arange(1.0, 4.0)),
    lambda: tfp_glow.iaf(N(3), N(1), [N(4)], act_norm=np.bool_(True)),
    lambda: tfp_glow.pyramid((4, 4, 1), N(1), [N(4)], N(1), num_components=N(2), top_sizes=[N(4)], second_kernel=N(3)),
    lambda: tfp_glow.jet((4, 4, 1), N(2), N(1), N(1), N(4), N(2), num_bits=N(5), seed=N(1)),
    lambda: tfp_glow.dequantizer((4, 4, 1), N(1), N(4), num_bits=N(5)),
], ids=["glow", "realnvp", "realnvp_vector", "nice", "iaf", "pyramid", "jet", "dequantizer"])
def test_numpy_numbers_are_accepted_and_saved_as_plain_data(build):
    config = config_of(build())
    assert config_from_dict(json.loads(json.dumps(config_to_dict(config)))) == config
    config.build()
