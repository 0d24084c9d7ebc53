# SPDX-License-Identifier: Apache-2.0
"""Trains a flow, or goes on with a run that was stopped.

    python -m trainers.train --preset=digits_glow --data=digits --output_dir=runs/digits

The same command again resumes from the last checkpoint. A directory of another configuration is refused; --strategy,
--replicas, --jit_compile, --checkpoint_minutes and --max_skipped are not part of it, and --epochs may grow where the
learning rate does not depend on it.
At the end the directory holds history.jsonl, loss_curve.png, samples/, tensorboard/, report.html, model.keras and
saved_model/1/.
"""

import sys

from absl import flags

from trainers import _command_line
from trainers.presets import PRESETS, get


def flag_values():
    """The flags, not in absl's global set: the mains share names, and tests run all of them."""
    values = flags.FlagValues()
    flags.DEFINE_enum("preset", None, list(PRESETS), "What to train, and how.", flag_values=values)
    flags.DEFINE_string("data", None, "digits, tfds:NAME, idx:DIR, folder:DIR, toy:NAME or array:FILE.",
                        flag_values=values)
    flags.DEFINE_string("output_dir", None, "Directory of the run: new, or one of the same configuration.",
                        flag_values=values)
    flags.DEFINE_integer("seed", 0, "Of weights, order of the data, flips and noise.", flag_values=values)
    flags.DEFINE_integer("batch_size", None, "Examples a step over all replicas, instead of the preset's.",
                         flag_values=values)
    flags.DEFINE_integer("epochs", None, "Instead of the preset's.", flag_values=values)
    flags.DEFINE_float("learning_rate", None, "Instead of the preset's.", flag_values=values)
    flags.DEFINE_integer("crop", None, "Cut images to their central square of so many pixels a side; 0 for no cut. "
                         "Instead of the preset's.", lower_bound=0, flag_values=values)
    flags.DEFINE_integer("resize", None, "Then resize them to a square of so many pixels a side; 0 for no resize. "
                         "Instead of the preset's.", lower_bound=0, flag_values=values)
    flags.DEFINE_enum("dequantization", None, ["uniform", "variational"], "What is added to pixels: uniform noise, or "
                      "noise from a flow that is trained beside. Instead of the preset's.", flag_values=values)
    flags.DEFINE_enum("network_dtype", None, ["float32", "mixed_bfloat16"],
                      "Arithmetic of the flow's networks; parameters and densities stay float32.", flag_values=values)
    flags.DEFINE_bool("resume", True, "Whether to go on with a run that the directory holds; if not, it is refused.",
                      flag_values=values)
    flags.DEFINE_float("clip_norm", None, "Bound of the gradient's global norm, instead of the preset's.",
                       flag_values=values)
    flags.DEFINE_float("ema_momentum", None, "Of the weights' moving average, instead of the preset's.",
                       flag_values=values)
    flags.DEFINE_integer("max_skipped", 10, "So many steps in a row whose loss or gradient is not finite end the run.",
                         lower_bound=1, flag_values=values)
    flags.DEFINE_enum("strategy", "auto", ["auto", "none", "mirrored", "multi_worker"],
                      "none: one device; mirrored: copies on --replicas devices; multi_worker: in the processes that "
                      "TF_CONFIG names; auto: the last if it does, else on all GPUs if there are several.",
                      flag_values=values)
    flags.DEFINE_integer("replicas", None, "For --strategy=mirrored; if there are fewer GPUs, of logical CPU devices.",
                         flag_values=values)
    flags.DEFINE_bool("jit_compile", False, "Whether XLA compiles the training step.", flag_values=values)
    flags.DEFINE_float("checkpoint_minutes", 30.0, "How often to save within an epoch, besides at its end.",
                       lower_bound=0.0, flag_values=values)
    flags.DEFINE_bool("tensorboard", True, "Whether to write events for TensorBoard.", flag_values=values)
    flags.DEFINE_bool("report", True, "Whether to write report.html at the end.", flag_values=values)
    flags.mark_flags_as_required(["preset", "data", "output_dir"], values)
    return values


def program(options):
    """Trains as the flags say."""
    from trainers import data as data_lib
    from trainers.callbacks import tensorboard
    from trainers.distribute import strategies, workers
    from trainers.reporting import run_report
    from trainers.training import training_loop
    from trainers.runs.atomic_files import room_in

    preset = get(options.preset, batch_size=options.batch_size, epochs=options.epochs,
                 learning_rate=options.learning_rate, clip_norm=options.clip_norm, ema_momentum=options.ema_momentum,
                 crop=options.crop, resize=options.resize, dequantization=options.dequantization)
    if options.tensorboard:
        tensorboard.check_installed()
    scope = strategies.choose(options.strategy, options.replicas)
    strategies.check_batch(preset.batch_size, scope)
    data = data_lib.load(options.data, crop=preset.crop or None, resize=preset.resize or None)
    config = training_loop.configure(options.preset, preset, options.data, data, options.seed, options.network_dtype)
    run = workers.run_dir(scope, options.output_dir)
    with room_in(run), workers.one_line_if_lost(scope, run):
        run.open(config, options.resume)
        workers.agree_on_config(scope, config)
        with run.locked():
            finished = run.is_finished()
            if not finished:
                verbose = 1 if sys.stdout.isatty() else 2
                training_loop.train(run, config, data, scope, options.jit_compile, verbose, options.checkpoint_minutes,
                               options.tensorboard, options.max_skipped)
            if run.writes and options.report and not (finished and run.report_path.exists()):
                run_report.write(run, data)
        workers.agree_on_config(scope, config)  # The first to end would be taken for lost.
    if not run.writes:
        return
    result = run.result()
    print(f"{run}: {'was' if finished else 'is'} finished after {result['epochs']} epochs; model.keras has the weights "
          f"of epoch {result['best_epoch']}, {result['val_bits_per_dim']:.4f} bits/dim on validation")


def main(argv=None):
    """Runs the command line; returns the exit code."""
    return _command_line.run(program, flag_values(), flags.Error, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
