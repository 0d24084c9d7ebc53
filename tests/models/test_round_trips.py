# SPDX-License-Identifier: Apache-2.0
"""Tests that integers return from their latents, or that `encode` and `reconstruct` say that they do not."""

import numpy as np
import pytest
import tensorflow as tf
from small_flows import eagerly

import tfp_glow

IMAGES = np.random.RandomState(0).randint(0, 256, (6, 8, 8, 1)).astype("uint8")


def model_with_random_weights(deviation, network_dtype=None):
    model = tfp_glow.FlowModel(tfp_glow.glow(
        (8, 8, 1), num_levels=2, num_steps=6, width=16, seed=1, network_dtype=network_dtype))
    model.initialize(IMAGES)
    for index, variable in enumerate(model.trainable_variables):
        variable.assign_add(deviation * np.random.RandomState(index).standard_normal(variable.shape).astype("float32"))
    return model


@pytest.fixture(scope="module")
def unstable():
    return model_with_random_weights(0.3)


def test_images_of_a_well_conditioned_flow_return():
    model = model_with_random_weights(0.03)
    np.testing.assert_array_equal(model.decode(model.encode(IMAGES)), IMAGES)
    np.testing.assert_array_equal(model.reconstruct(IMAGES), IMAGES)


@pytest.mark.parametrize("method", ["encode", "reconstruct"])
def test_images_that_do_not_return_raise(unstable, method):
    with pytest.raises(ValueError, match=r"6 of 6 events do not. The flow amplifies.*`verify=False`"):
        getattr(unstable, method)(IMAGES)


def test_verify_false_returns_the_latents(unstable):
    assert unstable.encode(IMAGES, verify=False).shape == (6, 64)
    assert unstable.encode(IMAGES + 0.5).shape == (6, 64)  # Floats carry no promise.
    with pytest.raises(ValueError, match="`verify` must be True or False"):
        unstable.encode(IMAGES, verify="no")


def test_no_image_is_silently_wrong(unstable):
    for image in IMAGES:
        try:
            result = unstable.reconstruct(image)
        except ValueError:
            continue
        np.testing.assert_array_equal(result, image)


def test_half_precision_networks_name_the_remedy():
    """Which images return in half precision depends on the processor, so the two flows have weights of two sizes."""
    unstable, exact = (model_with_random_weights(size, "mixed_bfloat16") for size in (0.3, 0.03))
    exact = tfp_glow.with_network_dtype(exact, "float32")
    with eagerly():
        with pytest.raises(ValueError, match=r"precision; use `tfp_glow.with_network_dtype\(model, \"float32\"\)`"):
            unstable.encode(IMAGES)
        np.testing.assert_array_equal(exact.decode(exact.encode(IMAGES)), IMAGES)


def test_encode_works_inside_a_graph(unstable):
    assert tf.function(unstable.encode)(tf.constant(IMAGES)).shape == (6, 64)
