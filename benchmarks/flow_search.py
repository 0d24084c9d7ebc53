# SPDX-License-Identifier: Apache-2.0
"""Which flow and which training for images? `python -m benchmarks.flow_search --set=cifar10`.

Each trial is a preset with some fields changed. It trains for a few minutes, with a learning rate that falls to 0
within them. Validation images judge it; no test image is read. `RUNS/flow_search` keeps the results, and the command
does not repeat them.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import budget, harness
from benchmarks.budget import OURS
from benchmarks.report import publish, table
from trainers import presets
from trainers._command_line import gains_from_parts

_PYRAMID = {"flow": "pyramid", "num_levels": 2, "width": (64, 96), "num_blocks": 3, "channels": "shared",
            "network_dtype": "mixed_bfloat16"}
_COUPLINGS = {**_PYRAMID, "top": "couplings"}


def _start(flow: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    return {"flow": dict(flow), "batch_size": 32, "epochs": 1, "optimizer": "adam", "learning_rate": 3e-3,
            "schedule": "cosine", "ema_momentum": 0.999, "clip_norm": 1.0, **fields}


# Names of starts, and the changes of their trials: fields of `Preset`, or arguments of the flow.
STARTS = {
    "glow": _start({"flow": "glow", "num_levels": 2, "num_steps": 8, "width": 128, "network_dtype": "mixed_bfloat16"},
                   learning_rate=2e-3),
    # The running statistics of batch normalization match the last weights and not their average.
    "realnvp": _start({"flow": "realnvp", "num_scales": 3, "num_blocks": 2, "width": 16}, learning_rate=1e-3,
                      batch_size=64, ema_momentum=None),
    "pyramid": _start(_PYRAMID, learning_rate=6e-3),
    "couplings": _start(_COUPLINGS, learning_rate=6e-3),
    "color couplings": _start({**_COUPLINGS, "num_levels": 5, "width": (64, 64, 64, 32, 32),
                               "num_blocks": (3, 3, 3, 1, 1)}, learning_rate=6e-3),
}
_MIXTURES = {"coupling": "mixture", "width": 64}
_ALL_COUPLINGS = ({"skip": False}, {"scale": None}, {"scale": 4.0}, {"scale": 16.0}, {"learning_rate": 3e-3},
                  {"learning_rate": 1.2e-2}, {"batch_size": 16}, {"batch_size": 64}, {"second_kernel": 3},
                  {"num_components": 10}, {"activation": "silu"}, {"network_dtype": "float32"},
                  {"channels": "separate"})
TRIALS: dict[str, tuple[str, tuple[tuple[str, dict[str, Any]], ...]]] = {
    "fashion_mnist": ("idx:/usr/share/datasets/fashion-mnist", (
        ("glow", {}), ("glow", {"num_steps": 16}), ("glow", {"width": 64}), ("glow", _MIXTURES),
        *(("glow", {**_MIXTURES, **change}) for change in (
            {"learning_rate": 5e-3}, {"num_components": 8}, {"num_steps": 4}, {"width": 128})),
        *(("realnvp", change) for change in (
            {}, {"num_blocks": 1}, {"num_blocks": 1, "batch_size": 32}, {"num_blocks": 1, "learning_rate": 3e-3})),
        ("pyramid", {}), ("couplings", {}),
        *(("couplings", change) for change in (
            *_ALL_COUPLINGS, {"width": (48, 64)}, {"width": (96, 128)}, {"num_blocks": (2, 3)},
            {"num_blocks": (4, 4)})),
    )),
    "cifar10": ("tfds:cifar10", (
        *(("glow", {"num_levels": 3, **change}) for change in (
            {}, {"coupling": "mixture"}, {"num_steps": 16}, {"width": 64}, {"network_dtype": "float32"})),
        ("pyramid", {"num_levels": 3, "width": 64}),
        *(("color couplings", change) for change in (
            {}, *_ALL_COUPLINGS, {"width": (48, 48, 48, 32, 32)}, {"width": (64, 96, 96, 32, 32)},
            {"width": (96, 96, 96, 32, 32)}, {"num_blocks": (2, 2, 2, 1, 1)}, {"num_blocks": (4, 4, 4, 1, 1)},
            {"activation": "silu", "learning_rate": 3e-3}, {"activation": "silu", "width": (48, 48, 48, 32, 32)})),
    )),
}
_FIELDS = {field.name for field in dataclasses.fields(presets.Preset)}


def preset_of(start: str, change: Mapping[str, Any]) -> presets.Preset:
    """Returns the preset of a trial: a start with some fields, or arguments of its flow, changed."""
    fields = {name: value for name, value in change.items() if name in _FIELDS}
    flow = {name: value for name, value in change.items() if name not in _FIELDS}
    chosen = {**STARTS[start], **fields}
    return presets.Preset(**{**chosen, "flow": {**chosen["flow"], **flow}})


def settings_of(args: argparse.Namespace, trial: tuple[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Returns all that the result of a trial depends on, except code and machine."""
    fields = budget.fields_of(preset_of(*trial))
    divide = args.at_once == 1 and gains_from_parts(fields["flow"], fields["batch_size"])
    return json.loads(json.dumps({
        "data": args.data, "minutes": args.minutes, "seed": args.seed, "one_core": args.at_once > 1,
        "batch_size": fields["batch_size"],
        "system": {"preset": fields, "divide": divide}}))


