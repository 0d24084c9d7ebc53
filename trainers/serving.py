# SPDX-License-Identifier: Apache-2.0
"""Prepares saved_model/ of a finished run for TensorFlow Serving, under another name or at another path.

    python -m trainers.serving --run_dir=runs/digits --name=digits --base_path=/models/digits

saved_model/ contains one SavedModel per version, such as saved_model/1/, and the file model.config. `trainers.train`
writes model.config for a server on the same machine, with the name of the preset as the name of the model. This program
replaces that file. It also adds warm-up requests to the newest version, if that version has none. It prints the command
that starts a server. With --base_path, the command is for a machine that has saved_model/ at that path, and a second
command serves the model on this machine in the container tensorflow/serving.
"""

import math
import shlex
import sys
from collections.abc import Sequence

from absl import flags

from . import _command_line

_MAX_REQUEST_VALUES = 2**26  # The file of requests is read completely, and its messages are limited to 2 GiB.


def flag_values() -> flags.FlagValues:
    """Defines the flags of this program and returns them, not yet parsed."""
    values = flags.FlagValues()
    _command_line.define_run_dir(values, "Run directory of a finished run.")
    flags.DEFINE_string("name", None, "Name of the model in requests, /v1/models/NAME:predict. Default: the name of "
                        "the preset.", flag_values=values)
    flags.DEFINE_string("base_path", None, "Path of saved_model/ on the server, such as /models/NAME in a container. "
                        "Default: its path on this machine.", flag_values=values)
    flags.DEFINE_bool("warmup", True, "Add warm-up requests to the newest version if it has none.", flag_values=values)
    # absl continues the help text after a semicolon.
    flags.DEFINE_multi_integer("batch_size", [1], "Batch size of the warm-up requests", lower_bound=1,
                               upper_bound=2**31 - 1, flag_values=values)
    return values


def program(options: flags.FlagValues) -> None:
    """Writes the files for TensorFlow Serving and prints the command that starts a server.

    Args:
      options: the parsed flags of this program.

    Raises:
      ValueError: if the run is not finished, or if a flag has an invalid value.
    """
    import tfp_glow
    from tfp_glow.export.serving_layout import MODEL_CONFIG_FILE, WARMUP_FILE

    from .runs.configuration import event_shape
    from .runs.run_directory import RunDirectory

    run = RunDirectory(options.run_dir)
    config = run.config()
    result = run.result()
    if result is None:
        raise ValueError(f"run_dir: {run} is not finished and has no saved_model/ yet; finish it with trainers.train")
    for name in ("name", "base_path"):
        value = getattr(options, name)
        if value is not None and not (value.strip() and value.isprintable()):
            raise ValueError(f"{name}: must have at least one printable character; got {value!r}")
    largest = max(options.batch_size) * math.prod(event_shape(config))
    if largest > _MAX_REQUEST_VALUES:
        raise ValueError(f"batch_size: a warm-up request may have at most {_MAX_REQUEST_VALUES:,} values; batches of "
                         f"{max(options.batch_size):,} have {largest:,}")
    newest = run.saved_models / str(result["saved_model"])
    if options.warmup and not (newest / WARMUP_FILE).exists():
        tfp_glow.write_warmup_requests(newest, options.batch_size)
    path = tfp_glow.write_model_config(
        run.saved_models, options.name or config["preset"], options.base_path, overwrite=True)
    warm = "with" if (newest / WARMUP_FILE).exists() else "without"
    print(f"{newest}: {warm} warm-up requests")
    server = "tensorflow_model_server --rest_api_port=8501"
    if not options.base_path:
        print(f"on this machine: {server} {shlex.quote(f'--model_config_file={path}')}")
        return
    config_file = shlex.quote(f"--model_config_file={options.base_path.rstrip('/')}/{MODEL_CONFIG_FILE}")
    print(f"on a machine with a copy of {run.saved_models} at {options.base_path}: {server} {config_file}")
    if options.base_path.startswith("/"):
        folder = shlex.quote(f"{run.saved_models.absolute()}:{options.base_path}:ro")
        print(f"on this machine, in a container: docker run --rm -p 8500:8500 -p 8501:8501 -v {folder} "
              f"tensorflow/serving {config_file}")


def main(argv: Sequence[str] | None = None) -> int:
    """Prepares saved_model/ of a finished run for TensorFlow Serving.

    Args:
      argv: list of str, the program name and the arguments. Default None: `sys.argv`.

    Returns:
      The exit code, an int: 0 after success, 1 after an error, 130 after an interrupt from the keyboard.
    """
    return _command_line.run(program, flag_values(), argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
