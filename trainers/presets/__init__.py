# SPDX-License-Identifier: Apache-2.0
"""`PRESETS` and `get`: the presets by name, which are the values of `--preset`. A preset is a flow and its training."""

import dataclasses
from typing import Any

from .preset import Preset
from .published import GLOW, REALNVP
from .small import DIGITS, FASHION_MNIST
from .smoke import smoke_preset
from .toy import TOY

__all__ = ["PRESETS", "Preset", "get"]

_FULL = {**DIGITS, **FASHION_MNIST, **GLOW, **REALNVP, **TOY}
PRESETS: dict[str, Preset] = {**_FULL, **{f"{name}_smoke": smoke_preset(preset) for name, preset in _FULL.items()}}


def get(name: str, **changes: Any) -> Preset:
    """Returns a preset, with some of its fields changed.

    Args:
      name: str, name of the preset: a key of `PRESETS`, such as `"digits_glow"`.
      **changes: new values of fields of `Preset`, such as `epochs=3`. A field whose new value is None is not changed.

    Returns:
      A `Preset`.

    Raises:
      ValueError: if `PRESETS` has no preset of this name, or if `Preset` rejects a new value.

    Example:

    >>> get("digits_glow", epochs=3).epochs
    3
    """
    if name not in PRESETS:
        raise ValueError(f"preset: must be one of {', '.join(PRESETS)}; got {name!r}")
    return dataclasses.replace(PRESETS[name], **{k: v for k, v in changes.items() if v is not None})
