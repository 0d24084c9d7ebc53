# SPDX-License-Identifier: Apache-2.0
"""Presets with the published settings of Glow and RealNVP, for images of the published sizes.

Neither paper states its number of epochs, so the numbers here are a choice. The learning rate is constant, so a run can
be continued with a larger `--epochs`.

References:
  Kingma and Dhariwal, *Glow: Generative flow with invertible 1x1 convolutions*, 2018.
  Dinh, Sohl-Dickstein and Bengio, *Density estimation using Real NVP*, 2017.
"""

from typing import Any

from trainers.presets.preset import Preset

# For LSUN, both papers scale the shorter side of an image to 96 pixels. They then cut a 64x64 square out of it, that is
# two thirds of the shorter side, at random. LSUN images have a shorter side of 256 pixels, and two thirds of 256 are
# 171. These presets always cut the central square.
_LSUN: dict[str, Any] = {"crop": 171, "resize": 64}


def _glow(
    num_levels: int, num_steps: int, batch_size: int, epochs: int, coupling: str = "affine", **changes: Any
) -> Preset:
    """Makes a preset from the commands of the published Glow code.

    They use Adamax at 1e-3 with ten epochs of warm-up and no decay, and 256 images for the data-dependent
    initialization.

    Args:
      num_levels: number of levels of the flow.
      num_steps: steps of flow per level.
      batch_size: examples per step, over all devices.
      epochs: number of epochs.
      coupling: `"affine"` or `"additive"`. Default `"affine"`.
      **changes: other fields of `Preset`.
    """
    flow = {"flow": "glow", "num_levels": num_levels, "num_steps": num_steps, "width": 512, "coupling": coupling,
            "backprop": "reversible"}  # One device cannot store the activations of a flow of this depth and width.
    return Preset(flow, batch_size=batch_size, epochs=epochs, warmup_epochs=10, **changes)


GLOW = {
    # The published code shifts CIFAR-10 images by up to a tenth of their size; this preset mirrors them instead.
    # Its batch of 64 images per device is for one device here. The published run had eight: --batch_size=512.
    "glow_cifar10": _glow(3, 32, batch_size=64, epochs=1000, flip=True),
    "glow_imagenet32": _glow(3, 48, batch_size=512, epochs=100),
    "glow_imagenet64": _glow(4, 48, batch_size=128, epochs=100),
    # The published command has three levels.
    "glow_lsun": _glow(3, 48, batch_size=128, epochs=100, **_LSUN),
    # The published run had 40 devices with one image each, and samples at temperature 0.7.
    "glow_celebahq256": _glow(6, 32, batch_size=40, epochs=1000, coupling="additive", num_bits=5),
}


def _realnvp(num_scales: int, num_blocks: int, width: int, epochs: int, flip: bool, **changes: Any) -> Preset:
    """Makes a preset from section 4.1 of the RealNVP paper.

    It uses Adam with its default settings and batches of 64. The training images are mirrored at random, except those
    of ImageNet. The defaults of the flow are the paper's L2 penalty of 5e-5 on weight scales and its alpha of 0.05.

    Args:
      num_scales: number of scales of the flow.
      num_blocks: residual blocks per network.
      width: feature maps of the networks.
      epochs: number of epochs.
      flip: whether training images are mirrored at random.
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
    # The central 148x148 pixels of CelebA images, resized.
    "realnvp_celeba64": _realnvp(5, 2, 32, epochs=100, flip=True, crop=148, resize=64),
    "realnvp_lsun": _realnvp(5, 2, 32, epochs=50, flip=True, **_LSUN),
}
