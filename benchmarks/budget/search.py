# SPDX-License-Identifier: Apache-2.0
"""The search for a preset, by trials of the same few minutes each: `python -m benchmarks.budget.search`.

A trial changes some fields of a preset, and is judged on the validation images; none is given a test image. It is a
process with one thread of computation, so that as many run side by side as there are cores. What is done is kept when
the command is given again.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import concurrent.futures
import dataclasses
import json
import subprocess
import sys
from pathlib import Path

from benchmarks import trained
from benchmarks.budget import images
from benchmarks.budget.table import bits_of
from benchmarks.budget.trials import STARTS, TRIALS
from benchmarks.report import table
from benchmarks.run import machine

THREADS = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}


def parse_arguments(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--trials", nargs="+", choices=TRIALS, default=list(TRIALS), metavar="TRIAL", help="only these")
    parser.add_argument("--minutes", type=float, default=3.0, help="of training, each on one core")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order and noise")
    parser.add_argument("--data", default="idx:/usr/share/datasets/fashion-mnist", help="SPEC of the images")
    parser.add_argument("--limit", type=int, default=2000, help="so many images of validation")
    parser.add_argument("--work", type=Path, default=trained.ROOT / "runs" / "search", help="where all results go")
    parser.add_argument("--results", type=Path, default=trained.ROOT / "benchmarks" / "search.json",
                        help="the JSON file of the table")
    parser.add_argument("--readme", type=Path, default=trained.ROOT / "benchmarks" / "README.md",
                        help="the file that the table goes into")
    parser.add_argument("--run", choices=TRIALS, help=argparse.SUPPRESS)  # What the process of a trial is told.
    return parser.parse_args(argv)


def settings_of(args, name):
    """All that a trial's result depends on, but for code and machine."""
    return json.loads(json.dumps({
        **{key: getattr(args, key) for key in ("data", "minutes", "limit", "seed")},
        "trial": name, "fields": dataclasses.asdict(TRIALS[name].preset)}))


def result_path(args, name):
    return args.work / f"{name}_seed{args.seed}.json"


def finished(args):
    """The results that are there for these settings, by trial."""
    found = {}
    for name in TRIALS:
        path = result_path(args, name)
        if path.exists():
            result = json.loads(path.read_text(encoding="utf-8"))
            if result["settings"] == settings_of(args, name):
                found[name] = result
    return found


def run(args, name):
    """One trial, in this process."""
    from benchmarks.budget import child, ours

    preset = TRIALS[name].preset
    child.run(argparse.Namespace(images=args.work / "images.npz", result=result_path(args, name),
                                 settings=settings_of(args, name)),
              lambda first, seed: ours.build(first, seed, preset), preset.batch_size)


def run_apart(args, name, argv):
    """One trial, in a process of its own."""
    log = result_path(args, name).with_suffix(".log")
    with log.open("w", encoding="utf-8") as file:
        command = [sys.executable, "-m", "benchmarks.budget.search", *argv, "--run", name]
        code = subprocess.run(command, cwd=trained.ROOT, env={**os.environ, **THREADS}, stdout=file, stderr=file)
    if code.returncode:
        print(f"{name}: ended with an error, see {log}", flush=True)


def markdown(record):
    """The table, best trial first within each flow."""
    measured, rows = record["measured"], []
    for start in STARTS:
        names = [name for name in measured if TRIALS[name].start == start]
        for name in sorted(names, key=lambda name: measured[name]["validation"] or 99.0):
            result, trial = measured[name], TRIALS[name]
            changes = ", ".join(f"{key}={value}" for key, value in {**trial.flow, **trial.training}.items())
            rows.append((f"{start}, {changes}" if changes else start, bits_of(result["validation"]),
                         bits_of(result["curve"][-1]["train"] if result["curve"] else None),
                         f"{result['images_per_second']:.0f}", f"{result['params']:,}"))
    result = next(iter(measured.values()))
    here, settings = record["machine"], result["settings"]
    validation = f"the first {settings['limit']:,}" if settings["limit"] else "all"
    head = ("flow, and what is changed", "validation bits/dim", "training, last minute", "images/s", "parameters")
    return (f"{table(head, rows)}\n\n{result['date']}, {here['processor']}; {settings['minutes']:g} minutes each on "
            f"one core, seed {settings['seed']}; {validation} images of validation.")


def publish(args):
    record = {"machine": machine(), "measured": finished(args)}
    trained.publish(record, args.results, markdown(record), args.readme, "search")


def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    args = parse_arguments(argv)
    if args.run:
        return run(args, args.run)
    args.work.mkdir(parents=True, exist_ok=True)
    left = [name for name in args.trials if name not in finished(args)]
    if left and not (args.work / "images.npz").exists():
        images.write(args.data, args.work / "images.npz", args.limit, splits=("train", "validation"))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda name: run_apart(args, name, argv), left))
    publish(args)


if __name__ == "__main__":
    sys.exit(main())
