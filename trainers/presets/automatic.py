# SPDX-License-Identifier: Apache-2.0
"""`automatic`: the preset of `--preset=auto`, which follows from the data and the machine."""

import dataclasses
import math
from typing import Any, NamedTuple

from .preset import Preset
from .small import CIFAR10, DIGITS, FASHION_MNIST
from .toy import TOY

_MINUTES = 45.0
_MAX_EPOCHS = 100
_MIN_EPOCHS = 4  # If fewer fit into the minutes, there are ten shorter ones, so that the warm-up remains a small part.
_SHORT_EPOCHS = 10
_MAX_PIXELS = 64 * 64
_SLOWER = 2.5  # Training in float32 on a CPU that is slow in bfloat16 took 2.3 times as long, measured with a Glow.
_FEW = 10_000  # With fewer training images, noise on the pixels reduces overfitting.


class Choice(NamedTuple):
    """A preset for a data set.

    Attributes:
      preset: the `Preset`.
      base: str, name of the preset from which it is derived, such as `"cifar10_glow"`.
      minutes: float, expected duration of the training on two CPU cores, or on one if the machine has one.
    """

    preset: Preset
    base: str
    minutes: float


class _Training(NamedTuple):
    """A training of a preset on two CPU cores.

    Attributes:
      num_examples: number of training examples per epoch.
      size: number of pixels of an image, or of elements of a vector.
      per_second: training examples per second.
    """

    num_examples: int
    size: int
    per_second: float


# Measured on two CPU cores. For `fashion_mnist_coupling`, measured with the widths 64 and 96 by a run that is not kept;
# with those of the preset it is faster.
_TRAININGS = {
    "digits_glow": _Training(1350, 8 * 8, 668.0),
    "fashion_mnist_coupling": _Training(54_000, 28 * 28, 330.0),
    "cifar10_glow": _Training(45_000, 32 * 32, 220.0),
    "toy_nsf": _Training(100_000, 2, 30_000.0),
    "toy_maf": _Training(100_000, 2, 38_000.0),
}
_PRESETS = {**DIGITS, **FASHION_MNIST, **CIFAR10, **TOY}


def automatic(data: Any, num_cores: int, is_slow: bool = False) -> Choice:
    """Returns the preset for a data set, so that training takes at most about 45 minutes on two CPU cores.

    - Images of at most 12x12 pixels: `digits_glow`.
    - Gray images of at most 32x32 pixels whose sides are divisible by 4: `fashion_mnist_coupling`.
    - Other images of at most 64x64 pixels: `cifar10_glow`.
    - Vectors of at least two numbers: `toy_nsf`. A single number per example: `toy_maf`.

    The number of epochs makes the number of training examples that of the preset on its own data, or less if that would
    take more than 45 minutes. It is at most 100. If fewer than 4 epochs fit into the time, there are 10 shorter ones:
    each has a part of the training examples, and the next one goes on with the others. A Glow has as many levels as its
    preset, or fewer if the sides of the images are not divisible by 2 so often. Images are not flipped.

    Args:
      data: a `trainers.data.ImageData` or `trainers.data.VectorData`.
      num_cores: int, number of CPU cores. Training on one core is half as fast, so the bound on the time allows half
        as many epochs.
      is_slow: bool. True if networks in bfloat16 will be float32, because the machine is slow in bfloat16. Then a
        training has fewer epochs. Default False.

    Returns:
      A `Choice`.

    Raises:
      ValueError: if the images have more than 64x64 pixels, or a side with an odd number of pixels.

    Example:

    >>> from trainers import data
    >>> automatic(data.load("digits"), num_cores=2).base
    'digits_glow'
    """
    base, changes = _for_vectors(data) if data.num_bits is None else _for_images(data)
    preset, training, number = _PRESETS[base], _TRAININGS[base], data.num_examples("train")
    size = math.prod(data.event_shape[:2])
    per_second = training.per_second * training.size / size * min(num_cores, 2) / 2
    if is_slow and preset.flow.get("network_dtype") == "mixed_bfloat16":
        per_second /= _SLOWER
    batch_size, steps, examples = min(preset.batch_size, number), None, number  # The last two are those of an epoch.
    total = min(preset.epochs * training.num_examples, int(60 * _MINUTES * per_second), _MAX_EPOCHS * number)
    epochs = total // number
    if epochs < _MIN_EPOCHS:
        epochs, steps = _SHORT_EPOCHS, max(1, total // _SHORT_EPOCHS // batch_size)
        examples = steps * batch_size
    preset = dataclasses.replace(preset, epochs=epochs, batch_size=batch_size, steps_per_epoch=steps, **changes)
    return Choice(preset, base, epochs * examples / per_second / 60)


def _for_vectors(data: Any) -> tuple[str, dict[str, Any]]:
    """Returns the name of a preset for vectors and changed fields."""
    return "toy_nsf" if data.event_shape[0] > 1 else "toy_maf", {}


def _for_images(data: Any) -> tuple[str, dict[str, Any]]:
    """Returns the name of a preset for images and changed fields."""
    height, width, channels = data.event_shape
    described = ("preset: auto is for images of at most 64x64 pixels with even sides; "
                 f"{data.name} has {data.description}")
    if height * width > _MAX_PIXELS:
        raise ValueError(f"{described}; --resize=64 makes them smaller")
    if height % 2 or width % 2:
        raise ValueError(f"{described}; --resize={max(2, min(height, width) // 2 * 2)} resizes them")
    changes: dict[str, Any] = {"pixel_noise": 0.05 if data.num_examples("train") < _FEW else 0.0}
    if channels == 1 and 144 < height * width <= 1024 and height % 4 == width % 4 == 0:
        return "fashion_mnist_coupling", {**changes, "flip": False}  # A mirrored digit is no digit.
    base = "digits_glow" if height * width <= 144 else "cifar10_glow"
    flow = _PRESETS[base].flow
    levels = max(k for k in range(1, flow["num_levels"] + 1) if height % 2**k == width % 2**k == 0)
    return base, {**changes, "flow": {**flow, "num_levels": levels}}
