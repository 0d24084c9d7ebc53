# SPDX-License-Identifier: Apache-2.0
"""`pixelcnn`: the order of its blocks, the sum of its probabilities, its start, and the arguments of its parts."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_flows import moved

import tfp_glow
from tfp_glow import bijectors as tfgb
from tfp_glow.networks import MADE, CausalConv2D, CausalResNet, PixelFeatures, PixelMADE
from tfp_glow.transforms import Affine


def small(image_shape=(4, 6, 2), block_size=2, **kwargs):
    return tfp_glow.pixelcnn(image_shape, block_size, 6, 2, num_components=2, head_size=4, first_kernel=3, seed=0,
                             **kwargs)


@pytest.fixture(scope="module")
def flow():
    return moved(small())


def test_a_latent_depends_on_no_later_value():
    """The blocks are in the order of rows; within a block, the pixels and then their colors."""
    flow = moved(small(dtype="float64"))
    images = np.random.RandomState(0).randint(110, 140, (1, 4, 6, 2)) + 0.5
    blocks = images.reshape(1, 2, 2, 3, 2, 2).transpose(0, 1, 3, 2, 4, 5).reshape(1, 48)
    changed = np.repeat(blocks, 49, axis=0)
    changed[np.arange(48), np.arange(48)] = blocks + 3.0
    pixels = changed.reshape(49, 2, 3, 2, 2, 2).transpose(0, 1, 3, 2, 4, 5).reshape(49, 4, 6, 2)
    latents = flow.bijector.inverse(pixels).numpy()
    differs = np.abs(latents[:48] - latents[48]) > 1e-12  # [changed value, latent]
    assert np.diagonal(differs).all() and not np.tril(differs, -1).any()
    assert differs[:4].any(axis=0).all()  # The first values reach all others in this small image.


@pytest.mark.parametrize("block_size", [1, 2])
def test_the_probabilities_of_all_images_sum_to_1(block_size):
    flow = moved(small((2, 2, 1), block_size, num_bits=2, dtype="float64"))
    images = np.array(list(itertools.product(range(4), repeat=4))).reshape(-1, 2, 2, 1) + 0.25
    log_probs = flow.log_prob(images).numpy()
    assert np.exp(log_probs).sum() == pytest.approx(1.0, abs=1e-9) and np.ptp(log_probs) > 0.1


@pytest.mark.parametrize("block_size", [1, 2])
def test_the_means_start_near_the_pixels_above_and_to_the_left(block_size):
    flow = small((4, 4, 3), block_size, dtype="float64")
    image = np.random.RandomState(1).randint(0, 256, (4, 4, 3)).astype("float64")
    middle = np.full((5, 5, 3), 127.5)  # Padding.
    middle[1:, 1:] = image
    expected = 0.5 * (middle[:-1, 1:] + middle[1:, :-1])
    expected[..., 1:] += (image - expected)[..., :-1]  # The error of the color before.
    raster, = (part for part in flow.bijector.submodules if isinstance(part, tfgb.RasterAutoregressive))
    network, head = raster._networks
    blocks = tf.nn.space_to_depth(image[np.newaxis], block_size) if block_size > 1 else image[np.newaxis]
    size = blocks.shape[-1]
    features = network(blocks)
    raw = head([tf.reshape(blocks, (-1, size)), tf.reshape(features, (-1, features.shape[-1]))])
    mixture = tfp_glow.transforms.LogisticMixture(2, scale=8.0)
    shifts = tf.reshape(raw, (*blocks.shape, 6)) / np.max(mixture.raw_of_shift(np.array(1.0)))
    shifts = tf.nn.depth_to_space(shifts[..., 2], block_size) if block_size > 1 else shifts[..., 2]
    np.testing.assert_allclose(shifts[0] + 127.5, expected, atol=1e-4)


@pytest.mark.parametrize("shape", [(9, 11, 2), (3, 4, 2)])
def test_the_features_of_one_pixel_are_those_of_its_window(shape):
    layer = PixelFeatures(width=4, num_blocks=1, first_kernel=5, dtype="float64", seed=0)
    images = np.random.RandomState(3).randint(0, 256, (2, *shape)).astype("float64")
    layer.build((None, *shape))
    for variable in layer.trainable_variables:
        variable.assign_add(0.1 * np.random.RandomState(4).standard_normal(variable.shape))
    expected = layer(images).numpy()
    at = np.stack([[layer.at(images, i, j) for j in range(shape[1])] for i in range(shape[0])])
    np.testing.assert_allclose(np.moveaxis(at, 2, 0), expected, atol=1e-9)
    assert np.ptp(expected[..., :4]) > 0.1


def test_images_return_from_their_latents(flow):
    images = np.random.RandomState(2).randint(0, 256, (3, 4, 6, 2)).astype("float32") + 0.5
    latents, log_det = tfgb.inverse_and_log_det(flow.bijector, images, 3)
    returned, other = tfgb.forward_and_log_det(flow.bijector, latents, 1)
    np.testing.assert_array_equal(np.floor(returned), np.floor(images))
    np.testing.assert_allclose(other, -log_det, rtol=1e-4)


def test_networks_may_compute_in_bfloat16():
    flow = small((4, 4, 1), network_dtype="mixed_bfloat16")
    assert np.isfinite(flow.log_prob(np.full((2, 4, 4, 1), 7.5, "float32"))).all()
    assert {variable.dtype.name for variable in flow.variables} == {"float32"}


NETWORK = {"width": 4, "num_blocks": 1}


@pytest.mark.parametrize(("build", "message"), [
    (lambda: tfp_glow.pixelcnn((6, 4, 1), block_size=4), "divisible by block_size = 4; received \\(6, 4, 1\\)"),
    (lambda: tfp_glow.pixelcnn((4, 4, 1), block_size=0), "`block_size` must be an integer of at least 1; received 0"),
    (lambda: tfp_glow.pixelcnn((4, 4, 1), first_kernel=4), "`first_kernel` must be an odd integer .* received 4"),
    (lambda: tfp_glow.pixelcnn((4, 4, 1), head_size=1.5), "`head_size` must be an integer of at least 1; received 1.5"),
    (lambda: tfp_glow.pixelcnn((4, 4, 1), scale=0), "`scale` must be a positive number of at most 256; received 0"),
    (lambda: CausalConv2D(4, kernel_size=1), "`kernel_size` must be an odd integer of at least 3; received 1"),
    (lambda: PixelMADE(5, 4), "`unit` must be a sequence of numbers; received 5"),
    (lambda: PixelMADE([1.0], 4)([tf.zeros((1, 3)), tf.zeros((1, 2))]), "received 2 features for 3 channels"),
    (lambda: tfgb.RasterAutoregressive((2, 2, 3), None, None, Affine("tanh")), "`network` must be a Keras 3 layer"),
    (lambda: tfgb.RasterAutoregressive((2, 2, 3), CausalResNet(**NETWORK), MADE(3, context_size=4, num_outputs=3),
                                       Affine("tanh")), "outputs of shape \\(3, 2\\); received .* \\(3, 3\\)"),
    (lambda: tfgb.RasterAutoregressive((2, 2, 3), keras.layers.Flatten(), MADE(3, context_size=12), Affine("tanh")),
     "`network` must map images of shape \\(2, 2, 3\\) to features"),
])
def test_wrong_arguments_raise(build, message):
    with pytest.raises(ValueError, match=message):
        build()
