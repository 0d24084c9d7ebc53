# SPDX-License-Identifier: Apache-2.0
"""Draws samples of a run's model, as PNG: a grid of images, or a cloud of points.

    python -m trainers.sample --run_dir=runs/digits --num=64 --temperature=0.7 --seed=1 --out=grid.png
"""

import sys

from absl import flags

from trainers import command


def flag_values():
    """The flags, not in absl's global set: the mains share names, and tests run all of them."""
    values = flags.FlagValues()
    flags.DEFINE_string("run_dir", None, "Directory of the run.", flag_values=values)
    flags.DEFINE_integer("num", 64, "How many images or points.", lower_bound=1, flag_values=values)
    flags.DEFINE_float("temperature", 0.7, "Factor on the latents' deviation; below 1 for likelier images.",
                       lower_bound=0.0, flag_values=values)
    flags.DEFINE_integer("seed", 0, "The same seed, the same samples.", lower_bound=0, upper_bound=2**31 - 1,
                         flag_values=values)
    flags.DEFINE_string("out", None, "The PNG to write.", flag_values=values)
    flags.mark_flags_as_required(["run_dir", "out"], values)
    return values


def program(options):
    """Samples as the flags say."""
    from trainers import models, pictures
    from trainers.run_dir import RunDir

    run = RunDir(options.run_dir)
    config = run.config()
    model, source = models.load(run)
    events = model.sample(options.num, temperature=options.temperature, seed=options.seed)
    pictures.save_events(events, config["num_levels"], options.out)
    print(f"{options.out}: {options.num} samples of {run} ({source})")


def main(argv=None):
    """Runs the command line; returns the exit code."""
    return command.run(program, flag_values(), flags.Error, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
