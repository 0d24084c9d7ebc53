# SPDX-License-Identifier: Apache-2.0
"""The figure of a flow over vectors of two numbers: data, samples, density, and the warped latent grid."""

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

import tfp_glow
from trainers.reporting.charts import drop_overflow

DATA_COLOR, SAMPLES_COLOR = "tab:red", "tab:blue"


class View(NamedTuple):
    """A square in the plane.

    Attributes:
      center: its center, an array `[2]`.
      reach: half of its side.
    """

    center: np.ndarray
    reach: float

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """The `extent` argument of Matplotlib: left, right, bottom and top."""
        x, y = self.center
        return x - self.reach, x + self.reach, y - self.reach, y + self.reach


def view_of(data: np.ndarray) -> View:
    """Returns the view around the points `[N, 2]`, without the outermost 0.1% on each side."""
    low, high = np.quantile(data, [0.001, 0.999], axis=0)
    return View((low + high) / 2, 0.6 * float(np.max(high - low)))


def figure(model: tfp_glow.FlowModel, data: np.ndarray, num: int = 4000, seed: int = 0, title: str = "") -> Figure:
    """Draws a flow over vectors of two numbers, as in figure 1 of the RealNVP paper.

    Args:
      model: a model over vectors of two numbers.
      data: points `[N, 2]` of the data, which set the view. The figure shows the first `num` of them.
      num: number of samples.
      seed: random seed of the samples.
      title: title of the figure.

    Returns:
      A figure of four panels: data, samples, learned density, and the image in data space of a square grid in latent
      space. The grid spans three standard deviations to each side.

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
    """Draws points `[N, 2]`, except points that overflowed."""
    points = drop_overflow(points)
    panel.scatter(points[:, 0], points[:, 1], s=1, alpha=0.5, color=color, linewidths=0)


def draw_density(panel: Axes, model: tfp_glow.FlowModel, view: View, num_ticks: int = 200) -> None:
    """Draws the density of a model inside a view, evaluated at `num_ticks` places per axis."""
    ticks = np.linspace(-view.reach, view.reach, num_ticks)
    points = np.stack(np.meshgrid(view.center[0] + ticks, view.center[1] + ticks), axis=-1).astype(np.float32)
    panel.imshow(np.exp(model.log_prob(points).numpy()), origin="lower", extent=view.extent, cmap="viridis")


def draw_grid(panel: Axes, model: tfp_glow.FlowModel) -> None:
    """Draws the image in data space of a square grid in latent space, from -3 to 3 on both axes."""
    lines = model.decode(latent_grid(half_side=3.0, num_lines=25, num_points=200)).numpy()
    panel.add_collection(LineCollection(lines, linewidths=0.5, colors="black"))


def latent_grid(half_side: float, num_lines: int, num_points: int) -> np.ndarray:
    """Returns the lines of a square grid around the origin.

    Args:
      half_side: half of the grid's side.
      num_lines: number of lines per direction.
      num_points: number of points per line.

    Returns:
      A float32 array `[2 * num_lines, num_points, 2]`. Horizontal lines come first.
    """
    offsets, ticks = np.linspace(-half_side, half_side, num_lines), np.linspace(-half_side, half_side, num_points)
    x, y = np.meshgrid(ticks, offsets)
    horizontal = np.stack([x, y], axis=-1)
    return np.concatenate([horizontal, horizontal[..., ::-1]]).astype(np.float32)
