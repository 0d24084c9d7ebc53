# SPDX-License-Identifier: Apache-2.0
"""Writes report.html of a run: learning curve, samples and latents, on one page that needs no other file.

    python -m trainers.report --run_dir=runs/digits --data=digits

`trainers.train` writes the same report after training. The report of an unfinished run uses its best checkpoint.
"""

import sys
from collections.abc import Sequence

from absl import flags

from trainers import _command_line


def flag_values() -> flags.FlagValues:
    """Returns the flags of this program."""
    values = flags.FlagValues()
    _command_line.define_run_dir(values)
    _command_line.define_data(values)
    return values


def program(options: flags.FlagValues) -> None:
    """Writes the report and prints its path."""
    from trainers import data as data_lib
    from trainers.reporting import run_report
    from trainers.runs.run_directory import RunDirectory

    run = RunDirectory(options.run_dir)
    config = run.config()  # reports a wrong directory before the data loads, which can take long
    print(run_report.write(run, data_lib.load_for_run(options.data, config)))


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program on a command line, by default `sys.argv`, and returns the exit code."""
    return _command_line.run(program, flag_values(), argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
