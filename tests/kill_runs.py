# SPDX-License-Identifier: Apache-2.0
"""Kills a training run with SIGKILL repeatedly and compares the result with an uninterrupted run.

    python tests/kill_runs.py --output_dir=runs/kills --kills=20 --seed=0

The program kills at random times in all stages of a process: start, training, checkpoint and export. The same command
resumes the run after each kill. The program prints one line per kill and a summary. It returns 0 if it made all kills,
no process printed an error or a warning, and both results are equal bit for bit. Otherwise it returns 1.
"""

import argparse
import contextlib
import io
import itertools
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time
import zipfile

import h5py

ROOT = pathlib.Path(__file__).resolve().parents[1]
PRESET, EPOCHS = "digits_glow_smoke", 30
# Number of kills per stage, of 20 kills. Kills in the export come last, because the export ends the run.
SHARES = {"start": 5, "training": 6, "checkpoint": 5, "export": 4}


def start(directory, log, *flags):
    """Starts a process that trains in a directory or resumes there."""
    command = [sys.executable, "-m", "trainers.train", f"--preset={PRESET}", "--data=digits", f"--epochs={EPOCHS}",
               f"--output_dir={directory}", *flags]
    environment = {**os.environ, "TFP_GLOW_DATA_DIR": str(directory.parent / f"data_{directory.name}")}
    return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, env=environment)


class Watch:
    """Finds the stage that a process has reached, from the files of the run. Create it before the process starts."""

    def __init__(self, directory):
        self._directory, self._began = directory, time.time()
        self._at_start = self.epochs()

    def epochs(self):
        """Returns the number of epochs in the history."""
        history = self._directory / "history.jsonl"
        return history.read_text().count("\n") if history.exists() else 0

    def last_checkpoint(self):
        """Returns the name of the newest complete checkpoint."""
        return max((path.stem for path in self._directory.glob("checkpoints/epoch_*.json")), default="none")

    def has_reached(self, stage):
        """Returns whether the process has reached a stage."""
        if stage == "training":
            return self.epochs() > self._at_start
        marks = {"checkpoint": "checkpoints/.partial.*.weights.h5", "export": "loss_curve.png"}
        return stage == "start" or any(map(self._is_new, self._directory.glob(marks[stage])))

    def _is_new(self, path):
        with contextlib.suppress(FileNotFoundError):
            return path.stat().st_mtime > self._began
        return False


def train_uninterrupted(directory, log):
    """Trains without a kill and returns the duration of each stage in seconds."""
    began, watch, marks = time.monotonic(), Watch(directory), {}
    with start(directory, log) as process:
        while process.poll() is None:
            for stage in ("training", "export"):
                if stage not in marks and watch.has_reached(stage):
                    marks[stage] = time.monotonic()
            time.sleep(0.005)
    if process.returncode:
        raise RuntimeError(f"the uninterrupted run ended with exit code {process.returncode}: see {log.name}")
    epoch = (marks["export"] - marks["training"]) / (EPOCHS - 1)
    return {"start": marks["training"] - began, "training": 2 * epoch, "checkpoint": 0.02,
            "export": 0.8 * (time.monotonic() - marks["export"])}


def train_and_kill(directory, log, stage, wait):
    """Starts a process and kills it `wait` seconds after it reaches a stage.

    Returns the name of the last checkpoint, or None if the process ended before the kill.
    """
    watch = Watch(directory)
    with start(directory, log, "--checkpoint_minutes=0.001") as process:
        while process.poll() is None and not watch.has_reached(stage):
            time.sleep(0.0005)
        try:
            process.wait(wait)
        except subprocess.TimeoutExpired:
            process.kill()
    return watch.last_checkpoint() if process.returncode == -signal.SIGKILL else None


def moments(number, seconds, seed):
    """Returns a random pair `(stage, wait)` per kill, given the duration of each stage in `seconds`."""
    generator = random.Random(seed)
    stages = [stage for stage, share in SHARES.items() for _ in range(share)]
    stages = list(itertools.islice(itertools.cycle(stages), number))
    generator.shuffle(stages)
    return [(stage, generator.uniform(0.0, seconds[stage])) for stage in sorted(stages, key="export".__eq__)]


def arrays(file):
    """Returns the dtype, shape and bytes of each array of an HDF5 file, by name."""
    found = {}
    with h5py.File(file) as root:
        root.visititems(lambda name, item: found.update({name: (item.dtype.str, item.shape, item[()].tobytes())})
                        if isinstance(item, h5py.Dataset) else None)
    return found


def ends(directory, epochs=EPOCHS):
    """Returns the results of a finished run that do not depend on time."""
    with zipfile.ZipFile(directory / "model.keras") as archive:
        exported = arrays(io.BytesIO(archive.read("model.weights.h5")))
    timed = ("seconds", "images_per_second", "data_wait")
    history = [{key: value for key, value in json.loads(line).items() if key not in timed}
               for line in (directory / "history.jsonl").read_text().splitlines()]
    return {
        "weights of model.keras": exported,
        "last checkpoint": arrays(directory / "checkpoints" / f"epoch_{epochs:04d}.weights.h5"),
        "saved_model": (directory / "saved_model" / "1" / "variables" / "variables.data-00000-of-00001").read_bytes(),
        "history": history,
        "pictures": [path.read_bytes() for path in sorted((directory / "samples").iterdir())],
        "result": (directory / "result.json").read_text(),
    }


def main(argv=None):
    """Runs the program and returns the exit code, 0 or 1."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output_dir", type=pathlib.Path, required=True, help="new directory for the two runs")
    parser.add_argument("--kills", type=int, default=20, help="number of kills; default 20")
    parser.add_argument("--seed", type=int, default=0, help="random seed of the kill times; default 0")
    options = parser.parse_args(argv)
    output_dir = options.output_dir.resolve()
    output_dir.mkdir(parents=True)
    one_directory, other_directory = output_dir / "uninterrupted", output_dir / "killed"
    with open(output_dir / "log.txt", "w+") as log:
        seconds = train_uninterrupted(one_directory, log)
        done = 0
        for stage, wait in moments(options.kills, seconds, options.seed):
            last = train_and_kill(other_directory, log, stage, wait)
            done += last is not None
            outcome = f"last checkpoint {last}" if last else "the process had ended before"
            print(f"kill {done:2}: {stage:10} +{wait:6.3f} s; {outcome}", flush=True)
        with start(other_directory, log) as process:
            process.wait()
        log.seek(0)
        messages = [line for line in log if line.startswith(("error", "warning", "Traceback"))]
    one, other = ends(one_directory), ends(other_directory)
    equal = {name: one[name] == other[name] for name in one}
    numbers = sum(len(data) // 4 for _, _, data in one["last checkpoint"].values())
    print(f"{done} of {options.kills} kills, exit code {process.returncode}, {len(messages)} errors and warnings, "
          f"{EPOCHS} epochs, {numbers:,} numbers in the last checkpoint; equal bit for bit:")
    for name, same in equal.items():
        print(f"  {name}: {'yes' if same else 'NO'}")
    return int(process.returncode != 0 or not all(equal.values()) or len(messages) > 0 or done < options.kills)


if __name__ == "__main__":
    sys.exit(main())
