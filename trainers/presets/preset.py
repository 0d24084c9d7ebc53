# SPDX-License-Identifier: Apache-2.0
"""What a preset is: a flow and its training."""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Preset:
    """A flow and its training.

    Attributes:
      flow: name of a registered flow config, as `flow`, and its fields but for the event's shape, `num_bits`, `loc`,
        `scale` and `seed`, which come from the data and the command line.
      batch_size: examples a step, over all replicas; an epoch's last batch is left out if it is not full.
      epochs: how many epochs.
      optimizer: `"adam"` or `"adamax"`.
      learning_rate: its highest value.
      warmup_epochs: the learning rate grows linearly from 0 for so long.
      schedule: what it does then: `"constant"`, or `"cosine"` to fall to 0 at the last step.
      ema_momentum: keep a moving average of the weights with this momentum a step, and validate, sample and export
        with it; None for the weights themselves.
      clip_norm: bound of the gradient's global norm, or None.
      init_batch_size: how many examples set the data-dependent parameters.
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
