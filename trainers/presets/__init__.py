# SPDX-License-Identifier: Apache-2.0
"""`PRESETS` and `get`: the presets by name, which are the values of `--preset`. A preset is a flow and its training."""

import dataclasses
import difflib
from typing import Any

from .automatic import automatic
from .preset import Preset
from .published import GLOW, JET, REALNVP
from .small import CIFAR10, DIGITS, FASHION_MNIST
from .smoke import smoke_preset
from .table import check_data, presets_table
from .toy import TOY

__all__ = ["PRESETS", "Preset", "automatic", "changed", "check_data", "get", "presets_table"]

_FULL = {**DIGITS, **FASHION_MNIST, **CIFAR10, **GLOW, **REALNVP, **JET, **TOY}
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
        close = difflib.get_close_matches(name.lower(), PRESETS if "smo" in name.lower() else _FULL, cutoff=0.5)
        hint = f"did you mean {' or '.join(close)}? " if close else ""
        raise ValueError(f"preset: no preset has the name {name!r}; {hint}`--list_presets` lists all presets")
    return changed(PRESETS[name], **changes)


def changed(preset: Preset, **changes: Any) -> Preset:
    """Returns a preset with new values of some fields. A field whose new value is None is not changed."""
    return dataclasses.replace(preset, **{name: value for name, value in changes.items() if value is not None})
