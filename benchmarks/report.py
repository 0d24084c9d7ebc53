# SPDX-License-Identifier: Apache-2.0
"""The tables that the measurements become, and their place in the README."""

from benchmarks.plan import MAIN_DEPTH, OURS, PEERS
from benchmarks.results import fraction_of, median_of, net_of, ratio_of
from benchmarks.targets import targets
from benchmarks.work import levels

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
FIGURES = {
    "build_s": "build, s", "first_step_s": "first step, s", "train_step_s": "training step, s",
    "log_prob_s": "log_prob, s", "sample_s": "sampling, s", "round_trip_max_abs": "round trip, max abs",
}


def markdown(results, setting):
    """Everything measured, as Markdown; `setting` says in a sentence what it was measured on."""
    parts = [setting, "### Held against the targets", targets_table(results)]
    for width in results.widths():
        depths = results.depths(width)
        main = MAIN_DEPTH if MAIN_DEPTH in depths else depths[0]
        parts += [f"### Width {width}, K={main}", programs_table(results, main, width),
                  ratios_table(results, main, width)]
        if len(depths) > 1:
            parts += [f"### Width {width}, by depth", depths_table(results, depths, width)]
        parts += [f"### Width {width}, against the machine", rates_table(results, main, width)]
    gradients = gradients_table(results)
    return "\n\n".join([*parts, *(["### Gradients", gradients] if gradients else [])])


def targets_table(results):
    return table(("what", "target", "measured", "verdict"), [
        (t.name, f"{t.rule} {t.bound:g}", show(t.value), t.verdict) for t in targets(results)])


def programs_table(results, depth, width):
    """A row a program, a column a figure: medians over the rounds."""
    rows = []
    for name in (*OURS, *PEERS):
        cells = [show(results.median(figure, name, depth, width)) for figure in FIGURES]
        params = results.median("params", name, depth, width)
        peak = results.median("peak_rss_gb", name, depth, width, task="memory")
        rows.append((name, show(params and params / 1e6), *cells, show(peak)))
    return table(("", "parameters, M", *FIGURES.values(), "peak memory in training, GB"), rows)


def ratios_table(results, depth, width):
    """How many times quicker ours are: ratio of medians, and in brackets that of each round."""
    rows = []
    for figure in ("train_step_s", "log_prob_s", "sample_s"):
        for ours in OURS:
            below = results.by_round(figure, ours, depth, width)
            rows.append((FIGURES[figure].removesuffix(", s"), ours, *(
                show(ratio_of(results.by_round(figure, peer, depth, width), below)) for peer in PEERS)))
    return table(("times quicker", "", *(f"than {peer}" for peer in PEERS)), rows)


def depths_table(results, depths, width):
    """A row a program and figure, a column a depth, and how the deepest compares to the shallowest."""
    kinds = {
        "first step, s": lambda name, k: results.by_round("first_step_s", name, k, width),
        "training step, s": lambda name, k: results.by_round("train_step_s", name, k, width),
        "log_prob, s": lambda name, k: results.by_round("log_prob_s", name, k, width),
        "sampling, s": lambda name, k: results.by_round("sample_s", name, k, width),
        "peak memory, GB": lambda name, k: results.by_round("peak_rss_gb", name, k, width, "memory"),
        "less parameters and slots, GB": lambda name, k: net_of(results, name, k, width),
        "less what importing takes too, GB": lambda name, k: net_of(
            results, name, k, width, ("state_gb", "base_rss_gb")),
    }
    rows = []
    for kind, by_round in kinds.items():
        for name in (*OURS, *PEERS):
            values = [by_round(name, k) for k in depths]
            if any(values):
                rows.append((kind, name, *(show(median_of(v)) for v in values), show(ratio_of(values[-1], values[0]))))
    return table(("", "", *(f"K={k}" for k in depths), f"K={depths[-1]} / K={depths[0]}"), rows)


def rates_table(results, depth, width):
    """The machine's rates in GFLOP/s, and what share of its convolution rate a training step reaches."""
    def rate(name):
        return show(results.median(name, "rates", depth, width))

    kinds = [(dtype, passes) for dtype in ("float32", "bfloat16") for passes in ("forward", "training")]
    rows = [("large matrix product", *(
        rate(f"matmul_{dtype}") if passes == "forward" else "" for dtype, passes in kinds))]
    for name, part in [*((f"convolutions, {side}x{side}", f"_{side}x{side}") for side, _ in levels()),
                       ("convolutions, all levels", "")]:
        rows.append((name, *(rate(f"conv_{dtype}{part}_{passes}") for dtype, passes in kinds)))
    rates = table(("GFLOP/s", *(f"{dtype}, {passes}" for dtype, passes in kinds)), rows)
    work = results.median("ideal_step_gflop", "rates", depth, width)
    shares = []
    for name in OURS:
        dtype = "bfloat16" if "bfloat16" in name else "float32"
        step = results.median("train_step_s", name, depth, width)
        share = median_of(fraction_of(results, name, depth, width, dtype))
        shares.append((name, show(work and step and work / step), f"{share:.0%}" if share else "-"))
    head = ("training step", "GFLOP/s of the ideal step", "share of the convolutions' rate in its dtype, training")
    return f"{rates}\n\nAn ideal training step is {show(work)} GFLOP.\n\n{table(head, shares)}"


def gradients_table(results):
    """Relative differences of whole gradients."""
    return table(("relative difference of gradients", ""), [
        (name.replace("_", " "), f"{value:.2g}") for m in results.measurements if m["program"] == "gradients"
        for name, value in m["figures"].items() if "against" in name])


def table(head, rows):
    """A Markdown table, or nothing if it would have no rows."""
    if not rows:
        return ""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def show(value):
    """A number to three digits, a dash for None, and anything else as it shows itself."""
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def put_between_markers(text, new, name="measured"):
    """The README's text with the part of this name replaced; raises `ValueError` if its markers are gone."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"The README must have the lines {begin!r} and {end!r}, once each and in this order.")
    before, after = text[:text.index(begin) + len(begin)], text[text.index(end):]
    return f"{before}\n{new}\n{after}"
