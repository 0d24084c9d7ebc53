# SPDX-License-Identifier: Apache-2.0
"""Makes a finished run's saved_model/ ready for TensorFlow Serving, under another name or in another place.

    python -m trainers.serving --run_dir=runs/digits --name=digits --base_path=/models/digits

`trainers.train` leaves it ready for a server on the same machine, under the preset's name. This writes
saved_model/model.config anew, and warm-up requests where the newest version has none yet, as they need the package
tensorflow-serving-api (`pip install 'tfp_glow[serving]'`).
"""

import sys

from absl import flags

from trainers import _command_line


def flag_values():
    """The flags, not in absl's global set: the mains share names, and tests run all of them."""
    values = flags.FlagValues()
    flags.DEFINE_string("run_dir", None, "Directory of the run.", flag_values=values)
    flags.DEFINE_string("name", None, "The model's name in requests, /v1/models/NAME:predict, instead of the preset's.",
                        flag_values=values)
    flags.DEFINE_string("base_path", None, "Where the server sees saved_model/, such as /models/NAME in a container; "
                        "by default where it is here.", flag_values=values)
    flags.DEFINE_bool("warmup", True, "Whether to add warm-up requests where there are none.", flag_values=values)
    flags.DEFINE_multi_integer("batch_size", [1], "Batch size of warm-up requests; may be given several times.",
                               lower_bound=1, flag_values=values)
    flags.mark_flags_as_required(["run_dir"], values)
    return values


def program(options):
    """Prepares the run as the flags say."""
    import tfp_glow
    from tfp_glow.export.serving_layout import WARMUP
    from trainers.runs.run_directory import RunDir

    run = RunDir(options.run_dir)
    config = run.config()
    result = run.result()
    if result is None:
        raise ValueError(f"run_dir: {run} is not finished, and has no saved_model/ yet")
    newest = run.saved_models / str(result["saved_model"])
    if options.warmup and not (newest / WARMUP).exists():
        try:
            tfp_glow.write_warmup_requests(newest, options.batch_size)
        except ImportError as error:
            raise ValueError(f"{error}, or --nowarmup") from error
    path = tfp_glow.write_model_config(
        run.saved_models, options.name or config["preset"], options.base_path, overwrite=True)
    warm = "with" if (newest / WARMUP).exists() else "without"
    print(f"{newest}: {warm} warm-up requests; tensorflow_model_server --rest_api_port=8501 --model_config_file={path}")


def main(argv=None):
    """Runs the command line; returns the exit code."""
    return _command_line.run(program, flag_values(), flags.Error, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
