# SPDX-License-Identifier: Apache-2.0
"""`presets_table` and `check_data`: what each preset is for, what it takes and what it reaches, as far as measured."""

import dataclasses
import math
import warnings
from collections.abc import Mapping
from typing import Any

from .preset import Preset

_NOT_RUN = "not run here"
_GREATEST_RATIO = 4  # A warning follows if an image has this many times more or fewer values than the preset is for.


@dataclasses.dataclass(frozen=True)
class Measurement:
    """The result of one training of a preset to its end, on two CPU cores.

    Attributes:
      minutes: float, duration of the training in minutes.
      bits_per_dim: float, bits per dimension of the test split.
    """

    minutes: float
    bits_per_dim: float


# docs/results.md, benchmarks/results/ and the model cards have these numbers, too; a test compares them. The presets of
# vectors were trained on toy:two_moons.
MEASURED = {
    "digits_glow": Measurement(3.37, 2.069),
    "digits_realnvp": Measurement(7.91, 2.318),
    "digits_nice": Measurement(0.99, 2.376),
    "digits_maf": Measurement(0.65, 2.329),
    "digits_iaf": Measurement(5.13, 2.498),
    "fashion_mnist_glow": Measurement(105.0, 3.047),
    "fashion_mnist_realnvp": Measurement(116.0, 3.233),
    "fashion_mnist_best": Measurement(29.0, 2.924),
    "fashion_mnist_coupling": Measurement(59.0, 2.892),
    "fashion_mnist_pixelcnn": Measurement(40.0, 2.801),
    "cifar10_glow": Measurement(88.0, 3.577),
    "cifar10_glow_classes": Measurement(61.0, 3.669),
    "cifar10_coupling": Measurement(49.0, 3.533),
    "cifar10_pixelcnn": Measurement(74.0, 3.254),
    "toy_realnvp": Measurement(0.90, 0.730),
    "toy_maf": Measurement(1.01, 0.733),
    "toy_nsf": Measurement(1.90, 0.727),
}

# The beginning or the end of a name, without `_smoke`, names the data. None is for vectors.
_DATA: dict[str, tuple[str, tuple[int, int, int] | None]] = {
    "digits": ("digits", (8, 8, 1)),
    "fashion_mnist": ("Fashion-MNIST", (28, 28, 1)),
    "toy": ("vectors", None),
    "cifar10": ("CIFAR-10", (32, 32, 3)),
    "imagenet32": ("ImageNet 32x32", (32, 32, 3)),
    "imagenet64": ("ImageNet 64x64", (64, 64, 3)),
    "celeba64": ("CelebA", (64, 64, 3)),
    "celebahq256": ("CelebA-HQ", (256, 256, 3)),
    "lsun": ("LSUN", (64, 64, 3)),
}
_EXPLANATION = f"""
minutes: training on two CPU cores. For Fashion-MNIST and CIFAR-10 this is the least time: all epochs at the speed of
the fastest one, without validation. cifar10_glow, cifar10_coupling and cifar10_pixelcnn ran on cores with
instructions for bfloat16. The others, except fashion_mnist_best, ran on cores without these instructions, on which
cifar10_glow would take about 2.5 times as long. toy_nsf ran on one core.
bits/dim: on the test split after this training; of presets with classes, given the class. The digits_glow that
load_pretrained returns was trained later and has 2.061.
{_NOT_RUN}: not trained to the end for this table. The published sizes of Glow, RealNVP and Jet are for GPUs.
--data: digits; idx:DIR or tfds:fashion_mnist for Fashion-MNIST; toy:NAME or array:FILE for vectors (the results are
for toy:two_moons); tfds:cifar10; tfds:downsampled_imagenet/32x32 or .../64x64; tfds:celeb_a; tfds:celeb_a_hq/256;
tfds:lsun/NAME.
NAME_smoke is a small version of each preset. It trains in seconds, to test that training runs; its model is bad."""

_NAMES = {"glow": "Glow", "realnvp": "RealNVP", "realnvp_vector": "RealNVP", "nice": "NICE", "maf": "MAF", "iaf": "IAF",
          "nsf": "NSF", "jet": "Jet", "pyramid": "pyramid",
          "pixelcnn": "PixelCNN"}
_COUNTS = {"num_levels": "levels", "num_scales": "scales", "num_steps": "steps", "num_blocks": "blocks",
           "num_couplings": "couplings", "num_layers": "layers", "depth": "couplings",
           "block_depth": "blocks"}


