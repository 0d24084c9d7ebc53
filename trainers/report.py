# SPDX-License-Identifier: Apache-2.0
"""Writes a run's report.html: its learning curve, samples and latents, on a page that needs no other file.

    python -m trainers.report --run_dir=runs/digits --data=digits

`trainers.train` does so at its end; a run that is not finished is reported on by its best checkpoint.
"""

import sys

from absl import flags

from trainers import _command_line


def flag_values():
    """The flags, not in absl's global set: the mains share names, and tests run all of them."""
    values = flags.FlagValues()
    flags.DEFINE_string("run_dir", None, "Directory of the run.", flag_values=values)
    flags.DEFINE_string("data", None, "digits, tfds:NAME, idx:DIR, folder:DIR, toy:NAME or array:FILE.",
                        flag_values=values)
    flags.mark_flags_as_required(["run_dir", "data"], values)
    return values


def program(options):
    """Writes the report as the flags say."""
    from trainers import data as data_lib
    from trainers.reporting import run_report
    from trainers.runs.run_directory import RunDir

    run = RunDir(options.run_dir)
    config = run.config()  # before the data, which may take long
    print(run_report.write(run, data_lib.load_for_run(options.data, config)))


def main(argv=None):
    """Runs the command line; returns the exit code."""
    return _command_line.run(program, flag_values(), flags.Error, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
