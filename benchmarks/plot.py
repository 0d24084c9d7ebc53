# SPDX-License-Identifier: Apache-2.0
"""First step, training step and peak memory against depth, as a picture."""

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt

from benchmarks.plan import PEERS, WHOLE

PANELS = (
    ("first step, s", "first_step_s", "speed", "log"),
    ("training step, s", "train_step_s", "speed", "log"),
    ("peak memory in training, GB", "peak_rss_gb", "memory", "linear"),
)


def save_plot(results, path):
    """Draws a line a program and width, over K, and saves a PNG."""
    figure, axes = plt.subplots(1, len(PANELS), figsize=(13, 4.2), layout="constrained")
    widths = results.widths()
    for axis, (title, name, task, scale) in zip(axes, PANELS, strict=True):
        for width, line in zip(widths, ("-", "--", ":", "-."), strict=False):
            for index, program in enumerate((*WHOLE, *PEERS)):
                points = [(k, v) for k in results.depths(width)
                          if (v := results.median(name, program, k, width, task)) is not None]
                if points:
                    axis.plot(*zip(*points, strict=True), line, color=f"C{index}", label=f"{program}, width {width}",
                              marker="o" if program in WHOLE else "s", markersize=4)
        depths = sorted({k for width in widths for k in results.depths(width)})
        axis.set_xscale("log", base=2)
        axis.set_xticks(depths, labels=depths)
        axis.set_yscale(scale)
        if scale == "linear":
            axis.set_ylim(bottom=0)
        axis.set(title=title, xlabel="K, steps of flow a level")
        axis.grid(alpha=0.3)
    figure.legend(*axes[1].get_legend_handles_labels(), loc="outside right upper", fontsize="small")
    figure.savefig(path, dpi=110)
    plt.close(figure)
