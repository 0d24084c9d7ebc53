# SPDX-License-Identifier: Apache-2.0
"""Shared flag definitions and the entry point of the command-line programs."""

import errno
import os
import pathlib
import re
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from absl import flags
from absl import logging as absl_logging

from ._command_names import with_command_names
from .runs import stop_signals

flags.disclaim_key_flags()  # `--help` lists the shared flags with the flags of the program
_OURS = ("tfp_glow", "trainers")
_HELP_FLAGS = frozenset({"--help", "-help", "-h", "--helpshort", "--helpfull"})
MAX_SEED = 2**31 - 1  # TensorFlow's random numbers have seeds of 32 bits.
_OTHER_PICTURES = frozenset({".bmp", ".eps", ".gif", ".jpeg", ".jpg", ".pdf", ".svg", ".tif", ".tiff", ".webp"})
# The flags that reduce the use of memory, in the order in which the message names them.
_MEMORY_FLAGS = ("batch_size", "num", "steps", "enlarge", "resize")
_MANY_VECTORS = 256  # Batches with which `FlowModel` divides the work of dense networks.


def define_path(values: flags.FlagValues, name: str, help_text: str, required: bool = True) -> None:
    """Defines a flag that is a path. A leading `~` is the home directory; an empty path is an error.

    Args:
      values: the flags of the program, to which the flag is added.
      name: str, name of the flag.
      help_text: str, the description that `--help` prints.
      required: bool. If True, a command line without this flag is an error. Default True.
    """
    flags.DEFINE(_PathParser(), name, None, help_text, flag_values=values, required=required)


def define_run_dir(values: flags.FlagValues, help_text: str = "Run directory that trainers.train wrote.") -> None:
    """Defines the flag `--run_dir`, a path. A command line without this flag is an error.

    Args:
      values: the flags of the program, to which the flag is added.
      help_text: str, the description that `--help` prints.
    """
    define_path(values, "run_dir", help_text)


def define_data(values: flags.FlagValues, images_only: bool = False) -> None:
    """Defines the flags `--data`, a string, and `--verify_data`. A command line without `--data` is an error.

    Args:
      values: the flags of the program, to which the flag is added.
      images_only: bool. If True, `--help` lists only the kinds of data that are images. Default False.
    """
    kinds = ("Images: digits, tfds:NAME, idx:DIR or folder:DIR." if images_only else
             "Data set: digits, tfds:NAME, idx:DIR, folder:DIR, toy:NAME or array:FILE.")
    flags.DEFINE_string("data", None, kinds, required=True, flag_values=values)
    flags.DEFINE_bool("verify_data", False, "Read and check all files of the data set first. By default, the files of "
                      "folder:DIR and of stored sets are checked only if their names, sizes or times have changed.",
                      flag_values=values)


def define_seed(values: flags.FlagValues, help_text: str) -> None:
    """Defines the flag `--seed`, an integer in `[0, 2**31)`. The default value of the flag is 0.

    Args:
      values: the flags of the program, to which the flag is added.
      help_text: str, the description that `--help` prints.
    """
    flags.DEFINE_integer("seed", 0, help_text, lower_bound=0, upper_bound=MAX_SEED, flag_values=values)


def define_num(values: flags.FlagValues, default: int, help_text: str, upper_bound: int = 2**31 - 1) -> None:
    """Defines the flag `--num`, an integer of at least 1.

    Args:
      values: the flags of the program, to which the flag is added.
      default: int, the value of the flag if the command line does not contain it.
      help_text: str, the description that `--help` prints.
      upper_bound: int, the greatest number that the flag accepts. Default `2**31 - 1`.
    """
    flags.DEFINE_integer("num", default, help_text, lower_bound=1, upper_bound=upper_bound, flag_values=values)


def define_out(values: flags.FlagValues) -> None:
    """Defines the flag `--out`, the path of a PNG file. A command line without this flag is an error.

    A file that cannot be written is an error before the program starts.

    Args:
      values: the flags of the program, to which the flag is added.
    """
    flags.DEFINE(_PictureParser(), "out", None, "Path of the PNG file to write.", flag_values=values, required=True)


class _PathParser(flags.ArgumentParser[str]):
    """Parses a path: replaces a leading `~` by the home directory, and refuses what cannot be a path."""

    syntactic_help = "a path"

    def parse(self, argument: str) -> str:
        if not argument.strip():
            raise ValueError("must be a path, not empty")
        if not argument.isprintable():
            raise ValueError("must be a path of printable characters")
        return os.path.expanduser(argument)


class _PictureParser(_PathParser):
    """Parses the path of a PNG file, and checks that the file can be written."""

    syntactic_help = "the path of a PNG file"

    def parse(self, argument: str) -> str:
        path = pathlib.Path(super().parse(argument))
        if path.suffix.lower() in _OTHER_PICTURES:
            raise ValueError(f"the picture is written in the format PNG; use the ending .png instead of {path.suffix}")
        try:
            if path.exists() and not path.is_file():
                raise ValueError("is a directory; add the name of a file" if path.is_dir() else "is not a file")
            if not path.parent.is_dir():
                raise ValueError(f"the directory {path.parent} does not exist")
        except OSError as error:
            raise ValueError(error.strerror) from error
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise ValueError(f"the directory {path.parent} is not writable")
        return str(path)


