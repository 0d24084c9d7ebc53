# SPDX-License-Identifier: Apache-2.0
"""`figure`: draws a flow over vectors of two elements as data, samples, density and warped latent grid."""

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

import tfp_glow

from .charts import drop_overflow

DATA_COLOR, SAMPLES_COLOR = "tab:red", "tab:blue"


class View(NamedTuple):
    """A square with sides parallel to the axes: the part of the plane that a panel shows.

    Attributes:
      center: float array `[2]`, center of the square.
      reach: float, half of the side of the square.
    """

    center: np.ndarray
    reach: float

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """The coordinates `(left, right, bottom, top)` of the sides, as Matplotlib's argument `extent`."""
        x, y = self.center
        return x - self.reach, x + self.reach, y - self.reach, y + self.reach


def view_of(data: np.ndarray) -> View:
    """Returns a square that contains almost all of some points, with a margin.

    Args:
      data: float array `[N, 2]` of points. The outermost 0.1% of the values on each side of each axis are ignored.

    Returns:
      A `View`.
    """
    low, high = np.quantile(data, [0.001, 0.999], axis=0)
    return View((low + high) / 2, 0.6 * float(np.max(high - low)))


def figure(model: tfp_glow.FlowModel, data: np.ndarray, num: int = 4000, seed: int = 0, title: str = "") -> Figure:
    """Draws a flow over vectors of two elements, as in figure 1 of the RealNVP paper.

    Args:
      model: a `tfp_glow.FlowModel` whose event shape is (2,).
      data: float array `[N, 2]`, vectors of the data set. They determine the range of the axes.
      num: int, number of samples, and the greatest number of vectors of `data` that are drawn. Default 4000.
      seed: int, random seed of the samples. Default 0.
      title: str, title of the figure. Default: no title.

    Returns:
      A Matplotlib figure of four panels: the data, samples of the model, the density of the model, and the curves to
      which the model maps the lines of a square grid in latent space. The grid extends from -3 to 3 on both axes.

    References:
      Dinh, Sohl-Dickstein and Bengio, *Density estimation using Real NVP*, 2017.
    """
    picture = Figure(figsize=(14, 4.2), layout="constrained")
    panels = picture.subplots(1, 4, sharex=True, sharey=True)
    view = view_of(data)
    draw_points(panels[0], data[:num], DATA_COLOR)
    draw_points(panels[1], model.sample(num, seed=seed).numpy(), SAMPLES_COLOR)
    draw_density(panels[2], model, view)
    draw_grid(panels[3], model)
    for panel, name in zip(panels, ("data", "samples", "learned density", "latent grid, warped"), strict=True):
        panel.set(xlim=view.extent[:2], ylim=view.extent[2:], aspect="equal", title=name)
    picture.suptitle(title)
    return picture


def draw_points(panel: Axes, points: np.ndarray, color: str) -> None:
    """Draws vectors of two elements as points.

    Args:
      panel: the Matplotlib axes.
      points: float array `[N, 2]`. Points with a coordinate that is not finite or has an absolute value of at least
        1e30 are not drawn.
      color: str, a Matplotlib color.
    """
    points = drop_overflow(points)
    panel.scatter(points[:, 0], points[:, 1], s=1, alpha=0.5, color=color, linewidths=0)


def draw_density(panel: Axes, model: tfp_glow.FlowModel, view: View, num_ticks: int = 200) -> None:
    """Draws the density of a model over vectors of two elements as an image.

    Args:
      panel: the Matplotlib axes.
      model: a `tfp_glow.FlowModel` whose event shape is (2,).
      view: the square in which the density is drawn.
      num_ticks: int, number of grid points per axis at which the density is evaluated. Default 200.
    """
    ticks = np.linspace(-view.reach, view.reach, num_ticks)
    points = np.stack(np.meshgrid(view.center[0] + ticks, view.center[1] + ticks), axis=-1).astype(np.float32)
    panel.imshow(np.exp(model.log_prob(points).numpy()), origin="lower", extent=view.extent, cmap="viridis")


def draw_grid(panel: Axes, model: tfp_glow.FlowModel) -> None:
    """Draws the curves to which a model maps the lines of a square grid in latent space.

    The grid extends from -3 to 3 on both axes and has 25 lines per direction.

    Args:
      panel: the Matplotlib axes.
      model: a `tfp_glow.FlowModel` whose event shape is (2,).
    """
    lines = model.decode(latent_grid(half_side=3.0, num_lines=25, num_points=200)).numpy()
    panel.add_collection(LineCollection(lines, linewidths=0.5, colors="black"))


def latent_grid(half_side: float, num_lines: int, num_points: int) -> np.ndarray:
    """Returns points on the lines of a square grid around the origin.

    Args:
      half_side: float, half of the side of the grid.
      num_lines: int, number of horizontal lines, and number of vertical lines.
      num_points: int, number of evenly spaced points per line.

    Returns:
      A float32 array `[2 * num_lines, num_points, 2]` of points. The horizontal lines come first.
    """
    offsets, ticks = np.linspace(-half_side, half_side, num_lines), np.linspace(-half_side, half_side, num_points)
    x, y = np.meshgrid(ticks, offsets)
    horizontal = np.stack([x, y], axis=-1)
    return np.concatenate([horizontal, horizontal[..., ::-1]]).astype(np.float32)
