# SPDX-License-Identifier: Apache-2.0
"""The table of presets: its numbers are those of the benchmarks and the page of results, and each preset has a line."""

import json
import math
import re

import pytest
from paths import ROOT

from trainers import train
from trainers.presets import PRESETS, presets_table
from trainers.presets.table import MEASURED


def results(name):
    return json.loads((ROOT / "benchmarks" / "results" / name).read_text())["measured"]


def test_numbers_are_those_of_the_benchmarks():
    found = {}
    for system in results("systems.json").values():
        found[system["preset"]] = system["training_seconds"], system["test_bits_per_dim"]
    for run in results("plane.json"):
        if run["target"] == "two_moons":
            found[run["preset"]] = run["seconds"], run["nats"] / (2 * math.log(2))
    for card in (ROOT / "pretrained").glob("*/README.md"):
        if card.parent.name not in found:
            minutes, bits = re.search(r"\| time \| (\d+) minutes on two cores.*\*\*([\d.]+)\*\* \(", card.read_text(
                encoding="utf-8"), re.DOTALL).groups()
            found[card.parent.name] = 60 * float(minutes), float(bits)
    assert set(MEASURED) == set(found)
    for name, measured in MEASURED.items():
        seconds, bits = found[name]
        assert measured.minutes == pytest.approx(seconds / 60, abs=0.006)
        assert measured.bits_per_dim == pytest.approx(bits, abs=0.0006)


def test_the_command_prints_a_line_per_preset(capsys):
    assert train.main(["train", "--preset=toy_maf", "--list_presets=true"]) == 0
    capsys.readouterr()
    assert train.main(["train", "--list_presets"]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = [name for name in PRESETS if not name.endswith("_smoke")]
    assert [line.split()[0] for line in lines[1:len(names) + 1]] == names
    assert all(line.endswith("not run here") == (name not in MEASURED)
               for name, line in zip(names, lines[1:], strict=False))
    assert max(map(len, lines)) <= 120 and "\n".join(lines) == presets_table(PRESETS)


def test_help_is_short(capsys):
    assert train.main(["train", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "--[no]list_presets" in shown and "realnvp_lsun" not in shown
