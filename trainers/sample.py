# SPDX-License-Identifier: Apache-2.0
"""Draws samples of a run's model, as PNG: a grid of images, or a cloud of points.

    python -m trainers.sample --run_dir=runs/digits --num=64 --temperature=0.7 --seed=1 --out=grid.png

A class-conditional model draws its classes in turn, a column each, or with --label=NAME one class alone. A flow whose
weights are the same at every pixel draws larger images than it was trained on with --enlarge=2.
"""

import sys

from absl import flags

from trainers import _command_line


def flag_values():
    """The flags, not in absl's global set: the mains share names, and tests run all of them."""
    values = flags.FlagValues()
    flags.DEFINE_string("run_dir", None, "Directory of the run.", flag_values=values)
    flags.DEFINE_integer("num", 64, "How many images or points.", lower_bound=1, flag_values=values)
    flags.DEFINE_float("temperature", 0.7, "Factor on the latents' deviation; below 1 for likelier images.",
                       lower_bound=0.0, flag_values=values)
    flags.DEFINE_integer("seed", 0, "The same seed, the same samples.", lower_bound=0, upper_bound=2**31 - 1,
                         flag_values=values)
    flags.DEFINE_string("label", None, "Name of the one class to draw, of a class-conditional model.",
                        flag_values=values)
    flags.DEFINE_integer("enlarge", 1, "So many times the height and width of the images it was trained on, for glow "
                         "and realnvp.", lower_bound=1, flag_values=values)
    flags.DEFINE_string("out", None, "The PNG to write.", flag_values=values)
    flags.mark_flags_as_required(["run_dir", "out"], values)
    return values


def program(options):
    """Samples as the flags say."""
    import tfp_glow
    from trainers.reporting import pictures
    from trainers.runs import class_labels, trained_models
    from trainers.runs.run_directory import RunDir

    run = RunDir(options.run_dir)
    config = run.config()
    label = None if options.label is None else class_labels.named(options.label, config, run)
    model, source = trained_models.load(run)
    if options.enlarge > 1:
        if config["num_levels"] is None:
            raise ValueError(f"enlarge: is for images; got {options.enlarge} for {run}, a run on vectors")
        model = tfp_glow.at_resolution(model, *(options.enlarge * side for side in model.event_shape[:2]))
    condition, columns = (label, None) if label is not None else (
        class_labels.in_turn(model, options.num), class_labels.columns(model, options.num))
    events = model.sample(options.num, temperature=options.temperature, seed=options.seed, condition=condition)
    pictures.save_events(events, config["num_levels"], options.out, columns)
    print(f"{options.out}: {options.num} samples of {run} ({source})")


def main(argv=None):
    """Runs the command line; returns the exit code."""
    return _command_line.run(program, flag_values(), flags.Error, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
