# SPDX-License-Identifier: Apache-2.0
"""RealNVP, MAF and NSF on known densities in the plane: `python -m benchmarks.plane`.

Trains the presets on each target, or resumes their runs, measures on the test points how far the learned density is
from the true one, and puts the table into docs/results.md and draws the figure.
"""

import io
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import PIL.Image
from matplotlib.figure import Figure

from benchmarks import harness
from benchmarks.report import publish, table
from benchmarks.trained_runs import finished_run
from trainers import data
from trainers.data.plane_densities import DENSITIES
from trainers.reporting import plane_figure, png_files

KNOWN = [name for name, density in DENSITIES.items() if density.log_density]
PRESETS = {"toy_realnvp": "RealNVP", "toy_maf": "MAF", "toy_nsf": "NSF"}
NUM_DRAWN = 3000


def distance(model: Any, target: str) -> dict[str, float]:
    """Measures how far a model's density is from a target's, in nats, on the test points of the target.

    Returns:
      A dict: `nats`, the mean of `-log q(x)`; `gap`, that minus the true entropy; `kl`, the mean of
      `log p(x) - log q(x)`, which has the expectation of `gap` and a much smaller error; and both standard errors.
    """
    source = data.load(f"toy:{target}")
    points = source.arrays["test"]
    learned = model.log_prob(points).numpy().astype(np.float64)
    true = DENSITIES[target].log_density(points.astype(np.float64))
    root = np.sqrt(len(points))
    return {"nats": float(-learned.mean()), "entropy": source.true_entropy, "num_examples": len(points),
            "gap": float(-learned.mean() - source.true_entropy), "gap_error": float(learned.std() / root),
            "kl": float(np.mean(true - learned)), "kl_error": float(np.std(true - learned) / root)}


def figure_of(models: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Returns a figure with a row per target: data, samples and density of each flow, and the last one's latent grid.

    Args:
      models: `{target: {name of a flow: FlowModel}}`; all targets have the same flows.
    """
    names = list(next(iter(models.values())))
    titles = ["data", *(f"{name}, {kind}" for name in names for kind in ("samples", "density")),
              f"{names[-1]}, latent grid"]
    figure = Figure(figsize=(1.6 * len(titles), 1.6 * len(models) + 0.3), layout="constrained")
    rows = figure.subplots(len(models), len(titles), squeeze=False)
    for (target, flows), panels in zip(models.items(), rows, strict=True):
        points = data.load(f"toy:{target}").arrays["test"]
        view = plane_figure.view_of(points)
        plane_figure.draw_points(panels[0], points[:NUM_DRAWN], plane_figure.DATA_COLOR)
        for index, model in enumerate(flows.values()):
            samples = model.sample(NUM_DRAWN, seed=0).numpy()
            plane_figure.draw_points(panels[1 + 2 * index], samples, plane_figure.SAMPLES_COLOR)
            plane_figure.draw_density(panels[2 + 2 * index], model, view)
        plane_figure.draw_grid(panels[-1], list(flows.values())[-1])
        panels[0].set_ylabel(target.replace("_", " "))
        for panel in panels:
            panel.set(xlim=view.extent[:2], ylim=view.extent[2:], aspect="equal", xticks=[], yticks=[])
    for panel, title in zip(rows[0], titles, strict=True):
        panel.set_title(title, fontsize="medium")
    return figure


def markdown(record: Mapping[str, Any]) -> str:
    """Returns the table: a row per target, with the figures of each preset."""
    by_pair = {(row["target"], row["preset"]): row for row in record["measured"]}
    presets = list(dict.fromkeys(preset for _, preset in by_pair))
    head, rows = ["target", "true entropy, nats"], []
    for preset in presets:
        head += [f"{PRESETS.get(preset, preset)}: KL", "training, s"]
    for target in dict.fromkeys(target for target, _ in by_pair):
        cells = [f"`toy:{target}`", f"{by_pair[target, presets[0]]['entropy']:.4f}"]
        for row in (by_pair[target, preset] for preset in presets):
            kl = f"{row['kl']:.4f} ± {row['kl_error']:.4f}"
            cells += [f"**{kl}**" if row["kl"] <= 0.02 else kl, f"{row['seconds']:.0f}"]
        rows.append(cells)
    number = record["measured"][0]["num_examples"]
    return f"{table(head, rows)}\n\nOn {number:,} test points; bold: at most 0.02 nats. {record['setting']}"


def main(argv: Sequence[str] | None = None) -> None:
    parser = harness.parser_of(__doc__, "plane.json", "docs/results.md")
    parser.add_argument("--targets", nargs="+", choices=KNOWN, default=KNOWN, help="targets to learn")
    parser.add_argument("--presets", nargs="+", default=list(PRESETS), help="presets to train")
    parser.add_argument("--figure", default=harness.ROOT / "docs" / "plane.png", help="PNG file to write")
    args, measured = parser.parse_args(argv), []
    models: dict[str, dict[str, Any]] = {}
    for target in args.targets:
        for preset in args.presets:
            _, model, seconds = finished_run(args, preset, f"toy:{target}", f"plane/{target}_{preset}")
            measured.append({"target": target, "preset": preset, **distance(model, target), "seconds": seconds})
            models.setdefault(target, {})[PRESETS.get(preset, preset)] = model
        record = {"setting": harness.describe(harness.machine(), harness.versions()), "measured": measured}
        publish(args, record, markdown(record), "plane")
        with PIL.Image.open(io.BytesIO(png_files.png_bytes(figure_of(models)))) as picture:
            png_files.save_png(picture.convert("RGB").quantize(128), args.figure)  # A third of the bytes.


if __name__ == "__main__":
    main()
