# SPDX-License-Identifier: Apache-2.0
"""The picture of a flow in the plane: data, samples, density, and what becomes of a grid in latent space."""

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

_DATA, _SAMPLES = "tab:red", "tab:blue"


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
    center, reach = _view(data)
    _cloud(panels[0], data[:num], _DATA, "data")
    _cloud(panels[1], model.sample(num, seed=seed).numpy(), _SAMPLES, "samples")

    ticks = np.linspace(-reach, reach, 200)
    points = np.stack(np.meshgrid(center[0] + ticks, center[1] + ticks), axis=-1).astype(np.float32)
    extent = (center[0] - reach, center[0] + reach, center[1] - reach, center[1] + reach)
    panels[2].imshow(np.exp(model.log_prob(points).numpy()), origin="lower", extent=extent, cmap="viridis")
    panels[2].set_title("learned density")

    latents = latent_grid(half_side=3.0, num_lines=25, num_points=200)
    panels[3].add_collection(LineCollection(model.decode(latents).numpy(), linewidths=0.5, colors="black"))
    panels[3].set_title("latent grid, warped")
    for panel in panels:
        panel.set(xlim=extent[:2], ylim=extent[2:], aspect="equal")
    picture.suptitle(title)
    return picture


def latent_grid(half_side, num_lines, num_points):
    """The lines of a square grid around the origin: float32 `[2 * num_lines, num_points, 2]`, the horizontal first."""
    place, along = np.linspace(-half_side, half_side, num_lines), np.linspace(-half_side, half_side, num_points)
    along, place = np.meshgrid(along, place)
    horizontal = np.stack([along, place], axis=-1)
    return np.concatenate([horizontal, horizontal[..., ::-1]]).astype(np.float32)


def _view(data):
    """Center and half the side of a square around all but the farthest of the points."""
    low, high = np.quantile(data, [0.001, 0.999], axis=0)
    return (low + high) / 2, 0.6 * float(np.max(high - low))


def _cloud(panel, points, color, title):
    points = points[np.isfinite(points).all(axis=1)]
    panel.scatter(points[:, 0], points[:, 1], s=1, alpha=0.5, color=color, linewidths=0)
    panel.set_title(title)
