# SPDX-License-Identifier: Apache-2.0
"""What to train and how, under a name: the values behind `--preset`."""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Preset:
    """A flow and its training.

    Attributes:
      flow: name of a registered flow config, as `flow`, and its fields but for `image_shape`, `num_bits` and `seed`,
        which come from the data and the command line.
      batch_size: images a step, over all replicas; an epoch's last batch is left out if it is not full.
      epochs: how many epochs.
      optimizer: `"adam"` or `"adamax"`.
      learning_rate: its highest value.
      warmup_epochs: the learning rate grows linearly from 0 for so long.
      schedule: what it does then: `"constant"`, or `"cosine"` to fall to 0 at the last step.
      ema_momentum: keep a moving average of the weights with this momentum a step, and validate, sample and export
        with it; None for the weights themselves.
      clip_norm: bound of the gradient's global norm, or None.
      init_batch_size: how many images set the data-dependent parameters.
      num_bits: bits that 8-bit pixels are reduced to; sets of fewer bits are taken as they are.
      flip: whether to mirror half of the training images left to right.
      pixel_noise: chance of a training pixel to be replaced by a random level. What Laplace's smoothing is to a
        histogram: with few images, pixels that are black in all of them would get next to no density elsewhere.
      steps_per_epoch: cuts epochs short, for trials; None is all of the training split.
      temperature: of the samples drawn after each epoch.
    """

    flow: Mapping
    batch_size: int
    epochs: int
    optimizer: str = "adamax"
    learning_rate: float = 1e-3
    warmup_epochs: int = 1
    schedule: str = "constant"
    ema_momentum: float | None = None
    clip_norm: float | None = None
    init_batch_size: int = 256
    num_bits: int = 8
    flip: bool = False
    pixel_noise: float = 0.0
    steps_per_epoch: int | None = None
    temperature: float = 0.7

    def __post_init__(self):
        for name in ("batch_size", "epochs", "init_batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: must be at least 1; got {getattr(self, name)}")
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(f"learning_rate: must be positive; got {self.learning_rate}")
        if not 0 <= self.pixel_noise < 1:
            raise ValueError(f"pixel_noise: must be in [0, 1); got {self.pixel_noise}")
        for name, known in (("optimizer", ("adam", "adamax")), ("schedule", ("constant", "cosine"))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name}: must be one of {', '.join(known)}; got {getattr(self, name)!r}")


def _glow(num_levels, num_steps, width):
    return {"flow": "glow", "num_levels": num_levels, "num_steps": num_steps, "width": width}


_FULL = {
    # 8x8 pixels of 17 levels: minutes on two cores. With 1,350 images the noise on pixels is what keeps the
    # validation bits from rising after thirty epochs, more than any smaller network would.
    "digits_glow": Preset(
        {**_glow(2, 16, 64), "scale": "tanh"}, batch_size=64, epochs=100, optimizer="adam", schedule="cosine",
        ema_momentum=0.99, pixel_noise=0.05),
    # 28x28 divides by 4 only, hence two levels: hours on two cores.
    "fashion_mnist_glow": Preset(
        _glow(2, 16, 128), batch_size=64, epochs=30, schedule="cosine", ema_momentum=0.999),
    # The code published with Kingma and Dhariwal 2018: affine coupling, Adamax at 1e-3, ten epochs of warm-up from 0,
    # no decay, initialised from 256 images, 64 images a device. Three things differ: it ran on eight devices, it shifts
    # images by up to a tenth where we mirror them, and it goes on until stopped by hand.
    "glow_cifar10": Preset(_glow(3, 32, 512), batch_size=64, epochs=1000, warmup_epochs=10, flip=True),
}


def _smoke(preset):
    """The same in seconds: to see that everything runs, not to learn anything."""
    return dataclasses.replace(
        preset, flow={**preset.flow, "num_steps": 2, "width": 8}, batch_size=16, epochs=2, warmup_epochs=1,
        init_batch_size=32, steps_per_epoch=4)


PRESETS = {**_FULL, **{f"{name}_smoke": _smoke(preset) for name, preset in _FULL.items()}}


def get(name, **changes):
    """The preset of this name, with the fields changed that are not None.

    Raises:
      ValueError: if there is no such preset, or a field's value is out of range.
    """
    if name not in PRESETS:
        raise ValueError(f"preset: must be one of {', '.join(PRESETS)}; got {name!r}")
    return dataclasses.replace(PRESETS[name], **{k: v for k, v in changes.items() if v is not None})
