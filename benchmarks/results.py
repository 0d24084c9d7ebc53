# SPDX-License-Identifier: Apache-2.0
"""Measurements, and the medians and ratios made of them."""

import statistics
from typing import NamedTuple


class Ratio(NamedTuple):
    """A ratio of medians, and the ratios of the single rounds that have both sides."""

    value: float
    rounds: tuple

    def __str__(self):
        rounds = f" ({', '.join(f'{r:.2f}' for r in self.rounds)})" if len(self.rounds) > 1 else ""
        return f"{self.value:.2f}{rounds}"


class Results:
    """Measurements by what they are of.

    Args:
      measurements: dicts with `program`, `task`, `depth`, `width`, `round` and `figures`, a dict of what was printed.
    """

    def __init__(self, measurements):
        self.measurements = measurements

    def by_round(self, figure, program, depth, width, task="speed"):
        """A figure's value in each round, as a dict; empty if there is none."""
        wanted = {"program": program, "depth": depth, "width": width, "task": task}
        return {m["round"]: m["figures"][figure] for m in self.measurements
                if wanted.items() <= m.items() and figure in m["figures"]}

    def median(self, *args, **kwargs):
        """A figure's median over the rounds, or None; the arguments of `by_round`."""
        return median_of(self.by_round(*args, **kwargs))

    def widths(self):
        """All widths measured, ascending."""
        return sorted({m["width"] for m in self.measurements})

    def depths(self, width):
        """All depths measured at a width, ascending."""
        return sorted({m["depth"] for m in self.measurements if m["width"] == width})


def median_of(by_round):
    """The median of a dict's values, or None."""
    return statistics.median(by_round.values()) if by_round else None


def ratio_of(above, below):
    """The ratio of two figures by round, or None if one of them was not measured."""
    if not above or not below:
        return None
    return Ratio(median_of(above) / median_of(below), tuple(above[r] / below[r] for r in above if r in below))


def net_of(results, program, depth, width, less=("state_gb",)):
    """Peak memory by round, in GB, less parameters and optimizer slots (and whatever else is named)."""
    peak = results.by_round("peak_rss_gb", program, depth, width, "memory")
    parts = [results.by_round(name, program, depth, width, "memory") for name in less]
    return {r: value - sum(part[r] for part in parts) for r, value in peak.items()}


def fraction_of(results, program, depth, width, dtype="float32"):
    """The share of the measured convolution rate that a training step reaches, by round."""
    step = results.by_round("train_step_s", program, depth, width)
    work = results.by_round("ideal_step_gflop", "rates", depth, width)
    rate = results.by_round(f"conv_{dtype}_training", "rates", depth, width)
    return {r: work[r] / step[r] / rate[r] for r in step if r in rate}
