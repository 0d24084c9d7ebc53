# SPDX-License-Identifier: Apache-2.0
"""Medians and ratios of the speed measurements, and their tables."""

import statistics
from collections import Counter
from collections.abc import Mapping
from typing import Any

from benchmarks.harness import describe
from benchmarks.report import show, table

MAIN_DEPTH = 8
FIGURES = {
    "params_m": "parameters, M", "first_step_s": "first step, s", "train_step_s": "training step, s",
    "log_prob_s": "log_prob, s", "sample_s": "sampling, s", "round_trip_max_abs": "round trip, max abs",
    "peak_rss_gb": "peak memory, GB", "net_gb": "less parameters and slots, GB",
}
RATIOS = ("train_step_s", "log_prob_s", "sample_s")


def by_round(record: Mapping[str, Any], figure: str, program: str, depth: int, width: int) -> dict[int, float]:
    """Returns a figure of each round that has it."""
    case = {"program": program, "depth": depth, "width": width}
    return {m["round"]: m["figures"][figure] for m in record["measurements"]
            if case.items() <= m.items() and figure in m["figures"]}


def median(values: Mapping[int, float]) -> float | None:
    """Returns the median over the rounds, or None if there are none."""
    return statistics.median(values.values()) if values else None


def num_rounds(record: Mapping[str, Any]) -> int:
    """Returns the greatest number of rounds of any program, depth and width."""
    return max(Counter((m["program"], m["depth"], m["width"]) for m in record["measurements"]).values(), default=0)


def ratio(above: Mapping[int, float], below: Mapping[int, float]) -> str:
    """Returns the ratio of two medians, with that of each round in brackets if there are several."""
    if not above or not below:
        return "-"
    rounds = ", ".join(f"{above[number] / below[number]:.2f}" for number in above if number in below)
    value = statistics.median(above.values()) / statistics.median(below.values())
    return f"{value:.2f}{f' ({rounds})' if ',' in rounds else ''}"


def markdown(record: Mapping[str, Any]) -> str:
    """Returns the setting, and for each width a table of medians and one of ratios to the peers."""
    def by(key: str) -> list:
        return list(dict.fromkeys(m[key] for m in record["measurements"]))

    programs = sorted(by("program"), key=lambda name: (not name.startswith("ours"), "in parts" in name))
    peers = [name for name in programs if not name.startswith("ours")]
    sections = [f"{describe(record['machine'], record['versions'])} Batch {record['batch']}, 32x32x3 images, 3 levels. "
                f"Medians over {num_rounds(record)} rounds; in brackets the ratio of each round."]
    for width in sorted(by("width")):
        depths = sorted({m["depth"] for m in record["measurements"] if m["width"] == width})
        main = MAIN_DEPTH if MAIN_DEPTH in depths else depths[0]

        def cell(figure: str, name: str, depths=depths, width=width) -> str:
            values = [median(by_round(record, figure, name, depth, width)) for depth in depths]
            return " / ".join(map(show, values)) if any(value is not None for value in values) else "-"

        ratios = [(FIGURES[figure].removesuffix(", s"), name, *(
            ratio(by_round(record, figure, peer, main, width), by_round(record, figure, name, main, width))
            for peer in peers)) for figure in RATIOS for name in programs if name not in peers]
        figures = [(name, *(cell(figure, name) for figure in FIGURES)) for name in programs]
        sections += [f"### Width {width}, K = {' / '.join(map(str, depths))}",
                     table(("", *FIGURES.values()), [row for row in figures if set(row[1:]) != {"-"}]),
                     table((f"times faster, K = {main}", "", *(f"than {peer}" for peer in peers)),
                           [row for row in ratios if set(row[2:]) != {"-"}])]
    return "\n\n".join(sections)
