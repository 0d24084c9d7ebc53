# SPDX-License-Identifier: Apache-2.0
"""`Preset`: the arguments of a flow and the settings of its training."""

import dataclasses
from collections.abc import Mapping
from typing import Any

_MAX_EPOCHS = 1_000_000
_MAX_MOMENTUM = 0.9999999
_BETA_2 = 0.999  # of Keras's optimizers


@dataclasses.dataclass(frozen=True)
class Preset:
    """The arguments of a flow and the settings of its training.

    Attributes:
      flow: dict. Its entry `flow` is the name of a flow: `"glow"`, `"realnvp"`, `"jet"`, `"pyramid"`,
        `"realnvp_vector"`, `"nice"`, `"maf"`, `"iaf"` or `"nsf"`. The other entries are arguments of the flow. The dict
        omits the arguments that come from the data: `image_shape` or `event_shape`, `num_bits`, `num_classes`, `loc`
        and `scale`. It also omits `seed`, which each run sets. Required.
      batch_size: int, number of examples per step over all replicas, at least 1. A last batch of an epoch with fewer
        examples is dropped. Required.
      epochs: int, number of epochs, from 1 to 1,000,000. Required.
      optimizer: str, `"adam"`, `"adamax"` or `"adamw"`. Default `"adamax"`.
      learning_rate: float in [1e-12, 1], the highest learning rate. Default 1e-3.
      warmup_epochs: int, number of epochs in which the learning rate grows linearly from 0 to `learning_rate`; 0 for no
        warm-up. Default 1.
      schedule: str, the learning rate after the warm-up: `"constant"`, or `"cosine"` for a decay to 0 at the last step.
        Default `"constant"`.
      beta_2: float in [0, 1), momentum of the mean of squared gradients in AdamW. It must be 0.999 for other
        optimizers. Default 0.999.
      weight_decay: float in [0, 1], fraction of each weight that AdamW subtracts per step at the highest learning rate.
        The fraction falls with the learning rate. It must be 0 for other optimizers. Default 0.0.
      ema_momentum: float in [0, 1), greatest momentum per step of an exponential moving average of the weights.
        Validation, samples and the exported model then use the average, or the weights as long as they are better.
        Default None: no average.
      clip_norm: float in [1e-12, 1e12]. A gradient whose global norm is greater is scaled down to this norm. Default
        None: no clipping.
      init_batch_size: int, number of training examples for the data-dependent initialization, at least 1. Default 256.
      crop: int, side in pixels of the central square that is cut out of each image. Default None: the largest central
        square if `resize` is given, otherwise no crop. 0 means None.
      resize: int, side in pixels of the square to which each image is resized after the crop. Default None: no resize.
        0 means None.
      num_bits: int, bits per channel value, from 1 to 8. 8-bit images are reduced to values in `[0, 2**num_bits)`.
        Images with at most `num_bits` bits are not changed. Default 8.
      dequantization: str, the noise that is added to images: `"uniform"`, or `"variational"` for noise from a second
        flow, the dequantizer, which is trained together with the first. Default `"uniform"`.
      dequantizer: dict, arguments of `tfp_glow.dequantizer` for variational noise, except `image_shape`, `num_bits` and
        `seed`. Default: the empty dict, so all arguments have their defaults.
      flip: bool. If True, each training image is mirrored left to right with probability 1/2. Default False.
      pixel_noise: float in [0, 1), probability with which each channel value of a training image is replaced by a
        random gray level. Like Laplace smoothing of a histogram, the noise gives probability to values that a small
        training set does not contain. Default 0.0.
      steps_per_epoch: int, upper bound of the number of steps per epoch, for short trials. Default None: each epoch
        uses the whole training split.
      temperature: float, sampling temperature of the pictures that are written after each epoch: it scales the
        deviation of the latents from their mean. Default 0.7.
      class_conditional: bool. If True, the flow models the density of an example given its label. Default False.
      weight_y: float, at least 0, weight in the loss of the cross-entropy of a classifier of the latents, see
        `tfp_glow.FlowModel`. It must be 0 if `class_conditional` is False. Default 0.0: no classifier.

    Raises:
      ValueError: if `batch_size`, `epochs`, `optimizer`, `learning_rate`, `schedule`, `beta_2`, `weight_decay`,
        `ema_momentum`, `clip_norm`, `init_batch_size`, `dequantization`, `pixel_noise` or `weight_y` is not one of the
        values above. The other fields are checked when they are used.
    """

    flow: Mapping[str, Any]
    batch_size: int
    epochs: int
    optimizer: str = "adamax"
    learning_rate: float = 1e-3
    warmup_epochs: int = 1
    schedule: str = "constant"
    beta_2: float = _BETA_2
    weight_decay: float = 0.0
    ema_momentum: float | None = None
    clip_norm: float | None = None
    init_batch_size: int = 256
    crop: int | None = None
    resize: int | None = None
    num_bits: int = 8
    dequantization: str = "uniform"
    dequantizer: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    flip: bool = False
    pixel_noise: float = 0.0
    steps_per_epoch: int | None = None
    temperature: float = 0.7
    class_conditional: bool = False
    weight_y: float = 0.0

    def __post_init__(self) -> None:
        for name in ("batch_size", "epochs", "init_batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: must be at least 1; got {getattr(self, name)}")
        if self.epochs > _MAX_EPOCHS:
            raise ValueError(f"epochs: must be at most {_MAX_EPOCHS}; got {self.epochs}")
        # The bounds are where float32 still computes with the values, and where no known flow trains any more.
        if not 1e-12 <= self.learning_rate <= 1.0:
            raise ValueError(f"learning_rate: must be in [1e-12, 1]; got {self.learning_rate}")
        if self.clip_norm is not None and not 1e-12 <= self.clip_norm <= 1e12:
            raise ValueError(f"clip_norm: must be in [1e-12, 1e12]; got {self.clip_norm}")
        if self.ema_momentum is not None and not 0 <= self.ema_momentum <= _MAX_MOMENTUM:
            raise ValueError(f"ema_momentum: must be in [0, 1), and at most {_MAX_MOMENTUM}, because float32 rounds "
                             f"greater values to 1; got {self.ema_momentum}")
        if not 0 <= self.pixel_noise < 1:
            raise ValueError(f"pixel_noise: must be in [0, 1); got {self.pixel_noise}")
        if not 0 <= self.weight_y < float("inf") or (self.weight_y and not self.class_conditional):
            raise ValueError("weight_y: must not be negative or infinite, and must be 0 if class_conditional is False; "
                             f"got {self.weight_y}")
        for name, known in (("optimizer", ("adam", "adamax", "adamw")), ("schedule", ("constant", "cosine")),
                            ("dequantization", ("uniform", "variational"))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name}: must be one of {', '.join(known)}; got {getattr(self, name)!r}")
        if not 0 <= self.beta_2 <= _MAX_MOMENTUM or (self.beta_2 != _BETA_2 and self.optimizer != "adamw"):
            raise ValueError(f"beta_2: must be in [0, 1) for adamw, and {_BETA_2} for other optimizers; "
                             f"got {self.beta_2}")
        if not 0 <= self.weight_decay <= 1 or (self.weight_decay and self.optimizer != "adamw"):
            raise ValueError("weight_decay: must be in [0, 1] for adamw, and 0 for other optimizers; "
                             f"got {self.weight_decay}")
