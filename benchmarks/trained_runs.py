# SPDX-License-Identifier: Apache-2.0
"""Training runs of presets, for the benchmarks of trained flows."""

import argparse
import sys
from typing import Any

from trainers import train
from trainers.runs import trained_models
from trainers.runs.run_directory import RunDirectory


def finished_run(args: argparse.Namespace, preset: str, spec: str, name: str) -> tuple[RunDirectory, Any, float]:
    """Trains a preset on a data SPEC in `RUNS/name`, or resumes it if it is not finished.

    Returns:
      The run directory, the trained `FlowModel`, and the seconds of all epochs with validation and checkpoints.
    """
    directory = args.runs / name
    if train.main(["train", f"--preset={preset}", f"--data={spec}", f"--output_dir={directory}", "--tensorboard=false",
                   "--report=false"]):
        sys.exit(f"The training of {preset} on {spec} failed; see the line above.")
    run = RunDirectory(directory)
    return run, trained_models.load(run)[0], sum(line["seconds"] for line in run.history())
