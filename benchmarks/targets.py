# SPDX-License-Identifier: Apache-2.0
"""What the measurements are held against."""

from typing import NamedTuple

from benchmarks.plan import IN_PARTS, MAIN_DEPTH, NORMFLOWS, TFP, WHOLE
from benchmarks.results import Ratio, fraction_of, median_of, net_of, ratio_of

STORED, REVERSIBLE, _ = WHOLE
WIDTH, SHALLOW, DEEP = 128, 4, 32


class Target(NamedTuple):
    """A bound on a measured number."""

    name: str
    rule: str  # "at least" or "at most"
    bound: float
    value: Ratio | float | None  # None: not measured in this run

    @property
    def verdict(self):
        if self.value is None:
            return "not measured"
        value = self.value.value if isinstance(self.value, Ratio) else self.value
        met = value >= self.bound if self.rule == "at least" else value <= self.bound  # A NaN is a miss.
        return "met" if met else "**missed**"


def targets(results):
    """All targets, with what was measured."""
    return [*_against_peers(results), *_of_depth(results), *_of_the_machine(results)]


def _against_peers(results):
    """In parts, the setting for long runs; both peers have their faster one."""
    rows = []
    stored, reversible, bfloat16 = IN_PARTS
    steps = [(stored, 1.5, 2.2), (reversible, 1.2, 1.8), (bfloat16, None, 2.6)]
    others = [(stored, 1.3, 2.0)]
    for what, figure, bounds in [("training step", "train_step_s", steps), ("log_prob", "log_prob_s", others),
                                 ("sampling", "sample_s", others)]:
        for ours, for_normflows, for_tfp in bounds:
            for peer in (*NORMFLOWS, TFP):
                bound = for_tfp if peer == TFP else for_normflows
                if bound:
                    value = ratio_of(results.by_round(figure, peer, MAIN_DEPTH, WIDTH),
                                     results.by_round(figure, ours, MAIN_DEPTH, WIDTH))
                    rows.append(Target(f"{what}, {peer} / {ours}", "at least", bound, value))
    return rows


def _of_depth(results):
    def first_step(program, depth):
        return results.by_round("first_step_s", program, depth, WIDTH)

    rows = []
    for ours in (STORED, REVERSIBLE):
        rows.append(Target(f"first step at K={DEEP}, {TFP} / {ours}", "at least", 20,
                           ratio_of(first_step(TFP, DEEP), first_step(ours, DEEP))))
        rows.append(Target(f"first step, {ours}, K={DEEP} / K={SHALLOW}", "at most", 1.5,
                           ratio_of(first_step(ours, DEEP), first_step(ours, SHALLOW))))
    rows.append(Target(
        f"peak memory less parameters and slots, {REVERSIBLE}, K={DEEP} / K={SHALLOW}", "at most", 1.15,
        ratio_of(net_of(results, REVERSIBLE, DEEP, WIDTH), net_of(results, REVERSIBLE, SHALLOW, WIDTH))))
    return rows


def _of_the_machine(results):
    share = fraction_of(results, STORED, MAIN_DEPTH, WIDTH)
    rows = [Target(f"share of the convolution rate, {STORED}", "at least", 0.6,
                   Ratio(median_of(share), tuple(share.values())) if share else None)]
    for dtype, bound in (("float32", 1e-3), ("float64", 1e-9)):
        rows.append(Target(f"gradients, reversible against stored, {dtype}", "at most", bound,
                           results.median(f"reversible_against_stored_{dtype}", "gradients", DEEP, WIDTH)))
    return rows
