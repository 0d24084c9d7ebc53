# SPDX-License-Identifier: Apache-2.0
"""Writes report.html of a run: one page with scores, learning curve, samples and latents.

    python -m trainers.report --run_dir=runs/digits --data=digits

The page is one file without links to other files. `trainers.train` writes the same page after training. For a run that
is not finished, the page describes the checkpoint with the fewest validation bits per dimension.
"""

import sys
from collections.abc import Sequence

from absl import flags

from . import _command_line


def flag_values() -> flags.FlagValues:
    """Defines the flags of this program and returns them, not yet parsed."""
    values = flags.FlagValues()
    _command_line.define_run_dir(values)
    _command_line.define_data(values)
    return values


def program(options: flags.FlagValues) -> None:
    """Writes the report and prints its path.

    Args:
      options: the parsed flags of this program.

    Raises:
      ValueError: if the run directory holds no trained flow, or the data is not of the kind on which the flow was
        trained.
    """
    from . import data as data_lib
    from .reporting import run_report
    from .runs.run_directory import RunDirectory

    run = RunDirectory(options.run_dir)
    config = run.config()  # raises an error for a wrong directory before the data is loaded, which can take long
    data = data_lib.load_for_run(options.data, config, options.verify_data)
    with data_lib.one_line_if_damaged(data.find_damage):
        print(run_report.write(run, data))


def main(argv: Sequence[str] | None = None) -> int:
    """Writes report.html of a run.

    Args:
      argv: list of str, the program name and the arguments. Default None: `sys.argv`.

    Returns:
      The exit code, an int: 0 after success, 1 after an error, 130 after an interrupt from the keyboard.
    """
    return _command_line.run(program, flag_values(), argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
