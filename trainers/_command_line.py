# SPDX-License-Identifier: Apache-2.0
"""Shared flag definitions and the entry point of the command-line programs."""

import sys
import warnings
from collections.abc import Callable, Sequence

from absl import flags
from absl import logging as absl_logging

from ._command_names import with_command_names

flags.disclaim_key_flags()  # `--help` lists the shared flags with the flags of the program
_OURS = ("tfp_glow", "trainers")
_HELP_FLAGS = frozenset({"--help", "-help", "-h", "--helpshort", "--helpfull"})


def define_run_dir(values: flags.FlagValues, help_text: str = "Run directory that trainers.train wrote.") -> None:
    """Defines the flag `--run_dir`, a string. A command line without this flag is an error.

    Args:
      values: the flags of the program, to which the flag is added.
      help_text: str, the description that `--help` prints.
    """
    flags.DEFINE_string("run_dir", None, help_text, required=True, flag_values=values)


def define_data(values: flags.FlagValues, images_only: bool = False) -> None:
    """Defines the flag `--data`, a string. A command line without this flag is an error.

    Args:
      values: the flags of the program, to which the flag is added.
      images_only: bool. If True, `--help` lists only the kinds of data that are images. Default False.
    """
    kinds = ("Images: digits, tfds:NAME, idx:DIR or folder:DIR." if images_only else
             "Data set: digits, tfds:NAME, idx:DIR, folder:DIR, toy:NAME or array:FILE.")
    flags.DEFINE_string("data", None, kinds, required=True, flag_values=values)


def define_seed(values: flags.FlagValues, help_text: str, upper_bound: int | None = None) -> None:
    """Defines the flag `--seed`, an integer of at least 0. The default value of the flag is 0.

    Args:
      values: the flags of the program, to which the flag is added.
      help_text: str, the description that `--help` prints.
      upper_bound: int, the greatest seed that the flag accepts. Default None: no limit.
    """
    flags.DEFINE_integer("seed", 0, help_text, lower_bound=0, upper_bound=upper_bound, flag_values=values)


def define_num(values: flags.FlagValues, default: int, help_text: str) -> None:
    """Defines the flag `--num`, an integer of at least 1.

    Args:
      values: the flags of the program, to which the flag is added.
      default: int, the value of the flag if the command line does not contain it.
      help_text: str, the description that `--help` prints.
    """
    flags.DEFINE_integer("num", default, help_text, lower_bound=1, flag_values=values)


def define_out(values: flags.FlagValues) -> None:
    """Defines the flag `--out`, the path of a PNG file. A command line without this flag is an error.

    Args:
      values: the flags of the program, to which the flag is added.
    """
    flags.DEFINE_string("out", None, "Path of the PNG file to write.", required=True, flag_values=values)


def run(program: Callable[[flags.FlagValues], None], values: flags.FlagValues, argv: Sequence[str] | None,
        description: str) -> int:
    """Parses the flags, runs the program and returns the exit code.

    A `ValueError`, an `OSError`, a missing package, an error in the flags and each warning is printed to stderr as one
    line. Other errors are raised. With `--help`, the function prints the description and the flags and does not run the
    program.

    Args:
      program: function that is called with the parsed flags. It should import TensorFlow in its body, so that `--help`
        and a misspelled flag do not wait for the import.
      values: the flags of the program. They are separate from absl's global flags, so that several programs can run in
        one process.
      argv: list of str, the program name and the arguments. None means `sys.argv`.
      description: str, text that `--help` prints before the flags.

    Returns:
      The exit code, an int: 0 after success, 1 after an error, 130 after an interrupt from the keyboard.
    """
    arguments = list(sys.argv if argv is None else argv)
    if _HELP_FLAGS & set(arguments[1:]):
        _, _, flags_help = values.get_help(include_special_flags=False).strip().partition("\n")  # omits the file name
        print(with_command_names(f"{description.strip()}\n\n{flags_help}"))
        return 0
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: _print_line("warning", message)
        try:
            rest = values(arguments)[1:]
            if rest:
                raise ValueError(f"unexpected argument {rest[0]!r}; write each option as --name=value")
            _quiet_python_logs()
            program(values)
        except ModuleNotFoundError as error:
            if (error.name or "").split(".")[0] in ("", *_OURS):
                raise
            _print_line("error", f"the package {error.name} is not installed; pip install 'tfp_glow[train]'")
            return 1
        except (ValueError, OSError, flags.Error) as error:
            _print_line("error", error)
            return 1
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return 130
    return 0


def _print_line(kind: str, message: object) -> None:
    print(f"{kind}: {with_command_names(' '.join(str(message).split()))}", file=sys.stderr)


def _quiet_python_logs() -> None:
    """Hides the log lines of absl below the level of errors.

    If stderr is not a terminal, it also hides the progress bars of TensorFlow Datasets.
    """
    import tensorflow_datasets as tfds

    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    absl_logging.set_verbosity(absl_logging.ERROR)
