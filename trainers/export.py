# SPDX-License-Identifier: Apache-2.0
"""Exports a trained flow to another runtime: ONNX Runtime, TensorFlow.js (browsers and Node) or LiteRT (phones).

    python -m trainers.export --run_dir=runs/digits --format=tfjs --out=runs/digits_tfjs
    python -m trainers.export --run_dir=runs/digits --format=onnx --out=runs/digits_onnx --signature=decode

The folder holds the model, signatures.json with names, shapes, dtypes and units of its inputs and outputs, and a short
client that runs it. --format=onnx requires the packages of pip install 'tfp_glow[onnx]'. TensorFlow serves saved_model/
of a run without an export; see trainers.serving.
"""

import sys
from collections.abc import Sequence

from absl import flags

from . import _command_line

_CLIENTS = {"onnx": "pip install numpy onnxruntime && python {}/client.py",
            "tfjs": "npm install @tensorflow/tfjs && node {}/client.mjs",
            "litert": "pip install numpy ai-edge-litert && python {}/client.py"}


def flag_values() -> flags.FlagValues:
    """Defines the flags of this program and returns them, not yet parsed."""
    values = flags.FlagValues()
    _command_line.define_run_dir(values)
    flags.DEFINE_enum("format", None, list(_CLIENTS), "Runtime of the export: ONNX Runtime, TensorFlow.js or LiteRT.",
                      required=True, flag_values=values)
    _command_line.define_path(values, "out", "Folder to write. It must be empty or not exist.")
    # absl continues the help text after a semicolon.
    flags.DEFINE_multi_string("signature", None, "Name of a function to export, such as decode. Default: all that draw "
                              "no random numbers", flag_values=values)
    flags.DEFINE_integer("batch_size", None, "Number of events per call. Default: any number.", lower_bound=1,
                         upper_bound=2**31 - 1, flag_values=values)
    return values


def program(options: flags.FlagValues) -> None:
    """Writes the folder and prints the command that runs its client.

    Args:
      options: the parsed flags of this program.

    Raises:
      ValueError: if the run directory holds no trained flow; if the folder is not empty; if the flow has no signature
        of a given name, or the runtime lacks an operation of it; or if a package that the format requires is missing.
    """
    import tfp_glow

    from .runs import trained_models
    from .runs.run_directory import RunDirectory

    export = {"onnx": tfp_glow.export_onnx, "tfjs": tfp_glow.export_tfjs,
              "litert": tfp_glow.export_litert}[options.format]
    model, source = trained_models.load(RunDirectory(options.run_dir))
    try:
        export(model, options.out, options.signature, options.batch_size)
    except ImportError as error:
        raise ValueError(f"format: {error}") from None
    print(f"{options.out}: {options.format} of {options.run_dir} ({source}); run it with "
          f"{_CLIENTS[options.format].format(options.out)}")


def main(argv: Sequence[str] | None = None) -> int:
    """Exports a trained flow to another runtime.

    Args:
      argv: list of str, the program name and the arguments. Default None: `sys.argv`.

    Returns:
      The exit code, an int: 0 after success, 1 after an error, 130 after an interrupt from the keyboard.
    """
    return _command_line.run(program, flag_values(), argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