def described(start: str, change: Mapping[str, Any]) -> str:
    """Returns the name of a trial, such as `glow, width=64`."""
    return ", ".join([start, *(f"{name}={value}" for name, value in change.items())])


def markdown(record: Mapping[str, Any]) -> str:
    """Returns the table of all trials, the best first."""
    rows = sorted(record["measured"], key=lambda row: math.inf if row["validation"] is None else row["validation"])
    return "\n\n".join([
        table(("trial", "validation, bits/dim", "training, last minute", "images/s", "parameters"), [
            (row["trial"], budget.bits(row["validation"]), budget.bits(row["curve"][-1]["train"] if row["curve"]
             else None), f"{row['images_per_second']:.0f}", f"{row['params']:,}") for row in rows]),
        f"{record['data']}; {record['minutes']:g} minutes of training each, seed {record['seed']}; the first "
        f"{budget.NUM_SEARCH:,} validation images. {harness.allotment(record)} "
        f"{harness.describe(record['machine'], record['versions'])}"])


def main(argv: Sequence[str] | None = None) -> None:
    parser = harness.parser_of(__doc__, "SET_flow_search.json")
    parser.add_argument("--set", choices=TRIALS, default="cifar10", help="images, and the trials for them")
    parser.add_argument("--data", help="SPEC of the images; None for that of the set")
    parser.add_argument("--minutes", type=float, default=3.0, help="minutes of each training")
    parser.add_argument("--seed", type=int, default=0, help="random seed of weights, data order and noise")
    parser.add_argument("--only", default="", help="a part of the names of the trials to run; all by default")
    parser.add_argument("--section", help="name of the markers in the README; None for SET_flow_search")
    harness.define_at_once(parser)
    args = parser.parse_args(argv)
    data, trials = TRIALS[args.set]
    args.data, args.limit = args.data or data, None
    if args.results.name == "SET_flow_search.json":
        args.results = args.results.with_name(f"{args.set}_flow_search.json")
    work = args.runs.resolve() / "flow_search" / args.set
    work.mkdir(parents=True, exist_ok=True)
    images, written = work / "images.npz", work / "images.txt"
    if not written.exists() or written.read_text(encoding="utf-8") != args.data:
        written.unlink(missing_ok=True)
        budget.write_images(args, images, search=True)
        written.write_text(args.data, encoding="utf-8")
    record: dict[str, Any] = {"machine": harness.machine(), "versions": {}, "data": args.data, "minutes": args.minutes,
                              "seed": args.seed, "at_once": args.at_once, "measured": []}

    def measured(trial: tuple[str, Mapping[str, Any]]) -> dict[str, Any]:
        name, settings = described(*trial), settings_of(args, trial)
        path = work / f"{''.join(letter if letter.isalnum() else '_' for letter in name)}.json"
        with harness.core_of(args) as prefix:
            if not budget.result_of(path, settings):
                budget.run(args, next(iter(OURS)), settings, images, path, prefix)
        return {"trial": name, **json.loads(path.read_text(encoding="utf-8"))}

    # On a machine that is slow in bfloat16, all trials are in float32, and a trial of this dtype repeats another.
    distinct = {json.dumps(settings_of(args, trial)): trial for trial in reversed(trials)}.values()
    chosen = [trial for trial in trials if trial in distinct and args.only in described(*trial)]
    for row in harness.side_by_side(args, measured, chosen):
        record["versions"].update(row.pop("versions"))
        record["measured"].append(row)
        publish(args, record, markdown(record), args.section or f"{args.set}_flow_search")


if __name__ == "__main__":
    main()
