# SPDX-License-Identifier: Apache-2.0
"""Medians and ratios of the speed measurements of flows over vectors, and their tables."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.harness import describe
from benchmarks.report import table


class Kind(NamedTuple):
    """A kind of flow: its title, the number of its layers and the hidden layers of each network."""

    title: str
    num_layers: int
    hidden_sizes: tuple[int, ...]


KINDS = {
    "realnvp": Kind("affine couplings", 10, (128, 128)),
    "maf": Kind("affine autoregressive layers", 5, (128, 128)),
    "nsf_coupling": Kind("spline couplings, 8 bins", 10, (128, 128, 128)),
    "nsf_autoregressive": Kind("spline autoregressive layers, 8 bins", 5, (128, 128, 128)),
}
FIGURES = {"first_step_s": ("first step, s", 1.0), "train_step_s": ("training step, ms", 1e3),
           "log_prob_s": ("log_prob, ms", 1e3), "sample_s": ("sampling, ms", 1e3),
           "params_m": ("parameters, thousands", 1e3)}
COMPARED = ("first_step_s", "train_step_s", "log_prob_s", "sample_s")


def median(record: Mapping[str, Any], figure: str, program: str, kind: str, size: int) -> float | None:
    """Returns the median of a figure over the rounds, or None if no round has it."""
    case = {"program": program, "kind": kind, "size": size}
    values = [m["figures"][figure] for m in record["measurements"]
              if case.items() <= m.items() and figure in m["figures"]]
    return statistics.median(values) if values else None


def joined(values: Sequence[float | None]) -> str:
    """Returns three digits of each value, separated by slashes; a dash stands for a missing value."""
    if not any(value is not None for value in values):
        return "-"
    return " / ".join("-" if value is None else f"{value:.3g}" for value in values)


def ratios(above: Sequence[float | None], below: Sequence[float | None]) -> str:
    """Returns the ratios of two lists of values as `joined` does."""
    return joined([a / b if a is not None and b is not None else None for a, b in zip(above, below, strict=True)])


def markdown(record: Mapping[str, Any]) -> str:
    """Returns the setting, and for each kind of flow a table of medians and one of ratios to the peers."""
    def of_measurements(key: str, **case: Any) -> list:
        return list(dict.fromkeys(m[key] for m in record["measurements"] if case.items() <= m.items()))

    sections = [f"{describe(record['machine'], record['versions'])} Batch {record['batch']}; medians over "
                f"{record['rounds']} rounds."]
    for kind in of_measurements("kind"):
        sizes, programs = sorted(of_measurements("size", kind=kind)), of_measurements("program", kind=kind)
        title, num_layers, hidden_sizes = KINDS[kind]

        def values(figure: str, program: str, kind=kind, sizes=sizes) -> list[float | None]:
            return [median(record, figure, program, kind, size) for size in sizes]

        rows = [(name, *(joined([value and value * unit for value in values(figure, name)])
                         for figure, (_, unit) in FIGURES.items())) for name in programs]
        peers = [name for name in programs if not name.startswith("ours")]
        faster = [(peer, *(ratios(values(figure, peer), values(figure, name)) for figure in COMPARED
                           for name in programs if name not in peers)) for peer in peers]
        head = [f"{FIGURES[figure][0].split(',')[0]}: {name}" for figure in COMPARED
                for name in programs if name not in peers]
        sections += [f"### {num_layers} {title}, hidden layers {', '.join(map(str, hidden_sizes))}; "
                     f"D = {' / '.join(map(str, sizes))}",
                     table(("", *(title for title, _ in FIGURES.values())), rows),
                     table(("times faster than", *head), [row for row in faster if set(row[1:]) != {"-"}])]
    return "\n\n".join(sections)
