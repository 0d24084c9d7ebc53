# SPDX-License-Identifier: Apache-2.0
"""Tests of requests that the signatures of a SavedModel refuse, and of empty requests."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow
from tfp_glow.bijectors import AffinePixels

tfd = tfp.distributions
SHAPE = (4, 4, 1)
IMAGES = np.random.RandomState(0).randint(0, 32, (6, *SHAPE)).astype("uint8")
NOISY = (IMAGES + np.random.RandomState(1).uniform(size=IMAGES.shape)).astype("float32")


def serve(path, **kwargs):
    """Returns the signatures of a flow of 5 bits without networks, which TensorFlow traces fast."""
    base = tfd.Independent(tfd.Normal(tf.Variable(tf.zeros(SHAPE)), 1.0), 3)
    model = tfp_glow.FlowModel(tfd.TransformedDistribution(base, AffinePixels(SHAPE, num_bits=5)), **kwargs)
    return tf.saved_model.load(tfp_glow.export_saved_model(model, path)).signatures


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    return serve(tmp_path_factory.mktemp("served") / "1")


def call(served, name, **inputs):
    (output,) = served[name](**{key: tf.constant(value) for key, value in inputs.items()}).values()
    return output


@pytest.mark.parametrize("name", ["log_prob_uint8", "bits_per_dim_uint8", "encode_uint8"])
def test_integers_outside_the_domain_are_refused(served, name):
    seed = {} if name == "encode_uint8" else {"seed": 1}
    assert np.isfinite(call(served, name, images=IMAGES, **seed)).all()
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"events must be integers in \[0, 32\).*from.*32.*to.*63"):
        call(served, name, images=IMAGES + 32, **seed)


@pytest.mark.parametrize("name", ["log_prob", "bits_per_dim", "encode", "serving_default"])
def test_floats_in_other_units_are_refused(served, name):
    for accepted in (NOISY, NOISY[:1], IMAGES + np.float32(0.5), np.zeros((2, *SHAPE), "float32"),
                     np.full((1, *SHAPE), 0.5, "float32")):
        assert np.isfinite(call(served, name, images=accepted)).all()
    with pytest.raises(tf.errors.InvalidArgumentError, match="must not all be whole numbers.*`check_values=False`"):
        call(served, name, images=IMAGES.astype("float32"))
    for other in (NOISY / 32, NOISY / 16 - 1):
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"must be in pixel units \[0, 32\)"):
            call(served, name, images=other)


def test_floats_that_are_meant_are_accepted(tmp_path):
    meant = serve(tmp_path / "1", check_values=False)
    assert np.isfinite(call(meant, "log_prob", images=IMAGES.astype("float32"))).all()


@pytest.mark.parametrize("shape", [(2, 8, 8, 1), (2, 1, 4, 4), (4, 4, 1), (1, 2, 4, 4, 1), (2, 16)])
def test_inputs_of_another_shape_are_refused(served, shape):
    for name, key, dtype, others in (("log_prob", "images", "float32", {}), ("decode", "latents", "float32", {}),
                                     ("log_prob_uint8", "images", "uint8", {"seed": 1})):
        with pytest.raises(tf.errors.InvalidArgumentError, match=rf"{key} must have shape \(batch, 4, 4, 1\)"):
            call(served, name, **{key: np.zeros(shape, dtype)}, **others)


@pytest.mark.parametrize("temperature", [np.nan, np.inf, -1.0])
def test_wrong_temperatures_are_refused(served, temperature):
    with pytest.raises(tf.errors.InvalidArgumentError, match="temperature must be a finite number of at least 0"):
        call(served, "sample", number=2, temperature=np.float32(temperature), seed=1)


@pytest.mark.parametrize("value", [3e38, np.nan])
def test_overflow_is_refused(served, value):
    with pytest.raises(tf.errors.InvalidArgumentError, match="events that are not finite, because it overflowed"):
        call(served, "decode", latents=np.full((2, *SHAPE), value, "float32"))


def test_empty_requests_have_empty_results(exported, served):
    glow = tf.saved_model.load(exported[1]).signatures
    for signatures, latent_shape in ((served, SHAPE), (glow, (16,))):
        for name, shape in (("log_prob", ()), ("bits_per_dim", ()), ("encode", latent_shape)):
            assert call(signatures, name, images=NOISY[:0]).shape == (0, *shape)
            seed = {} if name == "encode" else {"seed": 1}
            assert call(signatures, f"{name}_uint8", images=IMAGES[:0], **seed).shape == (0, *shape)
        images = call(signatures, "decode", latents=np.zeros((0, *latent_shape), "float32"))
        assert images.shape == (0, *SHAPE) and images.dtype == tf.uint8
        assert call(signatures, "sample", number=0, temperature=np.float32(1), seed=1).shape == (0, *SHAPE)
