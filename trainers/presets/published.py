# SPDX-License-Identifier: Apache-2.0
"""Presets with the published settings of Glow, RealNVP and Jet, for images of the published sizes.

The papers of Glow and RealNVP do not state the numbers of epochs, so the numbers here are a choice. Their learning rate
is constant after the warm-up, so the same command with a greater `--epochs` continues a finished run.

References:
  Kingma and Dhariwal, *Glow: Generative flow with invertible 1x1 convolutions*, 2018.
  Dinh, Sohl-Dickstein and Bengio, *Density estimation using Real NVP*, 2017.
  Kolesnikov, Pinto and Tschannen, *Jet: A modern transformer-based normalizing flow*, 2024.
"""

from typing import Any

from .preset import Preset

# For LSUN, both papers scale the shorter side of an image to 96 pixels and then cut out a 64x64 square at random. The
# side of the square is two thirds of the shorter side of the image. LSUN images have a shorter side of 256 pixels, and
# two thirds of 256 are 171. These presets always cut out the central square.
_LSUN: dict[str, Any] = {"crop": 171, "resize": 64}


def _glow(
    num_levels: int, num_steps: int, batch_size: int, epochs: int, coupling: str = "affine", **changes: Any
) -> Preset:
    """Returns a preset with the settings of the commands in the published Glow code.

    All commands use Adamax with a learning rate of 1e-3, ten epochs of warm-up and no decay. The data-dependent
    initialization uses 256 images.

    Args:
      num_levels: number of levels of the flow.
      num_steps: number of steps of flow per level.
      batch_size: number of examples per training step, over all devices.
      epochs: number of epochs.
      coupling: kind of the couplings, `"affine"` or `"additive"`. Default `"affine"`.
      **changes: other fields of `Preset`.
    """
    flow = {"flow": "glow", "num_levels": num_levels, "num_steps": num_steps, "width": 512, "coupling": coupling,
            "backprop": "reversible"}  # One device cannot store the activations of a flow of this depth and width.
    return Preset(flow, batch_size=batch_size, epochs=epochs, warmup_epochs=10, **changes)


GLOW = {
    # The published code shifts CIFAR-10 images by up to a tenth of their size. This preset mirrors them instead.
    # The batch size is for one device. The published run had 64 images on each of eight devices: --batch_size=512.
    "glow_cifar10": _glow(3, 32, batch_size=64, epochs=1000, flip=True),
    "glow_imagenet32": _glow(3, 48, batch_size=512, epochs=100),
    "glow_imagenet64": _glow(4, 48, batch_size=128, epochs=100),
    # The published command for LSUN has three levels, although the images have 64x64 pixels.
    "glow_lsun": _glow(3, 48, batch_size=128, epochs=100, **_LSUN),
    # The published run had 40 devices with one image each.
    "glow_celebahq256": _glow(6, 32, batch_size=40, epochs=1000, coupling="additive", num_bits=5),
}


def _realnvp(num_scales: int, num_blocks: int, width: int, epochs: int, flip: bool, **changes: Any) -> Preset:
    """Returns a preset with the settings of section 4.1 of the RealNVP paper.

    The paper uses Adam with its default settings and batches of 64 images. It mirrors training images at random, except
    the images of ImageNet. Its L2 penalty of 5e-5 on weight scales and its alpha of 0.05 are defaults of the flow.

    Args:
      num_scales: number of scales of the flow.
      num_blocks: number of residual blocks per network.
      width: number of feature maps (hidden channels) of the networks.
      epochs: number of epochs.
      flip: if True, training images are mirrored at random.
      **changes: other fields of `Preset`.
    """
    flow = {"flow": "realnvp", "num_scales": num_scales, "num_blocks": num_blocks, "width": width}
    return Preset(flow, batch_size=64, epochs=epochs, optimizer="adam", warmup_epochs=0, flip=flip, temperature=1.0,
                  **changes)


REALNVP = {
    # For CIFAR-10: "We use 8 residual blocks, 64 feature maps, and downscale only once". For the others: 32 feature
    # maps and scales down to 4x4, with 4 residual blocks for 32x32 images and 2 for 64x64 images.
    "realnvp_cifar10": _realnvp(2, 8, 64, epochs=500, flip=True),
    "realnvp_imagenet32": _realnvp(4, 4, 32, epochs=50, flip=False),
    "realnvp_imagenet64": _realnvp(5, 2, 32, epochs=50, flip=False),
    # The paper also cuts out the central 148x148 pixels of CelebA images and resizes them.
    "realnvp_celeba64": _realnvp(5, 2, 32, epochs=100, flip=True, crop=148, resize=64),
    "realnvp_lsun": _realnvp(5, 2, 32, epochs=50, flip=True, **_LSUN),
}


def _jet(depth: int, block_depth: int) -> Preset:
    """Returns a preset with the settings of section 3 of the Jet paper and of its published code.

    AdamW has a learning rate of 3e-4 that grows in the first 10% of 200 epochs and then falls along a cosine. The
    published code subtracts the fraction 1e-5 of all weights per step at the highest learning rate.

    Args:
      depth: number of couplings.
      block_depth: number of transformer blocks per coupling network.
    """
    flow = {"flow": "jet", "patch_size": 4, "depth": depth, "block_depth": block_depth, "width": 512, "num_heads": 8,
            "backprop": "reversible"}  # One device cannot store the activations of a flow of this depth and width.
    return Preset(flow, batch_size=1024, epochs=200, optimizer="adamw", learning_rate=3e-4, warmup_epochs=20,
                  schedule="cosine", beta_2=0.95, weight_decay=1e-5, clip_norm=1.0, temperature=1.0)


JET = {"jet_imagenet64": _jet(32, 2), "jet_large_imagenet64": _jet(64, 5)}
