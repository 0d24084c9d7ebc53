# SPDX-License-Identifier: Apache-2.0
"""The search for flows of images: its trials, its table, and what it does not train again."""

import json

import numpy as np
import pytest

from benchmarks import budget, flow_search
from benchmarks.programs import our_flow
from tfp_glow.flows import config_from_dict

SHAPES = {"fashion_mnist": (28, 28, 1), "cifar10": (32, 32, 3)}


@pytest.mark.parametrize("chosen", flow_search.TRIALS)
def test_trials_are_presets_with_different_changes(chosen):
    _, trials = flow_search.TRIALS[chosen]
    assert len({flow_search.described(*trial) for trial in trials}) == len(trials)
    for start, change in trials:
        preset = our_flow.check(flow_search.preset_of(start, change))
        config = config_from_dict({**preset.flow, "image_shape": SHAPES[chosen]}).arguments
        for name, value in change.items():
            assert value in (config.get(name), getattr(preset, name, None))


@pytest.mark.parametrize("name", ["fashion_mnist_flow_search", "fashion_mnist_glow_search",
                                  "fashion_mnist_realnvp_search", "cifar10_flow_search"])
def test_the_page_has_the_tables_of_the_records(name):
    record = json.loads((budget.harness.ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))
    page = (budget.harness.ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    assert f"<!-- {name}: begin -->\n{flow_search.markdown(record)}\n<!-- {name}: end -->" in page


def test_a_search_trains_each_trial_once_and_sorts_by_validation(tmp_path, monkeypatch):
    started = []

    def run(args, name, settings, images, result, prefix=()):
        started.append(settings["system"]["preset"]["flow"]["width"])
        assert settings["minutes"] == 3.0 and prefix[:2] == ("taskset", "-c") and not settings["system"]["divide"]
        result.write_text(json.dumps({
            "validation": started[-1] / 10, "curve": [{"train": 7.0}], "images_per_second": 9.0, "params": 5,
            "settings": settings, "versions": {"keras": "3"}}))

    monkeypatch.setattr(budget, "run", run)
    monkeypatch.setattr(budget, "bfloat16_is_slow", lambda: True)  # Then the last trial is in float32 as the first.
    monkeypatch.setitem(flow_search.TRIALS, "cifar10", ("digits", (
        ("glow", {"width": 8}), ("glow", {"width": 4}), ("glow", {"width": 8, "network_dtype": "float32"}))))
    (tmp_path / "README.md").write_text("<!-- cifar10_flow_search: begin -->\n<!-- cifar10_flow_search: end -->\n")
    arguments = ["--set=cifar10", f"--runs={tmp_path}", "--at_once=2", f"--results={tmp_path / 'results.json'}",
                 f"--readme={tmp_path / 'README.md'}"]
    flow_search.main(arguments)
    flow_search.main(arguments)
    assert sorted(started) == [4, 8]
    rows = [line for line in (tmp_path / "README.md").read_text().splitlines() if line.startswith("| glow")]
    assert rows == ["| glow, width=4 | 0.400 | 7.000 | 9 | 5 |", "| glow, width=8 | 0.800 | 7.000 | 9 | 5 |"]
    failed = {"trial": "a", "validation": None, "curve": [], "images_per_second": 1.0, "params": 1}
    record = json.loads((tmp_path / "results.json").read_text())
    text = flow_search.markdown({**record, "measured": [failed, failed, *record["measured"]]})
    assert text.index("| glow, width=8") < text.index("| a | - | - |")  # Trials without a finite result are the last.
    with np.load(tmp_path / "flow_search" / "cifar10" / "images.npz") as images:
        assert set(images) == {"train", "validation"}