def run(program: Callable[[flags.FlagValues], None], values: flags.FlagValues, argv: Sequence[str] | None,
        description: str, listings: Mapping[str, Callable[[], str]] | None = None,
        divides_batches: Callable[[flags.FlagValues], bool] | None = None) -> int:
    """Parses the flags, runs the program and returns the exit code.

    A `ValueError`, an `OSError`, a missing package, an error in the flags, the end of memory and each warning is
    printed to stderr as one line. Other errors are raised. With `--help`, the function prints the description and the
    flags and does not run the program.

    Args:
      program: function that is called with the parsed flags. It should import TensorFlow in its body, so that `--help`
        and a misspelled flag do not wait for the import.
      values: the flags of the program. They are separate from absl's global flags, so that several programs can run in
        one process.
      argv: list of str, the program name and the arguments. None means `sys.argv`.
      description: str, text that `--help` prints before the flags.
      listings: mapping from a flag such as `"--list_presets"` to a function that returns text. If the command line has
        the flag, the text is printed and the program does not run. Default None: no such flags.
      divides_batches: function of the parsed flags that returns True if `tfp_glow.divide_batches_among_cores` makes the
        program faster. The function is called only in a process of its own. Default None: it does if the flow of
        `--run_dir` is convolutional.

    Returns:
      The exit code, an int: 0 after success, 1 after an error, 130 after an interrupt from the keyboard, 143 after
      SIGTERM.
    """
    arguments = list(sys.argv if argv is None else argv)
    if _HELP_FLAGS & set(arguments[1:]):
        _, _, flags_help = values.get_help(include_special_flags=False).strip().partition("\n")  # omits the file name
        print(with_command_names(f"{description.strip()}\n\n{flags_help}"))
        return 0
    for flag, listing in (listings or {}).items():
        if {flag, flag[1:], f"{flag}=true", f"{flag}=1"} & set(arguments[1:]):
            print(listing())
            return 0
    is_own_process = sys.argv[-len(arguments[1:]):] == arguments[1:]
    with warnings.catch_warnings(), stop_signals.handled(ends_process=is_own_process):
        warnings.simplefilter("ignore", DeprecationWarning)  # These are for developers.
        warnings.showwarning = lambda message, *_, **__: _print_line("warning", message)
        try:
            rest = values(arguments)[1:]
            if rest:
                raise ValueError(f"unexpected argument {rest[0]!r}; write each option as --name=value")
            with stop_signals.not_swallowed():
                _quiet_python_logs()
                if is_own_process and (divides_batches or _run_gains_from_parts)(values):
                    _divide_batches_among_cores()
                program(values)
        except ModuleNotFoundError as error:
            if (error.name or "").split(".")[0] in ("", *_OURS):
                raise
            _print_line("error", f"the package {error.name} is not installed; pip install 'tfp_glow[train]'")
            return 1
        except (ValueError, OSError, flags.Error) as error:
            _print_line("error", error)
            return 1
        except Exception as error:
            message = _memory_message(error, values)
            if message is None:
                raise
            _print_line("error", message)
            return 1
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return stop_signals.INTERRUPTED
        except stop_signals.Terminated as stop:
            print(stop, file=sys.stderr)
            return stop_signals.TERMINATED
    return 0


def _print_line(kind: str, message: object) -> None:
    print(f"{kind}: {with_command_names(' '.join(str(message).split()))}", file=sys.stderr)


def _memory_message(error: Exception, values: flags.FlagValues) -> str | None:
    """Returns a message if memory or disk space ran out, otherwise None."""
    # TensorFlow is not imported by name, because an error in the flags must not wait for its import.
    if not isinstance(error, MemoryError) and type(error).__name__ != "ResourceExhaustedError":
        return None
    text = str(error)
    if os.strerror(errno.ENOSPC) in text:
        return f"{os.strerror(errno.ENOSPC)}: {text.splitlines()[0]}"
    shape = re.search(r"shape ?[\[(][\d, ]*[\])]", text)
    smaller = " or ".join(f"--{name}" for name in _MEMORY_FLAGS if name in values)
    return (f"not enough memory{f' for an array of {shape[0]}' if shape else ''}"
            f"{f'; choose a smaller {smaller}' if smaller else ''}")


def gains_from_parts(flow: Mapping[str, Any], batch_size: int) -> bool:
    """Returns True if batches are divided among cores: if networks work on pixels or patches, or batches are large.

    Args:
      flow: name of the flow under the key `"flow"`, and its arguments.
      batch_size: number of examples per batch.
    """
    return flow.get("flow") in ("glow", "jet", "pixelcnn", "pyramid", "realnvp") or batch_size >= _MANY_VECTORS


def _run_gains_from_parts(values: flags.FlagValues) -> bool:
    from .runs.run_directory import RunDirectory

    try:
        config = RunDirectory(str(values["run_dir"].value)).config()
        return gains_from_parts(config["flow"], config["training"]["batch_size"])
    except (KeyError, ValueError, OSError):
        return False  # The program reports the error.


def _divide_batches_among_cores() -> None:
    import tfp_glow

    tfp_glow.divide_batches_among_cores()


def _quiet_python_logs() -> None:
    """Hides the log lines of absl below the level of errors.

    If stderr is not a terminal, it also hides the progress bars of TensorFlow Datasets.
    """
    import tensorflow_datasets as tfds

    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    absl_logging.set_verbosity(absl_logging.ERROR)
