# SPDX-License-Identifier: Apache-2.0
"""`Preset`: a flow and its training."""

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Preset:
    """A flow and its training.

    Attributes:
      flow: mapping from str to values. The entry `flow` is the name of a registered flow; the other entries are its
        arguments. The image or event shape, `num_bits`, `num_classes`, and for vectors `loc` and `scale`, are left
        out: they come from the data. The run sets `seed`. Required.
      batch_size: int, examples per step over all replicas, at least 1. The last batch of an epoch is dropped if it is
        not full. Required.
      epochs: int, number of epochs, at least 1. Required.
      optimizer: str, `"adam"` or `"adamax"`. Default `"adamax"`.
      learning_rate: float, the highest learning rate, positive. Default 1e-3.
      warmup_epochs: int, number of epochs in which the learning rate grows linearly from 0 to `learning_rate`. Default
        1.
      schedule: str, the learning rate after the warm-up: `"constant"`, or `"cosine"` for a decay to 0 at the last step.
        Default `"constant"`.
      ema_momentum: float in [0, 1), momentum per step of a moving average of the weights. Validation, samples and
        export use the average. Default None: no average.
      clip_norm: float, upper bound of the global norm of the gradient, positive. Default None: no clipping.
      init_batch_size: int, number of examples for the data-dependent initialization, at least 1. Default 256.
      crop: int, side in pixels of the central square that is cut out of each image first. Default None: no crop; 0 has
        the same meaning.
      resize: int, side in pixels of the square to which each image is resized then. Default None: no resize; 0 has the
        same meaning.
      num_bits: int, bits per pixel value to which 8-bit images are reduced. Images with fewer bits keep theirs.
        Default 8.
      dequantization: str, the noise that is added to integer pixels: `"uniform"`, or `"variational"` for noise from a
        second flow that is trained with the first. Default `"uniform"`.
      dequantizer: mapping from str to values, the arguments of this second flow, a `tfp_glow.dequantizer`. The
        image shape and `num_bits` are left out. Default: no entries, so the defaults of the flow apply.
      flip: bool, whether to mirror half of the training images left to right, at random. Default False.
      pixel_noise: float in [0, 1), probability that a training pixel is replaced by a random level. Like Laplace
        smoothing of a histogram, it gives probability to pixel values that a small training set does not contain.
        Default 0.0.
      steps_per_epoch: int, upper bound of the steps per epoch, for short trials. Default None: the whole training
        split.
      temperature: float, temperature of the samples that are drawn after each epoch. Default 0.7.
      class_conditional: bool, whether the labels of the data condition the flow. Default False.
      weight_y: float, weight of the classifier's cross-entropy in the loss, see `tfp_glow.FlowModel`. Not negative; 0
        if `class_conditional` is False. Default 0.0: no classifier.

    Raises:
      ValueError: if a field is out of range.
    """

    flow: Mapping[str, Any]
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
