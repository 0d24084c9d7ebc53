# SPDX-License-Identifier: Apache-2.0
"""Markdown tables, and their places in READMEs between markers."""

import argparse
import json
from collections.abc import Iterable, Sequence
from typing import Any


def table(head: Sequence[Any], rows: Iterable[Sequence[Any]]) -> str:
    """Returns a Markdown table."""
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in (head, ["---"] * len(head), *rows))


def show(value: Any) -> str:
    """Returns a float to three digits, a dash for None, and other values as text."""
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def put_between_markers(text: str, new: str, name: str) -> str:
    """Replaces what stands between the markers of a name.

    Raises:
      ValueError: if the text does not have both markers once, in their order.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"The README must have the lines {begin!r} and {end!r} once each, in this order.")
    return f"{text[:text.index(begin)]}{begin}\n{new}\n{text[text.index(end):]}"


def publish(args: argparse.Namespace, record: Any, text: str, name: str) -> None:
    """Writes results as JSON, and their table between the markers of a README.

    Benchmarks publish after each part, so that an interrupted one leaves a table of what it has.
    """
    readme = put_between_markers(args.readme.read_text(encoding="utf-8"), text, name)
    args.readme.write_text(readme, encoding="utf-8")
    args.results.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(text, flush=True)