def presets_table(presets: Mapping[str, Preset]) -> str:
    """Formats a table of presets: name, flow, data, and minutes and bits per dimension as far as they were measured.

    Args:
      presets: mapping from names to presets. Presets whose name ends in `_smoke` are left out.

    Returns:
      A str of several lines. The last lines explain the table.

    Example:

    >>> from trainers.presets import PRESETS
    >>> print(presets_table(PRESETS).splitlines()[1])
    digits_glow             Glow, 2 levels, 16 steps, width 64          digits              3.4     2.069
    """
    rows = [("preset", "flow", "data", "minutes  bits/dim")]
    for name, preset in presets.items():
        if not name.endswith("_smoke"):
            measured = MEASURED.get(name)
            results = f"{measured.minutes:7.1f}  {measured.bits_per_dim:8.3f}" if measured else _NOT_RUN
            rows.append((name, _describe_flow(preset.flow), _data_of(name)[0], results))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, _EXPLANATION])


def check_data(name: str, data: Any, preset: Preset) -> None:
    """Checks that the size of the examples is about the size that a preset is for.

    Args:
      name: str, name of the preset.
      data: the data set, a `trainers.data.ImageData` or `trainers.data.VectorData`.
      preset: the preset of this name, perhaps with some fields changed.

    Raises:
      ValueError: if the preset is for vectors and the data set has images.

    Warns:
      UserWarning: if an image has at least 4 times more or fewer values than the images that the preset is for; or if
        the preset has the published size of a model. The presets `NAME_smoke` give no warning.
    """
    try:
        phrase, shape = _data_of(name.removesuffix("_smoke"))
    except LookupError:
        return  # A preset that is not of this package.
    if shape is None:
        if data.num_bits is not None:
            raise ValueError(f"preset: {name} is for vectors; {data.name} has {data.description}")
        return
    if name.endswith("_smoke") or data.num_bits is None:
        return
    ratio = math.prod(data.event_shape) / math.prod(shape)
    if not 1 / _GREATEST_RATIO < ratio < _GREATEST_RATIO:
        warnings.warn(f"preset: {name} is for images {'x'.join(map(str, shape))} ({phrase}); {data.name} has "
                      f"{data.description}; --list_presets shows what each preset is for", stacklevel=2)
    elif _is_published(name):
        warnings.warn(f"preset: {name} has the published size, for GPUs, and was not trained to the end here; "
                      f"{preset.epochs} epochs of {data.num_examples('train')} images"
                      f"{_expected_time(name, preset, data)}; --list_presets lists presets that train in minutes",
                      stacklevel=2)


# Seconds per training image on two CPU cores, from benchmarks/results/speed.json: 1.12 s per batch of 32 at 8 steps per
# level in stored mode; at 32 steps and width 128, reversible mode takes 1.13 times as long as stored mode. The time is
# about proportional to the number of steps.
_SECONDS_PER_IMAGE = {"glow_cifar10": 1.12 * 1.13 / 32 * (32 / 8)}


def _expected_time(name: str, preset: Preset, data: Any) -> str:
    if name not in _SECONDS_PER_IMAGE:
        return " take a time that was not measured"
    days = _SECONDS_PER_IMAGE[name] * preset.epochs * data.num_examples("train") / 86_400
    return f" take about {days:,.0f} days on two CPU cores" if days >= 1 else (
        f" take about {24 * days:.1f} hours on two CPU cores")


def _is_published(name: str) -> bool:
    return name.startswith(("glow_", "realnvp_", "jet_"))


def _data_of(name: str) -> tuple[str, tuple[int, int, int] | None]:
    for part, value in _DATA.items():
        if name.startswith(part) or name.endswith(part):
            return value
    raise LookupError(f"The table of presets has no data for {name!r}.")


def _describe_flow(flow: Mapping[str, Any]) -> str:
    """Returns a phrase such as `"Glow, 2 levels, 16 steps, width 64"`."""
    def listed(value: Any) -> str:
        return ", ".join(map(str, dict.fromkeys(value if isinstance(value, (tuple, list)) else [value])))

    widths = listed(flow["hidden_sizes" if "hidden_sizes" in flow else "width"])
    return ", ".join([
        _NAMES[flow["flow"]], *(f"{listed(flow[key])} {noun.removesuffix('s') if listed(flow[key]) == '1' else noun}"
                                for key, noun in _COUNTS.items() if key in flow),
        f"width{'s' if ',' in widths else ''} {widths}"])
