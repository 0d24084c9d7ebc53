# SPDX-License-Identifier: Apache-2.0
"""What the comparisons of trained flows share: their runs, their arguments, and the places of their tables."""

import argparse
import datetime
import importlib.metadata
import json
import sys
from pathlib import Path

from benchmarks.report import put_between_markers
from benchmarks.run import machine
from trainers import train
from trainers.runs.run_directory import RunDir

ROOT = Path(__file__).resolve().parents[1]


def parser_of(doc, results):
    """A parser with the arguments that all comparisons have; `results` is the name of their file."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--runs", type=Path, default=ROOT / "runs", help="where the run directories are, or will be")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / results, help="the JSON file to write")
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md", help="the file that the table goes into")
    return parser


def finished_run(preset, spec, directory, *flags):
    """The `RunDir` of a preset on a SPEC; trained, or gone on with, by `trainers.train` if it is not finished."""
    if train.main(["train", f"--preset={preset}", f"--data={spec}", f"--output_dir={directory}", "--tensorboard=false",
                   "--report=false", *flags]):
        sys.exit(f"{preset} on {spec} could not be trained; see the line above.")
    return RunDir(directory)


def training_seconds(run):
    """How long the epochs of a run took, with validation and checkpoints, without starting and tracing."""
    return sum(line["seconds"] for line in run.history())


def setting():
    """Date, machine and version of TensorFlow, in a sentence."""
    here = machine()
    return (f"{datetime.date.today().isoformat()}, {here['processor']}, {here['cores']} cores, without GPU; "
            f"TensorFlow {importlib.metadata.version('tensorflow')}.")


def publish(record, results, text, readme, name):
    """Writes a comparison's numbers as JSON, and its table between the markers `name` of a README.

    The comparisons do so whenever a part of theirs is done: one that is stopped leaves a table of what it has.
    """
    readme.write_text(put_between_markers(readme.read_text(encoding="utf-8"), text, name), encoding="utf-8")
    results.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(text, flush=True)
