# SPDX-License-Identifier: Apache-2.0
"""Kills a training run (SIGKILL) again and again, and compares its end with that of a run that was left alone.

    python tests/kill_runs.py --output_dir=runs/kills --kills=20 --seed=0

The moments are drawn by chance from all stages of a process: its start, training, the writing of a checkpoint, and the
export at the end. The same command follows each kill. It writes a line a kill and a summary, and exits with 1 unless
all weights are equal to the bit.
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
# Of 20 kills so many are in each stage; those in the export come last, as nothing follows it.
SHARES = {"start": 5, "training": 6, "checkpoint": 5, "export": 4}


def start(directory, log, *flags):
    """A process that trains in a directory, or goes on there."""
    command = [sys.executable, "-m", "trainers.train", f"--preset={PRESET}", "--data=digits", f"--epochs={EPOCHS}",
               f"--output_dir={directory}", *flags]
    environment = {**os.environ, "TFP_GLOW_DATA_DIR": str(directory.parent / f"data_{directory.name}")}
    return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, env=environment)


class Watch:
    """Tells from a run's files which stage a process that starts now has come to."""

    def __init__(self, directory):
        self._directory, self._began = directory, time.time()
        self._at_start = self.epochs()

    def epochs(self):
        """How many epochs are in the history."""
        history = self._directory / "history.jsonl"
        return history.read_text().count("\n") if history.exists() else 0

    def last_checkpoint(self):
        """The name of the newest checkpoint that is whole."""
        return max((path.stem for path in self._directory.glob("checkpoints/epoch_*.json")), default="none")

    def has_reached(self, stage):
        """Whether the process has come to a stage."""
        if stage == "training":
            return self.epochs() > self._at_start
        marks = {"checkpoint": "checkpoints/.partial.*.weights.h5", "export": "loss_curve.png"}
        return stage == "start" or any(map(self._is_new, self._directory.glob(marks[stage])))

    def _is_new(self, path):
        with contextlib.suppress(FileNotFoundError):
            return path.stat().st_mtime > self._began
        return False


def left_alone(directory, log):
    """Trains without a kill; returns how many seconds each stage took."""
    began, watch, marks = time.monotonic(), Watch(directory), {}
    with start(directory, log) as process:
        while process.poll() is None:
            for stage in ("training", "export"):
                if stage not in marks and watch.has_reached(stage):
                    marks[stage] = time.monotonic()
            time.sleep(0.005)
    if process.returncode:
        raise RuntimeError(f"the run that was left alone ended with {process.returncode}: see {log.name}")
    epoch = (marks["export"] - marks["training"]) / (EPOCHS - 1)
    return {"start": marks["training"] - began, "training": 2 * epoch, "checkpoint": 0.02,
            "export": 0.8 * (time.monotonic() - marks["export"])}


def killed(directory, log, stage, wait):
    """Starts a process and kills it `wait` seconds into a stage; returns the last checkpoint, or None if it ended."""
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
    """The `(stage, wait)` of every kill."""
    chance = random.Random(seed)
    stages = [stage for stage, share in SHARES.items() for _ in range(share)]
    stages = list(itertools.islice(itertools.cycle(stages), number))
    chance.shuffle(stages)
    return [(stage, chance.uniform(0.0, seconds[stage])) for stage in sorted(stages, key="export".__eq__)]


def arrays(file):
    """The content of an HDF5 file, by name."""
    found = {}
    with h5py.File(file) as root:
        root.visititems(lambda name, item: found.update({name: (item.dtype.str, item.shape, item[()].tobytes())})
                        if isinstance(item, h5py.Dataset) else None)
    return found


def ends(directory, epochs=EPOCHS):
    """What two runs must have in common at their end."""
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
    """Runs the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output_dir", type=pathlib.Path, required=True, help="a new directory")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    output_dir = options.output_dir.resolve()
    output_dir.mkdir(parents=True)
    alone, often = output_dir / "alone", output_dir / "killed"
    with open(output_dir / "log.txt", "w+") as log:
        seconds = left_alone(alone, log)
        done = 0
        for stage, wait in moments(options.kills, seconds, options.seed):
            last = killed(often, log, stage, wait)
            done += last is not None
            what = f"last checkpoint {last}" if last else "it had ended before"
            print(f"kill {done:2}: {stage:10} +{wait:6.3f} s; {what}", flush=True)
        with start(often, log) as process:
            process.wait()
        log.seek(0)
        said = [line for line in log if line.startswith(("error", "warning", "Traceback"))]
    one, other = ends(alone), ends(often)
    equal = {name: one[name] == other[name] for name in one}
    numbers = sum(len(data) // 4 for _, _, data in one["last checkpoint"].values())
    print(f"{done} of {options.kills} kills, exit code {process.returncode}, {len(said)} warnings, {EPOCHS} epochs, "
          f"{numbers:,} numbers in the last checkpoint; equal to the bit:")
    for name, same in equal.items():
        print(f"  {name}: {'yes' if same else 'NO'}")
    return int(process.returncode != 0 or not all(equal.values()) or len(said) > 0 or done < options.kills)


if __name__ == "__main__":
    sys.exit(main())
