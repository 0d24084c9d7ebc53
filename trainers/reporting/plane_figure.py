# SPDX-License-Identifier: Apache-2.0
"""The picture of a flow in the plane: data, samples, density, and what becomes of a grid in latent space."""

from typing import NamedTuple

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

DATA_COLOR, SAMPLES_COLOR = "tab:red", "tab:blue"


class View(NamedTuple):
    """A square in the plane: its center and half its side."""

    center: np.ndarray
    reach: float

    @property
    def extent(self):
        """Left, right, bottom and top, as Matplotlib's."""
        x, y = self.center
        return x - self.reach, x + self.reach, y - self.reach, y + self.reach


def view_of(data):
    """The `View` around all but the farthest of the points `[N, 2]`."""
    low, high = np.quantile(data, [0.001, 0.999], axis=0)
    return View((low + high) / 2, 0.6 * float(np.max(high - low)))


def figure(model, data, num=4000, seed=0, title=""):
    """Draws what a flow in the plane has learned, as in figure 1 of the RealNVP paper.

    Args:
      model: a `FlowModel` over vectors of two numbers.
      data: points `[N, 2]` that it should resemble; up to `num` are drawn, and they set the view.
      num: how many samples to draw.
      seed: of the samples.
      title: above the picture.

    Returns:
      A Matplotlib figure of four panels: data, samples, learned density, and the image in data space of a square grid
      in latent space that spans three standard deviations each way.
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


def draw_points(panel, points, color):
    """Draws points `[N, 2]` on Matplotlib axes; those that overflowed are left out."""
    points = points[(np.abs(points) < 1e30).all(axis=1)]
    panel.scatter(points[:, 0], points[:, 1], s=1, alpha=0.5, color=color, linewidths=0)


def draw_density(panel, model, view, num_ticks=200):
    """Draws a model's density on Matplotlib axes, evaluated at `num_ticks` places each way of a `View`."""
    ticks = np.linspace(-view.reach, view.reach, num_ticks)
    points = np.stack(np.meshgrid(view.center[0] + ticks, view.center[1] + ticks), axis=-1).astype(np.float32)
    panel.imshow(np.exp(model.log_prob(points).numpy()), origin="lower", extent=view.extent, cmap="viridis")


def draw_grid(panel, model):
    """Draws the image in data space of a square grid in latent space, of three deviations each way."""
    lines = model.decode(latent_grid(half_side=3.0, num_lines=25, num_points=200)).numpy()
    panel.add_collection(LineCollection(lines, linewidths=0.5, colors="black"))


def latent_grid(half_side, num_lines, num_points):
    """The lines of a square grid around the origin: float32 `[2 * num_lines, num_points, 2]`, the horizontal first."""
    place, along = np.linspace(-half_side, half_side, num_lines), np.linspace(-half_side, half_side, num_points)
    along, place = np.meshgrid(along, place)
    horizontal = np.stack([along, place], axis=-1)
    return np.concatenate([horizontal, horizontal[..., ::-1]]).astype(np.float32)
