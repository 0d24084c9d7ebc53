# SPDX-License-Identifier: Apache-2.0
"""Tables and cases of the speed benchmark from made-up measurements, and the README's markers. Nothing is timed."""

import argparse
import json
import sys

import pytest

from benchmarks import gpu, harness, inference, report
from benchmarks.run import PROGRAMS, cases_of_round
from benchmarks.speed_tables import by_round, markdown, median, ratio

RESULTS = harness.ROOT / "benchmarks" / "results"


def measurement(program, figures, depth=8, round=0, width=128):
    return {"program": program, "depth": depth, "width": width, "round": round, "figures": figures}


@pytest.fixture(scope="module")
def record():
    steps = [("ours, stored", (0.2, 0.1, 0.3)), ("normflows", (0.4, 0.32, 0.3)), ("tfb.Glow", (0.4, 0.4, 0.4))]
    rows = [measurement(program, {"train_step_s": s, "params_m": 1.5}, round=r)
            for program, times in steps for r, s in enumerate(times)]
    rows += [measurement("ours, stored", {"first_step_s": seconds}, depth) for depth, seconds in [(4, 3.0), (32, 6.0)]]
    rows += [measurement("normflows, channels last", {})]  # That one failed.
    machine = {"date": "2026-01-01", "processor": "a processor", "cores": 2, "memory_gib": 4, "system": "Linux",
               "python": "3.11"}
    return {"machine": machine, "versions": {"torch": "1"}, "batch": 32, "rounds": 3, "measurements": rows}


def test_ratios_are_of_medians_and_of_each_round(record):
    above, below = (by_round(record, "train_step_s", program, 8, 128) for program in ("normflows", "ours, stored"))
    assert median(above) == pytest.approx(0.32) and median({}) is None
    assert ratio(above, below) == "1.60 (2.00, 3.20, 1.00)"
    assert ratio({0: 1.0}, {0: 2.0, 1: 2.0}) == "0.50"
    assert ratio({}, {0: 1.0}) == "-"


def test_tables_have_a_row_per_measured_program(record):
    text = markdown(record)
    assert "| ours, stored | - / 1.5 / - | 3 / - / 6 | - / 0.2 / - | - | - | - | - | - |" in text
    assert "| training step | ours, stored | 1.60 (2.00, 3.20, 1.00) | 2.00 (2.00, 4.00, 1.33) | - |" in text
    assert "\n| normflows, channels last" not in text
    for block in text.split("\n\n"):
        assert len({line.count("|") for line in block.splitlines()}) == 1


def test_latencies_are_compared_in_the_same_precision(record):
    times = {"ours": 0.01, "ours, SavedModel, bfloat16": 0.005, "normflows, channels last": 0.02,
             "normflows, channels last, bfloat16": 0.01, "tfb.Glow": 0.04}
    text = inference.markdown({**record, "depth": 8, "width": 128, "batches": [1, 32], "measurements": [
        {"program": name, "round": 0, "figures": {"log_prob_1_s": seconds, "sample_32_s": 2 * seconds}}
        for name, seconds in times.items()]})
    assert "| ours | 10 (2.00) | - | - | 20 (2.00) |" in text and "| tfb.Glow | 40 (0.50) | - | - | 80 (0.50) |" in text
    assert "| ours, SavedModel, bfloat16 | 5 (2.00) |" in text and "| normflows, channels last | 20 | - |" in text


def test_text_goes_between_markers():
    readme = "before\n<!-- speed: begin -->\nold\n<!-- speed: end -->\nafter\n"
    assert report.put_between_markers(readme, "new", "speed") == readme.replace("old", "new")
    with pytest.raises(ValueError, match="once each"):
        report.put_between_markers("no markers", "new", "speed")


def test_every_round_measures_all_programs_at_the_main_depth():
    for full in (False, True):
        for number in range(2):
            cases = cases_of_round(number, (128, 512), (4, 8, 32), full)
            assert len(cases) == len(set(cases))
            for width in (128, 512):
                left_out = set() if full else {"normflows", "normflows, channels last, compiled"}
                assert {c.program for c in cases if c[1:] == (8, width)} == set(PROGRAMS) - left_out
    deep = {c.program for c in cases_of_round(0, (128,), (4, 8, 32), False) if c.depth == 32}
    assert deep == {"ours, stored", "ours, reversible"}
    assert "tfb.Glow" in {c.program for c in cases_of_round(0, (128,), (4, 8, 32), True) if c.depth == 32}


def test_environments_are_this_one_or_a_given_one():
    args = argparse.Namespace(normflows_python="python-of-normflows", tfp_python=None)
    assert harness.python_of("ours", args) == sys.executable
    assert harness.python_of("normflows", args) == "python-of-normflows"


def test_the_readmes_show_the_results_and_describe_each_file():
    text = (harness.ROOT / "benchmarks" / "README.md").read_text()
    assert markdown(json.loads((RESULTS / "speed.json").read_text())) in text
    assert gpu.markdown(json.loads((RESULTS / "gpu.json").read_text())) in text
    described = (RESULTS / "README.md").read_text()
    assert all(f"`{path.name}`" in described for path in RESULTS.glob("*.json"))


def test_gpu_tables_compare_the_fastest_programs_of_a_precision(record):
    times = {"ours, graph, float32": (0.04, 0.05), "ours, XLA, float32": (0.01, 0.02),
             "normflows, eager, float32": (0.06, 0.02), "ours, XLA, bfloat16": (0.005, 0.005)}
    rows = [{"program": program, "case": {"width": 8, "batch": 2}, "round": number, "figures": {"train_s": seconds}}
            for program, values in times.items() for number, seconds in enumerate(values)]
    text = gpu.markdown({**record, "device": "a GPU", "depth": 8, "measurements": rows})
    assert text.startswith("a GPU; 2026-01-01") and "### Width 8, batch 2" in text
    assert "| ours, XLA, float32 | 15 | - | - | - |" in text
    assert "| training step | ours, XLA, float32 | normflows, eager, float32 | 2.67 (6.00, 1.00) |" in text
    assert "torch.compile" not in text and text.count("times faster") == 1
