# SPDX-License-Identifier: Apache-2.0
"""Tests of the image architectures of the papers: layers, masks, latent shapes and parameter counts.

The expected layers, masks, widths and shapes come from the papers and from their authors' code. The papers do not state
parameter counts. Later papers report 44 million for Glow on CIFAR-10. The tests compute the expected counts from the
papers' descriptions, with formulas that do not use the library.
"""

import math

import numpy as np
import pytest
import tensorflow as tf

import tfp_glow
from tfp_glow import bijectors as tfgb
from tfp_glow.flows import config_from_dict
from tfp_glow.networks import ConvNet
from trainers import presets


def parts(distribution, kind):
    return [part for part in distribution.submodules if isinstance(part, kind)]


def num_trained(distribution):
    return sum(math.prod(v.shape) for v in distribution.trainable_variables)


# Glow: figure 2 and appendix A of the paper.


@pytest.mark.parametrize(("side", "num_levels", "level_sizes"), [
    (32, 3, (1536, 768, 768)), (64, 4, (6144, 3072, 1536, 1536)),
    (256, 6, (98304, 49152, 24576, 12288, 6144, 6144))], ids=["cifar10", "imagenet64", "celebahq256"])
def test_glow_has_the_papers_steps(side, num_levels, level_sizes):
    distribution = tfp_glow.glow((side, side, 3), num_levels, num_steps=2, width=3)
    repeats = parts(distribution, tfgb.Repeat)
    sizes = [side // 2**level for level in range(1, num_levels + 1)]
    assert sorted((r.event_shape for r in repeats), reverse=True) == [
        (size, size, 6 * side // size) for size in sizes]
    for repeat in repeats:
        norm, convolution, coupling = repeat._template.value.bijectors
        channels = repeat.event_shape[-1]
        assert repeat.num_steps == 2 and type(norm) is tfgb.ActNorm and type(convolution) is tfgb.InvertibleConv1x1
        assert type(coupling) is tfgb.AffineCoupling and coupling.parameters["mask"] == "channel"
        layers = [coupling.network.conv_in, coupling.network.conv_hidden, coupling.network.conv_out]
        assert type(coupling.network) is ConvNet
        assert [tuple(layer.kernel.shape) for layer in layers] == [
            (3, 3, channels // 2, 3), (1, 1, 3, 3), (3, 3, 3, channels)]
        assert not layers[-1].kernel.numpy().any()
    assert distribution.bijector.bijectors[1].level_sizes == level_sizes
    priors = [b.event_shape for b in parts(distribution, tfgb.AffineCoupling) if b.name == "split_prior"]
    assert sorted(priors) == sorted(r.event_shape for r in repeats)[1:]
    assert [b.event_shape for b in parts(distribution, tfgb.ActNorm) if b.name == "top_prior"] == [
        (sizes[-1], sizes[-1], 6 * 2**num_levels)]


def glow_size(channels, levels, steps, width, coupling="affine"):
    """Returns the number of trainable parameters of Glow, computed from the paper's description."""
    total = 0
    for level in range(levels):
        channels *= 4
        half = channels // 2
        outputs = channels if coupling == "affine" else half
        network = 9 * half * width + 2 * width + width**2 + 2 * width + 9 * width * outputs + 2 * outputs
        total += steps * (2 * channels + channels**2 + network)
        top = level == levels - 1
        total += 2 * channels if top else 9 * half * channels + 2 * channels
        channels = half
    return total


@pytest.mark.parametrize(("levels", "steps", "width", "coupling"), [
    (1, 2, 8, "affine"), (2, 1, 6, "affine"), (3, 2, 4, "affine"), (2, 2, 5, "additive")])
def test_glow_parameter_count(levels, steps, width, coupling):
    distribution = tfp_glow.glow((8, 8, 3), levels, steps, width, coupling=coupling)
    assert num_trained(distribution) == glow_size(3, levels, steps, width, coupling)


# RealNVP: section 3.6 and figure 4 of the paper. The masks and widths are from the authors' code.

BOARDS = ["checkerboard_reversed", "checkerboard", "checkerboard_reversed"]
CHANNELS = ["channel", "channel_reversed", "channel"]


@pytest.mark.parametrize(("num_scales", "level_sizes"), [(2, (1536, 1536)), (4, (1536, 768, 384, 384))],
                         ids=["cifar10", "imagenet32"])
def test_realnvp_has_the_papers_couplings(num_scales, level_sizes, monkeypatch):
    seen = []

    def identity(coupling, y, **conditions):
        seen.append((coupling.event_shape, coupling.parameters["mask"], coupling.network.width))
        return y, tf.zeros(y.shape[:1], y.dtype)

    distribution = tfp_glow.realnvp((32, 32, 3), num_scales, num_blocks=1, width=2)
    monkeypatch.setattr(tfgb.Coupling, "_inverse_and_log_det", identity)
    latents = distribution.bijector.inverse(tf.fill((1, 32, 32, 3), 100.0))
    expected, shape, width = [], (32, 32, 3), 2
    for _ in range(num_scales - 1):
        expected += [(shape, mask, width) for mask in BOARDS]
        shape = (shape[0] // 2, shape[1] // 2, 4 * shape[2])
        expected += [(shape, mask, 2 * width) for mask in CHANNELS]
        shape, width = (*shape[:2], shape[2] // 2), 2 * width
    expected += [(shape, mask, width) for mask in [*BOARDS, "checkerboard"]]
    assert seen == expected
    assert shape == {2: (16, 16, 6), 4: (4, 4, 24)}[num_scales]
    assert latents.shape == (1, 3072)
    assert distribution.bijector.bijectors[1].level_sizes == level_sizes
    assert len(parts(distribution, tfgb.BatchNorm)) == len(seen) == 6 * num_scales - 2


def test_realnvp_factors_out_a_checkerboard_of_the_image():
    """If all couplings are the identity, the last scale receives the pixels with even row + column in every channel."""
    distribution = tfp_glow.realnvp((4, 4, 3), 2, 1, 2, batch_norm=False)
    for network in (c.network for c in parts(distribution, tfgb.Coupling)):
        network.conv_out.scale.assign(tf.zeros_like(network.conv_out.scale))
    image = np.zeros((4, 4, 3), "float32") + 10.0 * (np.indices((4, 4)).sum(0) % 2)[..., np.newaxis] + [1.0, 2.0, 3.0]
    pixels = tfgb.LogitPixels((4, 4, 3))
    latents = pixels.forward(tf.reshape(distribution.bijector.inverse(image), (4, 4, 3))).numpy().reshape(2, 24)
    assert sorted(np.unique(latents[0].round(3))) == [11.0, 12.0, 13.0]
    assert sorted(np.unique(latents[1].round(3))) == [1.0, 2.0, 3.0]


def resnet_size(inputs, width, blocks, outputs, mask):
    """Returns the number of trainable parameters of RealNVP's network, computed from the paper's description.

    It counts the offsets of the batch norms, the kernel directions and scales, the biases and the factor.
    """
    skips = (blocks + 1) * (width**2 + 2 * width)
    block = 2 * width + 2 * 9 * width**2 + 2 * width
    return (inputs + 9 * (2 * inputs + mask) * width + width + skips + blocks * block
            + width + width * outputs + 2 * outputs + 1)


def realnvp_size(channels, scales, blocks, width):
    """Returns the number of trainable parameters of RealNVP, computed from the paper's description."""
    total = 0
    for _ in range(scales - 1):
        total += 3 * resnet_size(channels, width, blocks, 2 * channels, 1)
        total += 3 * resnet_size(2 * channels, 2 * width, blocks, 4 * channels, 0)
        channels, width = 2 * channels, 2 * width
    return total + 4 * resnet_size(channels, width, blocks, 2 * channels, 1)


@pytest.mark.parametrize(("scales", "blocks", "width"), [(1, 3, 5), (2, 1, 4), (3, 1, 2)])
def test_realnvp_parameter_count(scales, blocks, width):
    assert num_trained(tfp_glow.realnvp((8, 8, 3), scales, blocks, width)) == realnvp_size(3, scales, blocks, width)


# Glow and RealNVP with the papers' hyperparameters: the formula's result and the pinned number.

COUNTS = {
    "glow_cifar10": (glow_size(3, 3, 32, 512), 44_052_816),
    "glow_imagenet32": (glow_size(3, 3, 48, 512), 66_077_520),
    "glow_imagenet64": (glow_size(3, 4, 48, 512), 111_080_592),
    "glow_lsun": (glow_size(3, 3, 48, 512), 66_077_520),
    "glow_celebahq256": (glow_size(3, 6, 32, 512, "additive"), 168_786_576),
    "realnvp_cifar10": (realnvp_size(3, 2, 8, 64), 19_609_545),
    "realnvp_imagenet32": (realnvp_size(3, 4, 4, 32), 46_220_359),
    "realnvp_imagenet64": (realnvp_size(3, 5, 2, 32), 96_363_237),
    "realnvp_celeba64": (realnvp_size(3, 5, 2, 32), 96_363_237),
    "realnvp_lsun": (realnvp_size(3, 5, 2, 32), 96_363_237),
}


@pytest.mark.parametrize("name", COUNTS)
def test_parameter_counts_for_the_papers_hyperparameters(name):
    """Compares each formula's result with the pinned number. The tests above compare the formulas with small flows."""
    computed, pinned = COUNTS[name]
    assert computed == pinned


@pytest.mark.slow
@pytest.mark.parametrize("name", ["glow_cifar10", "realnvp_cifar10", "realnvp_imagenet32", "realnvp_imagenet64"])
def test_flows_with_the_papers_hyperparameters_have_the_pinned_parameter_counts(name):
    side = 64 if name.endswith("64") else 32
    distribution = config_from_dict({**presets.get(name).flow, "image_shape": (side, side, 3)}).build()
    assert num_trained(distribution) == COUNTS[name][1]
    assert distribution.bijector.inverse_event_shape((side, side, 3)) == (3 * side**2,)
