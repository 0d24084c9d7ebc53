# SPDX-License-Identifier: Apache-2.0
"""Estimates of memory: refuse what cannot fit, before the operating system ends the process."""

import math
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from .runs.configuration import event_shape

_BATCH_VALUES = 2**25  # Number of values in the events and the widest layer of one batch of samples.
_LEAST_BATCH = 64
_BYTES_PER_VALUE = 12  # One layer in float32: its input, its output and a copy.
_CONTROL_GROUP_FILES = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_MAX_PIXELS = 2**27  # Image viewers and Pillow refuse pictures that are a little larger.


def total_bytes() -> int | None:
    """Returns the memory of this machine in bytes, or the limit of its container if it is smaller; None if unknown."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Windows
        return None
    for name in _CONTROL_GROUP_FILES:
        try:
            total = min(total, int(pathlib.Path(name).read_text()))
        except (OSError, ValueError):  # No such file, or no limit.
            continue
    return total


def values_per_event(config: Mapping[str, Any], enlarge: int = 1) -> int:
    """Returns the number of values of one event plus those of one activation of the widest layer.

    Args:
      config: configuration of the run, a dict, as `trainers.runs.configuration.configure` returns.
      enlarge: int, factor of height and width of images. Default 1.
    """
    flow, shape = config["flow"], event_shape(config)
    widths = flow.get("hidden_sizes", flow.get("width", 1))
    width = max(widths) if isinstance(widths, (tuple, list)) else widths
    if len(shape) != 3 or "hidden_sizes" in flow:
        return math.prod(shape) * enlarge**2 + width
    height, columns, channels = shape
    positions = height * columns * enlarge**2
    # All flows of images except RealNVP move blocks of 2x2 pixels to the channels first.
    return positions * channels + width * (positions if flow["flow"] == "realnvp" else positions // 4)


def batch_size(config: Mapping[str, Any], number: int, enlarge: int = 1) -> int:
    """Returns the number of events that a command computes at once. It does not depend on the machine.

    Args:
      config: configuration of the run, a dict, as `trainers.runs.configuration.configure` returns.
      number: int, number of all events.
      enlarge: int, factor of height and width of images. Default 1.

    Returns:
      An int from 1 to `number`.
    """
    return min(number, max(_LEAST_BATCH, _BATCH_VALUES // values_per_event(config, enlarge)))


def check(config: Mapping[str, Any], number: int, flag: str, enlarge: int = 1) -> None:
    """Checks that a batch of events can fit into memory. The estimate is a lower bound.

    The function does nothing on a machine with GPUs, because they have memory of their own.

    Args:
      config: configuration of the run, a dict, as `trainers.runs.configuration.configure` returns.
      number: int, number of events per batch.
      flag: str, the flag to change, for the error message.
      enlarge: int, factor of height and width of images. Default 1.

    Raises:
      ValueError: if the batch needs more memory than the machine has.
    """
    if tf.config.list_physical_devices("GPU"):
        return
    needed, total = _BYTES_PER_VALUE * number * values_per_event(config, enlarge), total_bytes()
    if total is not None and needed > total:
        size = "x".join(str(side * enlarge) for side in event_shape(config)[:2])
        raise ValueError(f"{flag}: {number} events of size {size} need at least {_readable(needed)} of memory at once; "
                         f"this machine has {_readable(total)}; choose a smaller value")


def check_grid(number: int, columns: int, height: int, width: int, flag: str) -> None:
    """Checks that a grid of images is not too large for a picture.

    Args:
      number: int, number of images.
      columns: int, number of images per row.
      height: int, height of an image in pixels.
      width: int, width of an image in pixels.
      flag: str, the flag to change, for the error message.

    Raises:
      ValueError: if the grid has more than 2**27 pixels.
    """
    rows = -(-number // columns)
    picture_width, picture_height = columns * (width + 1) + 1, rows * (height + 1) + 1
    if picture_width * picture_height > _MAX_PIXELS:
        raise ValueError(f"{flag}: a grid of {number:,} images of {width}x{height} pixels would have "
                         f"{picture_width:,}x{picture_height:,} pixels; a picture has at most {_MAX_PIXELS:,}; "
                         "choose a smaller value")


def _readable(size: int) -> str:
    return f"{size / 2**30:,.1f} GiB" if size >= 2**30 else f"{size / 2**20:,.1f} MiB"
