# SPDX-License-Identifier: Apache-2.0
"""What the mains share: flags in, one clear line and an exit code out."""

import contextlib
import logging
import os
import sys
import tempfile
import warnings


def run(program, values, flag_error, argv, doc):
    """Parses the flags, calls the program, and turns errors that the user can mend into one line on stderr.

    TensorFlow is loaded in between, so that neither `--help` nor a misspelt flag waits for it.

    Args:
      program: called with the parsed flags.
      values: an absl `FlagValues` of its own, so that several mains can live in one process.
      flag_error: the class of what parsing raises.
      argv: program name and arguments; None is `sys.argv`.
      doc: printed before the flags by `--help`.

    Returns:
      The exit code: 0, 1 after an error, 130 after an interrupt.
    """
    argv = sys.argv if argv is None else argv
    if {"--help", "-help", "-h", "--helpshort", "--helpfull"} & set(argv[1:]):
        _, _, listed = values.get_help(include_special_flags=False).strip().partition("\n")  # below the file's name
        print(f"{doc.strip()}\n\n{listed}")
        return 0
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: _say("warning", message)
        try:
            rest = values(argv)[1:]
            if rest:
                raise ValueError(f"unexpected argument {rest[0]!r}; every option is --name=value")
            _load_tensorflow()
            _quieten_tfds()
            program(values)
        except (ValueError, OSError, flag_error) as error:
            _say("error", error)
            return 1
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return 130
    return 0


def _say(kind, message):
    print(f"{kind}: {' '.join(str(message).split())}", file=sys.stderr)


def _quieten_tfds():
    """Lets it draw its bars on terminals only, and not warn of ordinary things, such as sets of our own."""
    import tensorflow_datasets as tfds
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    logging.getLogger("absl").setLevel(logging.ERROR)


def _load_tensorflow():
    """Imports TensorFlow and lists its devices; what it says of itself meanwhile is shown only if that fails."""
    if "tensorflow" in sys.modules:
        return
    # Its C++ code writes to file descriptor 2 before it reads any log level.
    sys.stderr.flush()
    with tempfile.TemporaryFile() as said, contextlib.ExitStack() as restore:
        stderr = os.dup(2)
        restore.callback(os.close, stderr)
        restore.callback(os.dup2, stderr, 2)
        os.dup2(said.fileno(), 2)
        try:
            import tensorflow as tf
            tf.config.list_physical_devices()
        except BaseException:
            said.seek(0)
            os.write(stderr, said.read())
            raise
