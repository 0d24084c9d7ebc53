# SPDX-License-Identifier: Apache-2.0
"""Draws samples of a trained flow as a PNG file: a grid of images, or a plot of vectors.

    python -m trainers.sample --run_dir=runs/digits --num=64 --temperature=0.7 --seed=1 --out=runs/grid.png

Samples of a class-conditional flow cycle through the classes, so that each column of the grid shows one class.
--label=NAME draws one class only. --enlarge=2 draws images of twice the training height and width. It requires a Glow
or RealNVP, whose weights do not depend on the image size.
"""

import math
import sys
from collections.abc import Sequence

from absl import flags

from . import _command_line

_MAX_FACTOR = 2**16
_MAX_POINTS = 1_000_000  # A plot of more vectors shows no more.


def flag_values() -> flags.FlagValues:
    """Defines the flags of this program and returns them, not yet parsed."""
    values = flags.FlagValues()
    _command_line.define_run_dir(values)
    _command_line.define_num(values, 64, "Number of samples to draw.")
    flags.DEFINE_float("temperature", None, "Sampling temperature: scales the deviation of latents from their mean. "
                       "Default: that of the pictures of the training.", lower_bound=0.0, flag_values=values)
    _command_line.define_seed(values, "Random seed of the samples.")
    flags.DEFINE_string("label", None, "Name of the class to draw; requires a class-conditional flow. Default: all "
                        "classes.", flag_values=values)
    flags.DEFINE_integer("enlarge", 1, "Factor by which height and width of the images grow; above 1 for Glow and "
                         "RealNVP only.", lower_bound=1, upper_bound=_MAX_FACTOR, flag_values=values)
    _command_line.define_out(values)
    return values


def program(options: flags.FlagValues) -> None:
    """Draws samples and writes the PNG file.

    Args:
      options: the parsed flags of this program.

    Raises:
      ValueError: if the run directory holds no trained flow; if the flow has no class of the given name; if the images
        cannot be enlarged; or if the picture or a batch of samples would be too large.
    """
    import tfp_glow

    from . import _memory
    from .evaluation.sampling import sample_in_batches
    from .reporting import png_files
    from .runs import class_labels, trained_models
    from .runs.configuration import event_shape
    from .runs.run_directory import RunDirectory

    if options.temperature is not None and not math.isfinite(options.temperature):
        raise ValueError(f"temperature: must be a finite number; got {options.temperature}")
    run = RunDirectory(options.run_dir)
    config = run.config()
    temperature = config["training"]["temperature"] if options.temperature is None else options.temperature
    label = None if options.label is None else class_labels.label_by_name(options.label, config, run)
    if config["num_levels"] is None:
        if options.enlarge > 1:
            raise ValueError(f"enlarge: requires a flow of images; {run} holds a flow of vectors; "
                             f"got {options.enlarge}")
        if options.num > _MAX_POINTS:
            raise ValueError(f"num: a plot has at most {_MAX_POINTS:,} vectors; got {options.num:,}")
    else:
        height, width = (options.enlarge * side for side in event_shape(config)[:2])
        flag = "num" if options.enlarge == 1 else "num or enlarge"
        _memory.check_grid(options.num, math.ceil(math.sqrt(options.num)), height, width, flag)
        _memory.check(config, _memory.batch_size(config, options.num, options.enlarge), flag, options.enlarge)
    model, source = trained_models.load(run)
    if options.enlarge > 1:
        model = tfp_glow.at_resolution(model, *(options.enlarge * side for side in model.event_shape[:2]))
    condition, columns = (label, None) if label is not None else (
        class_labels.in_turn(model, options.num), class_labels.columns(model, options.num))
    events = sample_in_batches(model, options.num, _memory.batch_size(config, options.num, options.enlarge),
                               temperature, options.seed, condition)
    png_files.save_events(events, config["num_levels"], options.out, columns)
    print(f"{options.out}: {options.num} samples of {run} at temperature {temperature:g} ({source})")


def main(argv: Sequence[str] | None = None) -> int:
    """Draws samples of a trained flow as a PNG file.

    Args:
      argv: list of str, the program name and the arguments. Default None: `sys.argv`.

    Returns:
      The exit code, an int: 0 after success, 1 after an error, 130 after an interrupt from the keyboard.
    """
    return _command_line.run(program, flag_values(), argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
