# SPDX-License-Identifier: Apache-2.0
"""Tests of Jet: couplings, parameter counts, evaluations, gradients, precision and errors."""

import functools
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_flows import SMALL_FLOWS, events, log_det_by_autodiff, moved

import tfp_glow
from tfp_glow import bijectors as tfgb
from tfp_glow.flows import config_from_dict
from tfp_glow.networks import ViT
from trainers import presets

IMAGE = (8, 8, 1)
small_jet = functools.partial(tfp_glow.jet, IMAGE, patch_size=2, block_depth=1, width=4, num_heads=2)


def orders_of(flow):
    """Returns the orders of all channel couplings and of all spatial couplings, each from the data side."""
    repeats = [part for part in flow.submodules if isinstance(part, tfgb.Repeat)]
    channel, spatial, *last = [v.numpy() for part in sorted(repeats, key=lambda part: part.name)
                               for v in part.keras_variables if v.dtype == "int64"]
    return [*channel.reshape(-1, channel.shape[-1]), *(order for stack in last for order in stack)], spatial


def test_couplings_are_four_to_one_with_the_papers_splits():
    """The flow of 33 couplings has 6 groups of five, with 6 spatial couplings, and 3 channel couplings at the end."""
    channel, spatial = orders_of(small_jet(depth=33, seed=1))
    assert len(channel) == 27 and len(spatial) == 6
    assert all(sorted(order) == list(range(4)) for order in channel)
    assert len({tuple(order) for order in channel}) > 10
    rows, columns = np.indices((4, 4))
    kept = [np.isin(np.arange(16), order[:8]).reshape(4, 4) for order in spatial]
    for index, expected in enumerate((rows + columns, columns, rows)):
        np.testing.assert_array_equal(kept[2 * index], expected % 2 == 1)
        np.testing.assert_array_equal(kept[2 * index + 1], expected % 2 == 0)
    one, same, other = (orders_of(small_jet(depth=5, seed=seed))[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert np.any(np.array(one) != other)


def jet_size(side, channels, patch, depth, blocks, width):
    """Returns the number of trainable parameters of Jet, computed from the paper's description."""
    values, tokens = channels * patch**2, (side // patch)**2
    block = 4 * (width**2 + width) + (8 * width**2 + 5 * width) + 2 * 2 * width  # attention, perceptron, two norms

    def coupling(tokens, kept, changed):
        embedding = kept * width + width + tokens * width
        return embedding + blocks * block + 2 * width + 2 * changed * (width + 1)

    spatial = depth // 5
    return ((depth - spatial) * coupling(tokens, values // 2, values - values // 2)
            + spatial * coupling(tokens // 2, values, values))


@pytest.mark.parametrize(("depth", "channels", "blocks"), [(2, 1, 1), (6, 3, 2)])
def test_parameter_count(depth, channels, blocks):
    flow = tfp_glow.jet((8, 8, channels), 2, depth, blocks, 8, 4)
    size = sum(math.prod(v.shape) for v in flow.trainable_variables)
    assert size == jet_size(8, channels, 2, depth, blocks, 8)


def test_published_parameter_counts():
    """Counts all trained numbers of couplings and their networks: weights, biases, norms and position embeddings.

    The paper has 207 million for 32 couplings with two blocks each. The permutations are not trained.
    """
    sizes = []
    for name in ("jet_imagenet64", "jet_large_imagenet64"):
        flow = presets.get(name).flow
        sizes.append(jet_size(64, 3, flow["patch_size"], flow["depth"], flow["block_depth"], flow["width"]))
    assert sizes == [207_005_472, 1_019_268_672]
    defaults = config_from_dict({"flow": "jet", "image_shape": (64, 64, 3)}).arguments
    assert jet_size(64, 3, *(defaults[key] for key in ("patch_size", "depth", "block_depth", "width"))) == sizes[0]


@pytest.mark.slow
def test_the_published_flow_has_its_parameter_count():
    flow = config_from_dict({**presets.get("jet_imagenet64").flow, "image_shape": (64, 64, 3)}).build()
    assert sum(math.prod(v.shape) for v in flow.trainable_variables) == 207_005_472


def test_starts_as_a_scaling_of_pixels():
    flow = small_jet(depth=6, dtype="float64")
    x = np.random.RandomState(0).uniform(0.0, 256.0, (2, *IMAGE))
    blocks = (x / 128.0 - 1.0).reshape(2, 4, 2, 4, 2).transpose(0, 1, 3, 2, 4).reshape(2, -1)
    np.testing.assert_allclose(flow.bijector.inverse(x), blocks, atol=1e-12)
    np.testing.assert_allclose(flow.bijector.inverse_log_det_jacobian(tf.constant(x)), [-64.0 * np.log(128.0)] * 2)


def test_each_network_is_evaluated_once_per_pass(monkeypatch):
    """The loop of a `Repeat` traces its networks once and runs them in each iteration."""
    flow, calls, call = small_jet(depth=12, seed=1), [], ViT.call
    monkeypatch.setattr(ViT, "call", lambda self, inputs: tf.py_function(
        lambda: calls.append(1), [], []) and None or call(self, inputs))
    x = events(flow, 2).astype("float32")
    flow.log_prob(x)
    assert len(calls) == 12
    calls.clear()
    flow.experimental_sample_and_log_prob(2)
    assert len(calls) == 12
    calls.clear()
    flow = small_jet(depth=12, backprop="reversible")
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(flow.log_prob(x))
    tape.gradient(loss, flow.trainable_variables)
    assert len(calls) == 24  # Once in each direction.


def test_reversible_gradients_equal_stored_ones():
    gradients = []
    for backprop in ("stored", "reversible"):
        flow = moved(small_jet(depth=12, seed=1, dtype="float64", backprop=backprop))
        x = tf.constant(events(flow, 3), tf.float64)
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_mean(flow.log_prob(x))
        gradients.append(tape.gradient(loss, [x, *flow.trainable_variables]))
    for stored, reversible in zip(*gradients, strict=True):
        np.testing.assert_allclose(reversible, stored, atol=1e-9, rtol=1e-9)


def test_log_det_equals_that_of_automatic_differentiation():
    flow = moved(SMALL_FLOWS["jet"](seed=1, dtype="float64"))
    x = tf.constant(events(flow, 2), tf.float64) + 0.5
    expected = log_det_by_autodiff(lambda v: flow.bijector.inverse_and_log_det(v)[0], x)
    np.testing.assert_allclose(flow.bijector.inverse_and_log_det(x)[1], expected, atol=1e-8)


def test_mixed_precision_keeps_scales_and_densities_in_float32():
    flow, exact = (moved(SMALL_FLOWS["jet"](seed=1, network_dtype=d)) for d in ("mixed_bfloat16", "float32"))
    repeat = next(part for part in flow.submodules if isinstance(part, tfgb.Repeat))
    assert repeat.network_dtypes == {"bfloat16", "float32"}  # The orders are in a layer of float32.
    network = ViT(4, 2, 1, 2, dtype="mixed_bfloat16")
    assert network.head.compute_dtype == network(tf.zeros((1, 2, 3))).dtype == "float32"
    assert {v.dtype for v in flow.trainable_variables} == {tf.float32}
    x = events(flow).astype("float32")
    received, expected = flow.log_prob(x), exact.log_prob(x)
    assert received.dtype == tf.float32 and 0.0 < np.max(np.abs(received - expected)) < 0.05 * np.max(np.abs(expected))
    latents, log_det = flow.bijector.inverse_and_log_det(x)
    _, back = flow.bijector.forward_and_log_det(latents)
    np.testing.assert_allclose(back, -log_det, rtol=1e-3)


@pytest.mark.slow
def test_exported_signatures_give_equal_densities_and_images(tmp_path):
    """The smoke preset `cifar10_jet_smoke` exports with stored activations."""
    model = tfp_glow.FlowModel(moved(SMALL_FLOWS["jet"](seed=1, backprop="reversible")))
    x = events(model.distribution).astype("float32") + 0.25
    signatures = tf.saved_model.load(tfp_glow.export_saved_model(model, tmp_path / "1")).signatures
    np.testing.assert_allclose(
        signatures["log_prob"](images=tf.constant(x))["log_prob"], model.log_prob(x), rtol=1e-6)
    decoded = signatures["decode"](latents=signatures["encode"](images=tf.constant(x))["latents"])["images"]
    np.testing.assert_array_equal(decoded, x - 0.25)


@pytest.mark.parametrize(("wrong", "message"), [
    ({"depth": 0}, "`depth` must be an integer of at least 1; received 0"),
    ({"block_depth": 0}, "`block_depth`"), ({"patch_size": 0}, "`patch_size`"), ({"num_heads": 0}, "`num_heads`"),
    ({"num_heads": 3}, "`width` must be divisible by `num_heads` = 3; received 4"),
    ({"depth": 4, "patch_size": 3}, "divisible by patch_size = 3; received"),
    ({"depth": 5, "image_shape": (12, 8, 1)}, r"divisible by 2 \* patch_size = 8; received \(12, 8, 1\)"),
    ({"depth": 1, "patch_size": 1}, "`patch_size` must be at least 2 for images of one channel"),
    ({"backprop": "none"}, "`backprop`"), ({"num_bits": 0}, "`num_bits`"), ({"seed": -1}, "`seed`"),
])
def test_wrong_arguments_raise(wrong, message):
    with pytest.raises(ValueError, match=message):
        tfp_glow.jet(**{"image_shape": IMAGE, "patch_size": 4, "depth": 1, "block_depth": 1, "width": 4, "num_heads": 2,
                        **wrong})


@pytest.mark.parametrize(("build", "message"), [
    (lambda: tfgb.Reordered(tfgb.ActNorm((4,)), [0, 1, 1, 2]), r"`order` must be a permutation of range\(4\)"),
    (lambda: tfgb.Reordered(tfgb.ActNorm((2, 2, 3)), [0, 1, 2], "pixel"), r"permutation of range\(4\), the pixels"),
    (lambda: tfgb.Reordered(tfgb.ActNorm((4,)), [0, 1, 2, 3], "pixel"), "`axis` must be one of 'channel'; received"),
    (lambda: tfgb.Reordered(tfgb.Flatten((2, 2, 1)), [0]), "whose latent shape is its event shape"),
    (lambda: tfgb.AffineCoupling((4,), keras.layers.Dense(4), "pixel"), r"`shape` must be \(height, width, channels\)"),
    (lambda: tfgb.AffineCoupling((1, 1, 2), keras.layers.Dense(4), "pixel"), "at least 2 pixels to be split"),
    (lambda: tfgb.AffinePixels((2,), bound=0.0), "`bound` must be positive and finite; received 0.0"),
    (lambda: ViT(5, 2, 1, num_heads=2), "`width` must be divisible by `num_heads` = 2; received 5"),
    (lambda: ViT(4, 2, 0, num_heads=2), "`num_blocks`"),
])
def test_wrong_arguments_of_its_parts_raise(build, message):
    with pytest.raises(ValueError, match=message):
        build()
