# SPDX-License-Identifier: Apache-2.0
"""Flows in the plane side by side: a row a target, and for each flow samples and density."""

import io

import PIL.Image
from matplotlib.figure import Figure

from trainers import data
from trainers.reporting import plane_figure


def figure(models, num=3000, seed=0):
    """Draws what several flows have learned of several densities.

    Args:
      models: `{target: {name of a flow: FlowModel}}`, every target with the same names.
      num: how many points and samples.
      seed: of the samples.

    Returns:
      A Matplotlib figure. A row has the data, samples and density of each flow, and the latent grid that the first of
      them warps.
    """
    names = list(next(iter(models.values())))
    titles = ["data", *(f"{name}, {what}" for name in names for what in ("samples", "density")),
              f"{names[0]}, latent grid"]
    picture = Figure(figsize=(1.6 * len(titles), 1.6 * len(models) + 0.3), layout="constrained")
    rows = picture.subplots(len(models), len(titles), squeeze=False)
    for (target, flows), panels in zip(models.items(), rows, strict=True):
        test = data.load(f"toy:{target}").arrays["test"]
        view = plane_figure.view_of(test)
        plane_figure.draw_points(panels[0], test[:num], plane_figure.DATA_COLOR)
        for index, model in enumerate(flows.values()):
            plane_figure.draw_points(panels[1 + 2 * index], model.sample(num, seed=seed).numpy(), plane_figure.SAMPLES_COLOR)
            plane_figure.draw_density(panels[2 + 2 * index], model, view)
        plane_figure.draw_grid(panels[-1], next(iter(flows.values())))
        panels[0].set_ylabel(target.replace("_", " "))
        for panel in panels:
            panel.set(xlim=view.extent[:2], ylim=view.extent[2:], aspect="equal", xticks=[], yticks=[])
    for panel, title in zip(rows[0], titles, strict=True):
        panel.set_title(title, fontsize="medium")
    return picture


def of_few_colors(figure, number=128):
    """A Matplotlib figure as a picture with a palette, a third of the size as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110, format="png")
    return PIL.Image.open(buffer).convert("RGB").quantize(number)
