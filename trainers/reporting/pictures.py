# SPDX-License-Identifier: Apache-2.0
"""Pictures of a run: grids of images, clouds of points, and how they become files."""

import io
import math

import numpy as np
import PIL.Image
from matplotlib.figure import Figure

from trainers.runs.atomic_files import replacing

_SIDE = 512  # pixels; smaller grids are enlarged to about this
_LINE = 90  # grey between images


def save_events(events, num_levels, path, columns=None):
    """Draws events as a PNG: images as a `grid` of `columns`, vectors (`num_levels` is None) as a `scatter`."""
    if num_levels is None:
        scatter(events, path)
    else:
        save_png(grid(events, num_levels, columns), path)


def grid(images, num_levels, columns=None):
    """Tiles images row by row, enlarged by a whole factor so that small ones can be seen.

    Args:
      images: integers `[N, H, W, C]` with one or three channels; values from `num_levels` on count as white.
      num_levels: grey levels; 0 becomes black and `num_levels - 1` white.
      columns: how many images a row has; None for about a square.

    Returns:
      A `PIL.Image.Image`.

    Raises:
      ValueError: if images have another number of channels.
    """
    images = np.asarray(images)
    number, height, width, channels = images.shape
    if channels not in (1, 3):
        raise ValueError(f"pictures: images must have 1 or 3 channels; got {channels}")
    columns = columns or math.ceil(math.sqrt(number))
    rows = math.ceil(number / columns)
    # A line of one pixel above and left of each tile, and what is then missing below and right.
    tiles = np.full((rows * columns, height + 1, width + 1, channels), _LINE, np.uint8)
    tiles[:number, 1:, 1:] = np.round(images.clip(0, num_levels - 1) * (255.0 / (num_levels - 1)))
    tiles = tiles.reshape(rows, columns, height + 1, width + 1, channels).swapaxes(1, 2)
    tiles = tiles.reshape(rows * (height + 1), columns * (width + 1), channels)
    tiles = np.pad(tiles, ((0, 1), (0, 1), (0, 0)), constant_values=_LINE)
    picture = PIL.Image.fromarray(tiles[..., 0] if channels == 1 else tiles)
    factor = max(1, _SIDE // max(picture.size))
    return picture.resize((picture.width * factor, picture.height * factor), PIL.Image.Resampling.NEAREST)


def scatter(vectors, path):
    """Draws the first two numbers of vectors as points, or a histogram where there is only one, as a PNG.

    Args:
      vectors: floats `[N, size]`.
      path: the file to write.
    """
    vectors = np.asarray(vectors)
    vectors = vectors[(np.abs(vectors) < 1e30).all(axis=1)]  # Young flows may overflow; Matplotlib cannot draw that.
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    if vectors.shape[1] == 1:
        axes.hist(vectors[:, 0], bins=80)
    else:
        axes.scatter(vectors[:, 0], vectors[:, 1], s=2)
    save_figure(figure, path)


def save_figure(figure, path):
    """Writes a Matplotlib figure as PNG, whole or not at all."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")


def save_png(picture, path):
    """Writes a picture as PNG, whole or not at all."""
    with replacing(path) as temporary:
        picture.save(temporary, format="png")


def png(picture):
    """The bytes of a PNG file of a Matplotlib figure or a `PIL.Image.Image`."""
    file = io.BytesIO()
    if isinstance(picture, Figure):
        picture.savefig(file, dpi=120, format="png")
    else:
        picture.save(file, format="png", optimize=True)
    return file.getvalue()
