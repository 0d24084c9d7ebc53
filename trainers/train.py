# SPDX-License-Identifier: Apache-2.0
"""Trains a flow, or resumes a run that was stopped.

    python -m trainers.train --preset=digits_glow --data=digits --output_dir=runs/digits

The same command resumes the run from its last checkpoint. A directory that holds a run of another configuration is
refused. The configuration does not include --strategy, --replicas, --jit_compile, --checkpoint_minutes and
--max_skipped. --epochs may grow if the learning rate does not depend on it.

The directory of a finished run holds history.jsonl, loss_curve.png, samples/, tensorboard/, report.html, model.keras
and saved_model/1/.
"""

import sys
from collections.abc import Sequence

from absl import flags

from trainers import _command_line
from trainers.presets import PRESETS, get


def flag_values() -> flags.FlagValues:
    """Returns the flags of this program."""
    values = flags.FlagValues()
    flags.DEFINE_enum("preset", None, list(PRESETS), "Name of the preset: a flow and its training.", required=True,
                      flag_values=values)
    _command_line.define_data(values)
    flags.DEFINE_string("output_dir", None, "Run directory: a new directory, or a run of the same configuration.",
                        required=True, flag_values=values)
    _command_line.define_seed(values, "Random seed for weights, data order, flips and noise.")
    flags.DEFINE_integer("batch_size", None, "Number of examples per step, over all replicas. Default: the value of "
                         "the preset.", flag_values=values)
    flags.DEFINE_integer("epochs", None, "Number of epochs. Default: the value of the preset.", flag_values=values)
    flags.DEFINE_float("learning_rate", None, "Highest learning rate. Default: the value of the preset.",
                       flag_values=values)
    flags.DEFINE_integer("crop", None, "Side in pixels of the central square to which images are cropped; 0 for no "
                         "crop. Default: the value of the preset.", lower_bound=0, flag_values=values)
    flags.DEFINE_integer("resize", None, "Side in pixels of the square to which images are resized after the crop; "
                         "0 for no change. Default: the value of the preset.", lower_bound=0, flag_values=values)
    flags.DEFINE_enum("dequantization", None, ["uniform", "variational"], "Noise added to pixels: uniform, or learned "
                      "by a second flow (variational). Default: the value of the preset.", flag_values=values)
    flags.DEFINE_enum("network_dtype", None, ["float32", "mixed_bfloat16"], "Precision of the conditioners; "
                      "parameters and densities stay in float32. Default: the value of the preset.",
                      flag_values=values)
    flags.DEFINE_bool("resume", True, "Whether to resume a run that the directory holds. With --noresume, such a "
                      "directory is refused.", flag_values=values)
    flags.DEFINE_float("clip_norm", None, "Upper bound of the global gradient norm. Default: the value of the preset.",
                       flag_values=values)
    flags.DEFINE_float("ema_momentum", None, "Momentum of the moving average of the weights. Default: the value of the "
                       "preset.", flag_values=values)
    flags.DEFINE_integer("max_skipped", 10, "Number of consecutive steps with a loss or gradient that is not finite, "
                         "after which training stops with an error.", lower_bound=1, flag_values=values)
    flags.DEFINE_enum("strategy", "auto", ["auto", "none", "mirrored", "multi_worker"],
                      "Devices for training. none: one device. mirrored: one replica per device. multi_worker: one "
                      "replica per process in TF_CONFIG. auto: multi_worker if TF_CONFIG lists several processes, "
                      "otherwise mirrored if there are several GPUs, otherwise none.", flag_values=values)
    flags.DEFINE_integer("replicas", None, "Number of replicas for --strategy=mirrored. They run on logical CPU "
                         "devices if there are fewer GPUs. Default: the number of GPUs.", flag_values=values)
    flags.DEFINE_bool("jit_compile", False, "Whether to compile the training step with XLA.", flag_values=values)
    flags.DEFINE_float("checkpoint_minutes", 30.0, "Minutes between checkpoints within an epoch; 0 for one checkpoint "
                       "per step. Each epoch also ends with a checkpoint.", lower_bound=0.0, flag_values=values)
    flags.DEFINE_bool("tensorboard", True, "Whether to write TensorBoard events.", flag_values=values)
    flags.DEFINE_bool("report", True, "Whether to write report.html after training.", flag_values=values)
    return values


def program(options: flags.FlagValues) -> None:
    """Trains or resumes a run and prints its result."""
    from trainers import data as data_lib
    from trainers.callbacks import tensorboard_events
    from trainers.distribute import strategies, workers
    from trainers.reporting import run_report
    from trainers.runs.atomic_files import room_in
    from trainers.runs.configuration import configure
    from trainers.training import training_loop

    preset = get(options.preset, batch_size=options.batch_size, epochs=options.epochs,
                 learning_rate=options.learning_rate, clip_norm=options.clip_norm, ema_momentum=options.ema_momentum,
                 crop=options.crop, resize=options.resize, dequantization=options.dequantization)
    if options.tensorboard:
        tensorboard_events.check_installed()
    scope = strategies.choose(options.strategy, options.replicas)
    strategies.check_batch(preset.batch_size, scope)
    data = data_lib.load(options.data, crop=preset.crop or None, resize=preset.resize or None)
    config = configure(options.preset, preset, options.data, data, options.seed, options.network_dtype)
    run = workers.run_dir(scope, options.output_dir)
    with room_in(run), workers.one_line_if_lost(scope, run):
        run.check(config, options.resume)
        workers.agree_on_config(scope, config)
        finished = run.is_finished(config)
        # A flow that rejects its values raises here, before the directory exists.
        model = None if finished else training_loop.build_model(config, scope)
        run.open(config, options.resume)
        with run.locked():
            # Another process may have finished the run before this process took the lock.
            if model is not None and not run.is_finished(config):
                verbose = 1 if sys.stdout.isatty() else 2
                training_loop.train(run, config, data, scope, model, options.jit_compile, verbose,
                                    options.checkpoint_minutes, options.tensorboard, options.max_skipped)
            if run.writes and options.report and not (finished and run.report_path.exists()):
                run_report.write(run, data)
        # Without this barrier, the other workers would report the first worker to end as lost.
        workers.agree_on_config(scope, config)
    result = run.result()
    if not run.writes or result is None:
        return
    epochs = f"{result['epochs']} epoch{'' if result['epochs'] == 1 else 's'}"
    print(f"{run}: {'was already' if finished else 'is'} finished after {epochs}; model.keras holds the weights of "
          f"epoch {result['best_epoch']}, {result['val_bits_per_dim']:.4f} bits/dim on validation")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program on a command line, by default `sys.argv`, and returns the exit code."""
    return _command_line.run(program, flag_values(), argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
