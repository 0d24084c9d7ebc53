# SPDX-License-Identifier: Apache-2.0
"""What to train and how, under a name: the values behind `--preset`."""

import dataclasses

from trainers.presets.preset import Preset
from trainers.presets.published import GLOW, REALNVP
from trainers.presets.small import DIGITS, FASHION_MNIST
from trainers.presets.smoke import smoke
from trainers.presets.toy import TOY

__all__ = ["PRESETS", "Preset", "get"]

_FULL = {**DIGITS, **FASHION_MNIST, **GLOW, **REALNVP, **TOY}
PRESETS = {**_FULL, **{f"{name}_smoke": smoke(preset) for name, preset in _FULL.items()}}


def get(name, **changes):
    """The preset of this name, with the fields changed that are not None.

    Raises:
      ValueError: if there is no such preset, or a field's value is out of range.
    """
    if name not in PRESETS:
        raise ValueError(f"preset: must be one of {', '.join(PRESETS)}; got {name!r}")
    return dataclasses.replace(PRESETS[name], **{k: v for k, v in changes.items() if v is not None})
