# SPDX-License-Identifier: Apache-2.0
"""Several Glows and our best flow, the same images, the same minutes of training: `python -m benchmarks.budget`.

Each system is a process in its own environment, one after the other, on all cores. What is done is in the directory
`--work` and is kept when the command is given again; the table goes into the README of the benchmarks.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from benchmarks import environments, trained
from benchmarks.budget import images
from benchmarks.budget.table import markdown
from benchmarks.run import machine
from trainers import presets


class Entry(NamedTuple):
    """A system of the table: the environment and the module of its process; if it is ours, its preset and whether each
    core has a part of the batch; or the name of an optimizer that is not the module's own.
    """

    environment: str
    module: str
    preset: str | None = None
    in_parts: bool = False
    optimizer: str | None = None


SYSTEMS = {
    "normflows": Entry("normflows", "normflows_glow"),
    "normflows, Adam": Entry("normflows", "normflows_glow", optimizer="Adam"),
    "tfb.Glow": Entry("tfp", "tfb_glow"),
    "ours, plain": Entry("ours", "ours", "fashion_mnist_glow", in_parts=True),
    "ours, best": Entry("ours", "ours", "fashion_mnist_best"),
}


def parse_arguments(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS), help="only these")
    parser.add_argument("--minutes", type=float, default=20.0, help="of training, each")
    parser.add_argument("--data", default="idx:/usr/share/datasets/fashion-mnist", help="SPEC of the images")
    parser.add_argument("--limit", type=int, help="so many images of validation and of test, to try it")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order and noise")
    parser.add_argument("--again", action="store_true", help="also what is done already")
    parser.add_argument("--normflows_python", help="the interpreter of an environment that has the peer already")
    parser.add_argument("--tfp_python", help="likewise; that of this package will do")
    parser.add_argument("--work", type=Path, default=trained.ROOT / "runs" / "budget", help="where all results go")
    parser.add_argument("--results", type=Path, default=trained.ROOT / "benchmarks" / "budget.json",
                        help="the JSON file of the table")
    parser.add_argument("--readme", type=Path, default=trained.ROOT / "benchmarks" / "README.md",
                        help="the file that the table goes into")
    args = parser.parse_args(argv)
    if not args.minutes > 0.0:
        parser.error(f"--minutes: must be positive; got {args.minutes:g}")
    args.work = args.work.resolve()  # The processes run in the project's directory.
    return args


def settings_of(args, entry):
    """All that a result depends on, but for code and machine."""
    settings = {key: getattr(args, key) for key in ("data", "minutes", "limit", "seed")}
    if entry.optimizer:
        settings["optimizer"] = entry.optimizer
    if entry.in_parts:
        settings["num_parts"] = os.cpu_count()
    if entry.preset:
        settings["preset"] = entry.preset
        settings["fields"] = dataclasses.asdict(presets.get(entry.preset))
    return json.loads(json.dumps(settings))


def result_path(work, name):
    return work / f"{name.replace(', ', '_')}.json"


def finished(args):
    """The results that are there for these settings, by system."""
    found = {}
    for name, entry in SYSTEMS.items():
        path = result_path(args.work, name)
        if entry.preset in (None, *presets.PRESETS) and path.exists():
            result = json.loads(path.read_text(encoding="utf-8"))
            if result["settings"] == settings_of(args, entry):
                found[name] = result
    return found


def run(args, name):
    """Trains and evaluates a system in a process of its own, which prints what it does."""
    entry = SYSTEMS[name]
    given = {"ours": sys.executable, "normflows": args.normflows_python, "tfp": args.tfp_python}[entry.environment]
    python = given or environments.python_of(entry.environment)
    command = [python, "-m", f"benchmarks.budget.{entry.module}", args.work / "images.npz",
               result_path(args.work, name), f"--settings={json.dumps(settings_of(args, entry))}"]
    threads = {"TF_NUM_INTRAOP_THREADS": "1"} if entry.in_parts else {}
    if subprocess.run(command, cwd=trained.ROOT, env={**os.environ, **threads}).returncode:
        sys.exit(f"{name}: ended with an error; see above.")


def publish(args):
    """Puts all results that are there into the table."""
    record = {"machine": machine(), "measured": finished(args)}
    trained.publish(record, args.results, markdown(record), args.readme, "budget")


def main(argv=None):
    args = parse_arguments(argv)
    for name in args.systems:
        if SYSTEMS[name].preset not in (None, *presets.PRESETS):
            sys.exit(f"{name}: there is no preset {SYSTEMS[name].preset}.")
    args.work.mkdir(parents=True, exist_ok=True)
    done = finished(args)
    left = [name for name in args.systems if args.again or name not in done]
    if left:
        try:
            images.write(args.data, args.work / "images.npz", args.limit)
        except ValueError as error:  # There is no such set.
            sys.exit(str(error))
    for name in left:
        print(f"{name}:", flush=True)
        run(args, name)
        publish(args)
    if not left:
        publish(args)


if __name__ == "__main__":
    sys.exit(main())
