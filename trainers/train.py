# SPDX-License-Identifier: Apache-2.0
"""Trains a flow, or goes on with a run that was stopped.

    python -m trainers.train --preset=digits_glow --data=digits --output_dir=runs/digits

The same command again resumes from the last checkpoint. A directory of another configuration is refused; --strategy,
--replicas and --jit_compile are not part of it, and --epochs may grow where the learning rate does not depend on it.
At the end the directory holds history.jsonl, loss_curve.png, samples/, model.keras and saved_model/1/.
"""

import sys

from absl import flags

from trainers import command
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
    flags.DEFINE_enum("network_dtype", None, ["float32", "mixed_bfloat16"],
                      "Arithmetic of the flow's networks; parameters and densities stay float32.", flag_values=values)
    flags.DEFINE_bool("resume", True, "Whether to go on with a run that the directory holds; if not, it is refused.",
                      flag_values=values)
    flags.DEFINE_enum("strategy", "auto", ["auto", "none", "mirrored"],
                      "auto: all GPUs if there are several; none: one device; mirrored: copies on --replicas devices.",
                      flag_values=values)
    flags.DEFINE_integer("replicas", None, "For --strategy=mirrored; if there are fewer GPUs, of logical CPU devices.",
                         flag_values=values)
    flags.DEFINE_bool("jit_compile", False, "Whether XLA compiles the training step.", flag_values=values)
    flags.mark_flags_as_required(["preset", "data", "output_dir"], values)
    return values


def program(options):
    """Trains as the flags say."""
    from trainers import data as data_lib
    from trainers import strategy, training
    from trainers.run_dir import RunDir

    preset = get(options.preset, batch_size=options.batch_size, epochs=options.epochs,
                 learning_rate=options.learning_rate)
    scope = strategy.choose(options.strategy, options.replicas)
    strategy.check_batch(preset.batch_size, scope)
    data = data_lib.load(options.data)
    config = training.configure(options.preset, preset, options.data, data, options.seed, options.network_dtype)
    run = RunDir(options.output_dir)
    run.open(config, options.resume)
    with run.locked():
        finished = run.is_finished()
        if not finished:
            verbose = 1 if sys.stdout.isatty() else 2
            training.train(run, config, data, scope, options.jit_compile, verbose)
    result = run.result()
    print(f"{run}: {'was' if finished else 'is'} finished after {result['epochs']} epochs; model.keras has the weights "
          f"of epoch {result['best_epoch']}, {result['val_bits_per_dim']:.4f} bits/dim on validation")


def main(argv=None):
    """Runs the command line; returns the exit code."""
    return command.run(program, flag_values(), flags.Error, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
