# SPDX-License-Identifier: Apache-2.0
"""The benchmarks' arithmetic and tables, from made-up measurements; nothing is timed."""

import math

import pytest

from benchmarks import report, targets, work
from benchmarks.plan import OURS, PEERS, WHOLE, cases_of_round
from benchmarks.results import Results, fraction_of, net_of, ratio_of


def measurement(program, figures, depth=8, round=0, task="speed", width=128):
    return {"program": program, "task": task, "depth": depth, "width": width, "round": round, "figures": figures}


@pytest.fixture(scope="module")
def results():
    steps = [("ours, stored", (0.2, 0.1, 0.3)), ("ours, stored, in parts", (0.2, 0.1, 0.3)),
             ("normflows", (0.4, 0.32, 0.3)), ("tfb.Glow", (0.4, 0.4, 0.4))]
    rows = [measurement(program, {"train_step_s": s, "params": 1e6}, round=r)
            for program, times in steps for r, s in enumerate(times)]
    rows += [measurement("rates", {"ideal_step_gflop": 20.0, "conv_float32_training": 125.0}, round=0)]
    rows += [measurement("ours, reversible", {"peak_rss_gb": peak, "state_gb": state, "base_rss_gb": 0.5}, depth,
                         task="memory") for depth, peak, state in [(4, 1.1, 0.1), (32, 1.9, 0.8)]]
    rows += [measurement("ours, stored", {"first_step_s": seconds}, depth) for depth, seconds in [(4, 3.0), (32, 6.0)]]
    rows += [measurement("gradients", {"reversible_against_stored_float32": math.nan,
                                       "reversible_against_stored_float64": 1e-15}, 32)]
    return Results([*rows, measurement("normflows, channels last", {})])  # That one failed.


def test_ratios_are_of_medians_and_of_each_round(results):
    ratio = ratio_of(*(results.by_round("train_step_s", program, 8, 128) for program in ("normflows", "ours, stored")))
    assert ratio.value == pytest.approx(1.6)
    assert ratio.rounds == pytest.approx((2.0, 3.2, 1.0))
    assert str(ratio) == "1.60 (2.00, 3.20, 1.00)"
    assert ratio_of({}, {0: 1.0}) is None


def test_memory_is_net_of_state_and_rate_a_share(results):
    assert net_of(results, "ours, reversible", 32, 128) == pytest.approx({0: 1.1})
    assert net_of(results, "ours, reversible", 32, 128, ("state_gb", "base_rss_gb")) == pytest.approx({0: 0.6})
    assert fraction_of(results, "ours, stored", 8, 128) == pytest.approx({0: 0.8})


def test_verdicts(results):
    verdicts = {t.name: t.verdict for t in targets.targets(results)}
    assert verdicts["training step, normflows / ours, stored, in parts"] == "met"
    assert verdicts["training step, normflows, channels last / ours, stored, in parts"] == "not measured"
    assert verdicts["training step, tfb.Glow / ours, stored, in parts"] == "**missed**"
    assert verdicts["first step, ours, stored, K=32 / K=4"] == "**missed**"
    assert verdicts["peak memory less parameters and slots, ours, reversible, K=32 / K=4"] == "met"
    assert verdicts["gradients, reversible against stored, float32"] == "**missed**"
    assert verdicts["gradients, reversible against stored, float64"] == "met"


def test_tables_are_rectangular_and_in_their_place(results):
    text = report.markdown(results, "A machine.")
    assert "| ours, stored | 1 | - | - | 0.2 | - | - | - | - |" in text
    assert "| training step | ours, stored | 1.60 (2.00, 3.20, 1.00) | - | 2.00 (2.00, 4.00, 1.33) |" in text
    assert "| first step, s | ours, stored | 3 | - | 6 | 2.00 |" in text
    for block in text.split("\n\n"):
        assert len({line.count("|") for line in block.splitlines()}) == 1
    readme = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
    assert report.put_between_markers(readme, "new") == readme.replace("old", "new")
    with pytest.raises(ValueError, match="once each"):
        report.put_between_markers("no markers", "new")


def test_work_of_a_step():
    network = 9 * 6 * 128 + 128 * 128 + 9 * 128 * 12  # multiply-adds a pixel of the largest level
    assert work.levels() == [(16, 12), (8, 24), (4, 48)]
    assert work.forward_flops(16, 12, 128, 32) == 2 * network * 16 * 16 * 32
    assert work.step_flops(8, 128, 32) == pytest.approx(22.7e9, rel=2e-3)


def test_every_round_times_all_at_the_main_depth():
    for full in (False, True):
        for number in range(2):
            cases = cases_of_round(number, (128, 512), (4, 8, 32), full)
            assert len(cases) == len(set(cases))
            for width in (128, 512):
                assert {c.program for c in cases if c[1:] == ("speed", 8, width)} == {"rates", *OURS, *PEERS}
    deep = {c.program for c in cases_of_round(0, (128,), (4, 8, 32), False) if c.depth == 32}
    assert deep == {*WHOLE, "normflows", "gradients"}
    assert "tfb.Glow" in {c.program for c in cases_of_round(1, (128,), (4, 8, 32), True) if c.depth == 32}
