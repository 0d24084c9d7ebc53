# SPDX-License-Identifier: Apache-2.0
"""Draws a trained flow of vectors of two numbers as a PNG file.

    python -m trainers.figure2d --run_dir=runs/two_moons --out=runs/two_moons.png

The four panels show vectors of the test split, samples of the flow, its density, and the curves to which it maps the
lines of a square grid of latents.
"""

import sys
from collections.abc import Sequence
from typing import cast

from absl import flags

from . import _command_line


def flag_values() -> flags.FlagValues:
    """Defines the flags of this program and returns them, not yet parsed."""
    values = flags.FlagValues()
    _command_line.define_run_dir(values, "Run directory of a flow of vectors of two numbers.")
    _command_line.define_num(values, 4000, "Number of vectors of the test split, and of samples, to draw.",
                             upper_bound=1_000_000)
    _command_line.define_seed(values, "Random seed of the samples.")
    _command_line.define_out(values)
    return values


def program(options: flags.FlagValues) -> None:
    """Draws the figure and writes the PNG file.

    Args:
      options: the parsed flags of this program.

    Raises:
      ValueError: if the run directory holds no trained flow of vectors of two numbers.
    """
    from . import data as data_lib
    from .evaluation import scores
    from .reporting import plane_figure, png_files
    from .runs import trained_models
    from .runs.configuration import event_shape
    from .runs.run_directory import RunDirectory

    run = RunDirectory(options.run_dir)
    config = run.config()
    if event_shape(config) != (2,):
        raise ValueError(f"run_dir: must hold a flow of vectors of two numbers; the events of {run} have shape "
                         f"{event_shape(config)}")
    data = cast(data_lib.VectorData, data_lib.load(config["data"]))
    scores.check_data(config, data, run)
    model, source = trained_models.load(run)
    title = f"{config['preset']} on {config['data']}"
    png_files.save_png(plane_figure.figure(model, data.arrays["test"], options.num, options.seed, title), options.out)
    print(f"{options.out}: {run} ({source})")


def main(argv: Sequence[str] | None = None) -> int:
    """Draws a trained flow of vectors of two numbers as a PNG file.

    Args:
      argv: list of str, the program name and the arguments. Default None: `sys.argv`.

    Returns:
      The exit code, an int: 0 after success, 1 after an error, 130 after an interrupt from the keyboard.
    """
    return _command_line.run(program, flag_values(), argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
