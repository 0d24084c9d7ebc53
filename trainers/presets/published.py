# SPDX-License-Identifier: Apache-2.0
"""The papers' own rows, for data of the papers' own sizes.

Neither paper says how long it trained: the number of epochs is ours, and as the learning rate is constant it may grow.
"""

from trainers.presets.preset import Preset

# Both papers take 64x64 pixels at random of images whose shorter side was scaled to 96. LSUN comes with shorter sides
# of 256, of which 171 are as much; they are taken from the middle, always.
_LSUN = {"crop": 171, "resize": 64}


def _glow(num_levels, num_steps, batch_size, epochs, **changes):
    """As the commands of the code published with Kingma and Dhariwal 2018: Adamax at 1e-3, ten epochs of warm-up, no
    decay, initialised from 256 images. The batch is that of all its devices together."""
    coupling = changes.pop("coupling", "affine")
    flow = {"flow": "glow", "num_levels": num_levels, "num_steps": num_steps, "width": 512, "coupling": coupling,
            "backprop": "reversible"}  # Stored activations of such depth and width would fill any one device.
    return Preset(flow, batch_size=batch_size, epochs=epochs, warmup_epochs=10, **changes)


GLOW = {
    # The published code shifts CIFAR-10's images by up to a tenth, where we mirror them.
    # 64 images a device, as theirs, for one device; theirs were eight: --batch_size=512.
    "glow_cifar10": _glow(3, 32, batch_size=64, epochs=1000, flip=True),
    "glow_imagenet32": _glow(3, 48, batch_size=512, epochs=100),
    "glow_imagenet64": _glow(4, 48, batch_size=128, epochs=100),
    # Three levels as in the published command.
    "glow_lsun": _glow(3, 48, batch_size=128, epochs=100, **_LSUN),
    # 40 devices of one image each; samples at the paper's temperature.
    "glow_celebahq256": _glow(6, 32, batch_size=40, epochs=1000, coupling="additive", num_bits=5),
}


def _realnvp(num_scales, num_blocks, width, epochs, flip, **changes):
    """Dinh, Sohl-Dickstein and Bengio 2017, section 4.1: Adam with its defaults, batches of 64, L2 of 5e-5 on weight
    scales and alpha 0.05 (the flow's defaults); all sets but ImageNet with mirrored images."""
    flow = {"flow": "realnvp", "num_scales": num_scales, "num_blocks": num_blocks, "width": width}
    return Preset(flow, batch_size=64, epochs=epochs, optimizer="adam", warmup_epochs=0, flip=flip, temperature=1.0,
                  **changes)


REALNVP = {
    # "We use 8 residual blocks, 64 feature maps, and downscale only once" for CIFAR-10; else 32 feature maps and scales
    # down to 4x4, with 4 residual blocks for 32x32 images and 2 for 64x64.
    "realnvp_cifar10": _realnvp(2, 8, 64, epochs=500, flip=True),
    "realnvp_imagenet32": _realnvp(4, 4, 32, epochs=50, flip=False),
    "realnvp_imagenet64": _realnvp(5, 2, 32, epochs=50, flip=False),
    # CelebA's central 148x148 pixels, resized.
    "realnvp_celeba64": _realnvp(5, 2, 32, epochs=100, flip=True, crop=148, resize=64),
    "realnvp_lsun": _realnvp(5, 2, 32, epochs=50, flip=True, **_LSUN),
}
