# SPDX-License-Identifier: Apache-2.0
"""Tests of copies of a model at another resolution or with networks of another dtype.

The models run eagerly. The examples of the two functions, which test_docstring_examples.py runs, trace their copies.
"""

import numpy as np
import pytest
from small_flows import eagerly

import tfp_glow

IMAGES = np.random.RandomState(0).randint(0, 256, (8, 8, 8, 1)).astype("uint8")
FLOWS = {
    "glow": lambda: tfp_glow.glow((8, 8, 1), num_levels=2, num_steps=2, width=4, seed=1),
    "realnvp": lambda: tfp_glow.realnvp((8, 8, 1), num_scales=2, num_blocks=1, width=4, seed=1),
}


@pytest.fixture(autouse=True)
def _eagerly():
    with eagerly():
        yield


@pytest.fixture(scope="module", params=FLOWS)
def model(request):
    model = tfp_glow.FlowModel(FLOWS[request.param]())
    model.initialize(IMAGES)
    for index, variable in enumerate(model.trainable_variables):  # A lost parameter would still be 0.
        variable.assign_add(0.01 * np.random.RandomState(index).standard_normal(variable.shape).astype("float32"))
    return model


def test_a_copy_of_the_same_size_is_the_same_flow(model):
    copy = tfp_glow.at_resolution(model, 8, 8)
    points = IMAGES + 0.5
    np.testing.assert_allclose(copy.log_prob(points), model.log_prob(points), rtol=1e-6)
    copy.set_weights([0 * w for w in copy.get_weights()])
    assert any(np.any(w) for w in model.get_weights())


def test_a_larger_copy_samples_scores_and_inverts(model):
    copy = tfp_glow.at_resolution(model, 16, 12)
    assert copy.is_initialized and copy.event_shape == (16, 12, 1)
    assert [w.shape for w in copy.get_weights()] == [w.shape for w in model.get_weights()]
    images = copy.sample(3, temperature=0.5, seed=1)
    assert images.shape == (3, 16, 12, 1)
    assert np.all(np.isfinite(copy.log_prob(images)))
    np.testing.assert_array_equal(copy.reconstruct(images), images)


@pytest.mark.parametrize("arguments, error", [
    (lambda: ("nothing", 8, 8), "`model` must be a tfp_glow.FlowModel; received str"),
    (lambda: (tfp_glow.FlowModel(tfp_glow.nice((4, 4, 1), 2, (4,))), 8, 8), "any resolution; received a model of nice"),
    (lambda: (tfp_glow.FlowModel(tfp_glow.pyramid((4, 4, 1), 1, 4, 1)), 8, 8), "pyramid, which has weights per pixel"),
    (lambda: (tfp_glow.FlowModel(tfp_glow.jet((4, 8, 1), 2, 1, 1, 4, 2)), 8, 4), "jet, which has weights .* train a"),
    (lambda: (tfp_glow.FlowModel(FLOWS["glow"]()), 0, 8), "`height`.*received 0"),
    (lambda: (tfp_glow.FlowModel(FLOWS["glow"]()), 8, 10), r"by 2\*\*num_levels = 4; received \(8, 10, 1\)"),
])
def test_wrong_arguments_raise(arguments, error):
    given = arguments()
    with pytest.raises(ValueError, match=error):
        tfp_glow.at_resolution(*given)


@pytest.mark.parametrize("flow", [
    lambda dtype: tfp_glow.glow((8, 8, 1), num_levels=2, num_steps=4, width=16, seed=1, network_dtype=dtype),
    lambda dtype: tfp_glow.realnvp((8, 8, 1), num_scales=2, num_blocks=1, width=8, seed=1, network_dtype=dtype)],
    ids=["glow", "realnvp"])
def test_float32_networks_with_weights_of_bfloat16_networks(flow):
    model = tfp_glow.FlowModel(flow("mixed_bfloat16"))
    model.initialize(IMAGES)
    for index, variable in enumerate(model.trainable_variables):
        variable.assign_add(0.03 * np.random.RandomState(index).standard_normal(variable.shape).astype("float32"))
    copy = tfp_glow.with_network_dtype(model, "float32")
    np.testing.assert_array_equal(copy.reconstruct(IMAGES), IMAGES)
    difference = copy.bits_per_dim(IMAGES) - model.bits_per_dim(IMAGES)
    assert 0 < np.max(np.abs(difference)) < 0.1
    np.testing.assert_array_equal(  # The networks themselves changed, not only the name of their dtype.
        copy.log_prob(IMAGES), tfp_glow.with_network_dtype(copy, "float32").log_prob(IMAGES))


@pytest.mark.parametrize("arguments, error", [
    (lambda: ("nothing", "float32"), "`model` must be a tfp_glow.FlowModel; received str"),
    (lambda: (tfp_glow.FlowModel(FLOWS["glow"]()), None), "`network_dtype` must be a dtype.*; received None"),
    (lambda: (tfp_glow.FlowModel(FLOWS["glow"]()), "bits"), "`network_dtype`"),
])
def test_wrong_network_dtypes_raise(arguments, error):
    given = arguments()
    with pytest.raises(ValueError, match=error):
        tfp_glow.with_network_dtype(*given)
