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
      crop: side of the central square that images are cut to first; None for no cut.
      resize: side of the square that they are resized to then, or None.
      num_bits: bits that 8-bit pixels are reduced to; sets of fewer bits are taken as they are.
      dequantization: what is added to pixels: `"uniform"` noise, or `"variational"` from a flow trained beside.
      dequantizer: fields of that flow, a `tfp_glow.dequantizer`, but for shape and bits.
      flip: whether to mirror half of the training images left to right.
      pixel_noise: chance of a training pixel to be replaced by a random level. What Laplace's smoothing is to a
        histogram: with few images, pixels that are black in all of them would get next to no density elsewhere.
      steps_per_epoch: cuts epochs short, for trials; None is all of the training split.
      temperature: of the samples drawn after each epoch.
      class_conditional: whether the flow is conditioned on the data's labels, as `num_classes` of `tfp_glow.glow`.
      weight_y: weight of a classifier's loss, see `tfp_glow.FlowModel`; 0 for no classifier.
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
    crop: int | None = None
    resize: int | None = None
    num_bits: int = 8
    dequantization: str = "uniform"
    dequantizer: Mapping = dataclasses.field(default_factory=dict)
    flip: bool = False
    pixel_noise: float = 0.0
    steps_per_epoch: int | None = None
    temperature: float = 0.7
    class_conditional: bool = False
    weight_y: float = 0.0

    def __post_init__(self):
        for name in ("batch_size", "epochs", "init_batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: must be at least 1; got {getattr(self, name)}")
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(f"learning_rate: must be positive; got {self.learning_rate}")
        if self.clip_norm is not None and not 0 < self.clip_norm < float("inf"):
            raise ValueError(f"clip_norm: must be positive; got {self.clip_norm}")
        if self.ema_momentum is not None and not 0 <= self.ema_momentum < 1:
            raise ValueError(f"ema_momentum: must be in [0, 1); got {self.ema_momentum}")
        if not 0 <= self.pixel_noise < 1:
            raise ValueError(f"pixel_noise: must be in [0, 1); got {self.pixel_noise}")
        if not 0 <= self.weight_y < float("inf") or (self.weight_y and not self.class_conditional):
            raise ValueError(f"weight_y: must be positive or 0, and 0 without class_conditional; got {self.weight_y}")
        for name, known in (("optimizer", ("adam", "adamax")), ("schedule", ("constant", "cosine")),
                            ("dequantization", ("uniform", "variational"))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name}: must be one of {', '.join(known)}; got {getattr(self, name)!r}")
