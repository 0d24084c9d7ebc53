# SPDX-License-Identifier: Apache-2.0
"""Draws what a flow in the plane has learned, as PNG: data, samples, learned density and the warped latent grid.

    python -m trainers.figure2d --run_dir=runs/two_moons --out=two_moons.png

The data is the test split of what the run was trained on.
"""

import sys

from absl import flags

from trainers import _command_line


def flag_values():
    """The flags, not in absl's global set: the mains share names, and tests run all of them."""
    values = flags.FlagValues()
    flags.DEFINE_string("run_dir", None, "Directory of a run on vectors of two numbers.", flag_values=values)
    flags.DEFINE_integer("num", 4000, "How many points and samples.", lower_bound=1, flag_values=values)
    flags.DEFINE_integer("seed", 0, "Of the samples.", lower_bound=0, upper_bound=2**31 - 1, flag_values=values)
    flags.DEFINE_string("out", None, "The PNG to write.", flag_values=values)
    flags.mark_flags_as_required(["run_dir", "out"], values)
    return values


def program(options):
    """Draws as the flags say."""
    from trainers import data as data_lib
    from trainers.evaluation import scores
    from trainers.reporting import pictures, plane_figure
    from trainers.runs import trained_models
    from trainers.runs.configuration import event_shape
    from trainers.runs.run_directory import RunDir

    run = RunDir(options.run_dir)
    config = run.config()
    if event_shape(config) != (2,):
        raise ValueError(f"run_dir: must be of a flow over vectors of two numbers; {run} is of one over events of "
                         f"shape {event_shape(config)}")
    data = data_lib.load(config["data"])
    scores.check_fits(config, data, run)
    model, source = trained_models.load(run)
    title = f"{config['preset']} on {config['data']}"
    pictures.save_figure(plane_figure.figure(model, data.arrays["test"], options.num, options.seed, title), options.out)
    print(f"{options.out}: {run} ({source})")


def main(argv=None):
    """Runs the command line; returns the exit code."""
    return _command_line.run(program, flag_values(), flags.Error, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
