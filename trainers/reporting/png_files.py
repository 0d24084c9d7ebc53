# SPDX-License-Identifier: Apache-2.0
"""PNG files of image grids, of plots of vectors and of Matplotlib figures."""

import io
import math
import pathlib
from typing import Any

import numpy as np
import PIL.Image
from matplotlib.figure import Figure

from tfp_glow._types import TensorLike

from ..runs.atomic_files import replacing
from . import charts

_MIN_SIDE = 512  # Grids whose longer side has fewer pixels are enlarged to about this number of pixels.
_BORDER_GRAY = 90


def image_grid(images: TensorLike, num_levels: int, columns: int | None = None) -> PIL.Image.Image:
    """Arranges images in a grid, row by row, with gray lines between the images.

    A grid whose sides are shorter than 512 pixels is enlarged by an integer factor.

    Args:
      images: integer array `[N, height, width, channels]` with one or three channels.
      num_levels: int, number of gray levels. The value 0 becomes black. The value `num_levels - 1` and greater values
        become white.
      columns: int, number of images per row. Default None: the grid has about as many rows as columns.

    Returns:
      A `PIL.Image.Image` with 8 bits per channel value, gray or RGB as `images`.

    Raises:
      ValueError: if `images` does not have 1 or 3 channels.
    """
    images = np.asarray(images)
    number, height, width, channels = images.shape
    if channels not in (1, 3):
        raise ValueError(f"Argument `images` must have 1 or 3 channels; received {channels} channels.")
    columns = columns or math.ceil(math.sqrt(number))
    rows = math.ceil(number / columns)
    # Each tile includes the line above it and the line to its left. The padding adds the last lines.
    tiles = np.full((rows * columns, height + 1, width + 1, channels), _BORDER_GRAY, np.uint8)
    # A table instead of a product of the images saves memory: the product would have 8 bytes per channel value.
    gray = np.round(np.arange(num_levels) * (255.0 / (num_levels - 1))).astype(np.uint8)
    tiles[:number, 1:, 1:] = gray[images.clip(0, num_levels - 1)]
    tiles = tiles.reshape(rows, columns, height + 1, width + 1, channels).swapaxes(1, 2)
    tiles = tiles.reshape(rows * (height + 1), columns * (width + 1), channels)
    tiles = np.pad(tiles, ((0, 1), (0, 1), (0, 0)), constant_values=_BORDER_GRAY)
    picture = PIL.Image.fromarray(tiles[..., 0] if channels == 1 else tiles)
    factor = max(1, _MIN_SIDE // max(picture.size))
    return picture.resize((picture.width * factor, picture.height * factor), PIL.Image.Resampling.NEAREST)


def save_events(events: TensorLike, num_levels: int | None, path: pathlib.Path | str,
                columns: int | None = None) -> None:
    """Writes a picture of events to a PNG file: images as a grid, vectors as a plot.

    The file is replaced atomically: it is never incomplete.

    Args:
      events: integer images `[N, height, width, channels]` with one or three channels, or float vectors `[N, size]`.
      num_levels: int, number of gray levels of the images. None for vectors.
      path: path of the file.
      columns: int, number of images per row. Default None: the grid has about as many rows as columns. It has no effect
        on vectors.

    Raises:
      ValueError: if images do not have 1 or 3 channels.
    """
    save_png(charts.vector_chart(events) if num_levels is None else image_grid(events, num_levels, columns), path)


def save_png(picture: Figure | PIL.Image.Image, path: pathlib.Path | str) -> None:
    """Writes a picture to a PNG file.

    The file is replaced atomically: it is never incomplete.

    Args:
      picture: a Matplotlib figure, which is written with 120 dots per inch, or a `PIL.Image.Image`.
      path: path of the file.
    """
    with replacing(path) as temporary:
        _write(picture, temporary)


def png_bytes(picture: Figure | PIL.Image.Image) -> bytes:
    """Returns the content of the PNG file of a picture.

    Args:
      picture: a Matplotlib figure, or a `PIL.Image.Image`, which is stored with the best compression.

    Returns:
      The bytes of the PNG file.
    """
    file = io.BytesIO()
    _write(picture, file, optimize=True)
    return file.getvalue()


def _write(picture: Figure | PIL.Image.Image, file: Any, optimize: bool = False) -> None:
    if isinstance(picture, Figure):
        picture.savefig(file, dpi=120, format="png")
    else:
        picture.save(file, format="png", optimize=optimize)
