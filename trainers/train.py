# SPDX-License-Identifier: Apache-2.0
"""Trains a flow, or resumes a run that was stopped.

    python -m trainers.train --preset=digits_glow --data=digits --output_dir=runs/digits

--preset=auto chooses a preset for the data, and prints it with the expected time.

The same command resumes the run from its last checkpoint. A run resumes only with the flags that it started with. The
exceptions are --strategy, --replicas, --jit_compile, --checkpoint_minutes, --max_skipped, --tensorboard and --report.
Without --network_dtype, a run keeps its precision, and with --preset=auto its epochs. --epochs may also increase, if
the preset has a constant learning rate.

The directory of a finished run holds history.jsonl, loss_curve.png, samples/, tensorboard/, report.html, model.keras
and saved_model/1/.
"""

import dataclasses
import math
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from absl import flags

from . import _command_line
from .presets import PRESETS, Preset, automatic, changed, check_data, get, presets_table

_MAX_SIDE = 2**16
_AUTO = "auto"
# Flags that replace fields of the preset.
_CHANGES = ("batch_size", "epochs", "learning_rate", "clip_norm", "ema_momentum", "crop", "resize", "dequantization")


def flag_values() -> flags.FlagValues:
    """Defines the flags of this program and returns them, not yet parsed."""
    values = flags.FlagValues()
    flags.DEFINE_string("preset", None, "Name of the preset: a flow and its training, such as digits_glow; or auto, "
                        "which chooses one for the data and prints it.", required=True, flag_values=values)
    flags.DEFINE_bool("list_presets", False, "Print a table of all presets and exit: flow, data, minutes of training "
                      "and bits per dimension.", flag_values=values)
    _command_line.define_data(values)
    _command_line.define_path(values, "output_dir", "Run directory: a new directory, or the directory of the run to "
                              "resume.")
    _command_line.define_seed(values, "Random seed of the initial weights, the data order, flips and noise.")
    flags.DEFINE_integer("batch_size", None, "Number of examples per step, over all replicas. Default: the value of "
                         "the preset.", flag_values=values)
    flags.DEFINE_integer("epochs", None, "Number of epochs. Default: the value of the preset.", flag_values=values)
    flags.DEFINE_float("learning_rate", None, "Learning rate at the end of the warm-up. Default: the value of the "
                       "preset.", flag_values=values)
    flags.DEFINE_integer("crop", None, "Side in pixels of the central square to which images are cropped; 0 for no "
                         "crop. Default: the value of the preset.", lower_bound=0, upper_bound=_MAX_SIDE,
                         flag_values=values)
    flags.DEFINE_integer("resize", None, "Side in pixels of the square to which images are resized after the crop; "
                         "0 for no change. Default: the value of the preset.", lower_bound=0, upper_bound=_MAX_SIDE,
                         flag_values=values)
    flags.DEFINE_enum("dequantization", None, ["uniform", "variational"], "Dequantization noise: uniform, or "
                      "learned by a second flow (variational). Default: the value of the preset.", flag_values=values)
    flags.DEFINE_enum("network_dtype", None, ["float32", "mixed_bfloat16"], "Precision of the conditioners; "
                      "parameters and densities stay in float32. Default: the value of the preset, or float32 if this "
                      "machine is slow in bfloat16.", flag_values=values)
    flags.DEFINE_bool("resume", True, "Resume the run in the output directory if there is one. With --noresume, such a "
                      "directory is an error.", flag_values=values)
    flags.DEFINE_float("clip_norm", None, "Greatest global norm of the gradient; a gradient with a greater norm is "
                       "scaled down to it. Default: the value of the preset.", flag_values=values)
    flags.DEFINE_float("ema_momentum", None, "Momentum per step of the moving average of the weights, at least 0 and "
                       "less than 1. Default: the value of the preset.", flag_values=values)
    flags.DEFINE_integer("max_skipped", 10, "Number of consecutive steps with a loss or gradient that is not finite, "
                         "after which training stops with an error.", lower_bound=1, upper_bound=2**31 - 1,
                         flag_values=values)
    flags.DEFINE_enum("strategy", "auto", ["auto", "none", "mirrored", "multi_worker"],
                      "Devices for training. none: one device. mirrored: several devices of this process. "
                      "multi_worker: the devices of all processes in TF_CONFIG. auto: multi_worker if TF_CONFIG lists "
                      "several processes, otherwise mirrored if there are several GPUs, otherwise none.",
                      flag_values=values)
    flags.DEFINE_integer("replicas", None, "Number of replicas of the model for --strategy=mirrored. If there are "
                         "fewer GPUs, all replicas run on the CPU. Default: the number of GPUs.", flag_values=values)
    flags.DEFINE_bool("jit_compile", False, "Compile the training step with XLA.", flag_values=values)
    flags.DEFINE_float("checkpoint_minutes", 30.0, "Least number of minutes between checkpoints within an epoch; 0 for "
                       "one checkpoint per step. Each epoch also ends with a checkpoint.", lower_bound=0.0,
                       flag_values=values)
    flags.DEFINE_bool("tensorboard", True, "Write TensorBoard events.", flag_values=values)
    flags.DEFINE_bool("report", True, "Write report.html after training.", flag_values=values)
    return values


def program(options: flags.FlagValues) -> None:
    """Trains a new run or resumes a run, and prints its result.

    Args:
      options: the parsed flags of this program.

    Raises:
      ValueError: if a flag has an invalid value; if the output directory holds other files or another run; if the
        preset cannot be trained on the data; or if too many consecutive steps are skipped.
      OSError: if the disk is full.
    """
    from . import _memory
    from . import data as data_lib
    from .callbacks import tensorboard_events
    from .distribute import strategies, workers
    from .reporting import run_report
    from .runs.atomic_files import room_in
    from .runs.configuration import configure
    from .training import training_loop
    from .training.precision import bfloat16_is_slow

    if math.isnan(options.checkpoint_minutes):
        raise ValueError("checkpoint_minutes: must be a number of at least 0; got nan")
    if os.path.islink(options.output_dir) and not os.path.exists(options.output_dir):
        raise ValueError(f"output_dir: {options.output_dir} is a link to a directory that does not exist")
    changes = {name: getattr(options, name) for name in _CHANGES}
    preset = None if options.preset == _AUTO else get(options.preset, **changes)
    _check_replicas(options, preset)
    if options.tensorboard:
        tensorboard_events.check_installed()
    scope = strategies.choose(options.strategy, options.replicas)  # Before the data: TensorFlow must not have run.
    crop, resize = (preset.crop, preset.resize) if preset else (options.crop, options.resize)
    data = data_lib.load(options.data, crop=crop or None, resize=resize or None, verify=options.verify_data)
    run = workers.run_dir(scope, options.output_dir)
    is_slow: Callable[[], bool] = bfloat16_is_slow
    if workers.are_several(scope):
        with workers.one_line_if_lost(scope, run):
            slow = workers.chief_says(scope, bfloat16_is_slow())  # In all workers, or they would wait for each other.
        is_slow = lambda: slow  # noqa: E731
    preset = preset or changed(_automatic(data, options, run, is_slow), **changes)
    _check_replicas(options, preset)
    strategies.check_batch(preset.batch_size, scope)
    network_dtype = options.network_dtype or _other_dtype(preset, run, is_slow)
    config = configure(options.preset, preset, options.data, data, options.seed, network_dtype)
    _memory.check(config, preset.batch_size, "batch_size")
    with room_in(run), workers.one_line_if_lost(scope, run), data_lib.one_line_if_damaged(data.find_damage):
        config = run.adopted(config)
        run.check(config, options.resume)
        workers.agree_on_config(scope, config)
        finished = run.is_finished(config)
        # Invalid arguments of the flow raise an error here, before the directory exists.
        model = None
        if not finished:
            try:
                model = training_loop.build_model(config, scope)
            except ValueError as error:
                raise ValueError(f"preset: {options.preset} does not fit {data.name}, which has {data.description}: "
                                 f"{error} --crop and --resize change the size of images.") from error
        if model is not None and run.writes:
            check_data(options.preset, data, preset)
        run.open(config, options.resume)
        with run.locked():
            # Another process may have finished the run before this process acquired the lock.
            if model is not None and not run.is_finished(config):
                verbose = 1 if sys.stdout.isatty() else 2
                training_loop.train(run, config, data, scope, model, options.jit_compile, verbose,
                                    options.checkpoint_minutes, options.tensorboard, options.max_skipped)
            if run.writes and options.report and not (finished and run.report_path.exists()):
                run_report.write(run, data)
        # This call is a barrier: without it, the first worker to end would look lost to the others.
        workers.agree_on_config(scope, config)
    result = run.result()
    if not run.writes or result is None:
        return
    epochs = f"{result['epochs']} epoch{'' if result['epochs'] == 1 else 's'}"
    print(f"{run}: {'was already' if finished else 'is'} finished after {epochs}; model.keras holds the weights of "
          f"epoch {result['best_epoch']}, {result['val_bits_per_dim']:.4f} bits/dim on validation")


def main(argv: Sequence[str] | None = None) -> int:
    """Trains a flow, or resumes a run that was stopped.

    Args:
      argv: list of str, the program name and the arguments. Default None: `sys.argv`.

    Returns:
      The exit code, an int: 0 after success, 1 after an error, 130 after an interrupt from the keyboard.
    """
    return _command_line.run(program, flag_values(), argv, __doc__,
                             {"--list_presets": lambda: presets_table(PRESETS)}, _divides_batches)


def _check_replicas(options: flags.FlagValues, preset: Preset | None) -> None:
    if preset and options.replicas is not None and options.replicas > preset.batch_size:
        raise ValueError(f"replicas: must be at most the batch size {preset.batch_size}; got {options.replicas}")


def _automatic(data: Any, options: flags.FlagValues, run: Any, is_slow: Callable[[], bool]) -> Preset:
    """Returns the preset for a data set, and prints it for a new run. A run keeps its number of epochs and of steps.

    Args:
      data: the data set.
      options: the parsed flags.
      run: the run directory.
      is_slow: function that returns True if this machine is slow in bfloat16.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    choice = automatic(data, cores)
    if run.exists():
        config = run.config()
        return dataclasses.replace(choice.preset, epochs=config["epochs"], steps_per_epoch=config["steps_per_epoch"])
    if choice.preset.flow.get("network_dtype") == "mixed_bfloat16" != options.network_dtype and (
            options.network_dtype == "float32" or is_slow()):
        choice = automatic(data, cores, is_slow=True)
    preset = choice.preset
    if preset.steps_per_epoch and options.batch_size:  # As many examples per epoch.
        steps = max(1, preset.steps_per_epoch * preset.batch_size // options.batch_size)
        preset = dataclasses.replace(preset, steps_per_epoch=steps)
    epochs = changed(preset, epochs=options.epochs).epochs
    minutes = choice.minutes * epochs / preset.epochs
    described = f"{epochs} epochs" + (f" of {preset.steps_per_epoch} steps" if preset.steps_per_epoch else "")
    if run.writes:
        on = "one CPU core" if cores == 1 else "two CPU cores"
        print(f"--preset=auto chose {choice.base} with {described} for {data.num_examples('train'):,} "
              f"{data.description}: about {max(1, round(minutes))} minutes on {on}; "
              f"this machine has {cores}. --epochs changes the time, and --preset=NAME the flow; --list_presets lists "
              "names.", flush=True)
    return preset


def _other_dtype(preset: Preset, run: Any, is_slow: Callable[[], bool]) -> str | None:
    """Returns the precision of the networks if it is not that of the preset, and prints it for a new run.

    A run keeps its precision, on every machine. A new run has networks in float32 if bfloat16 would be slow.
    """
    asked = preset.flow.get("network_dtype")
    if run.exists():
        recorded = run.config()["flow"].get("network_dtype")
        return None if recorded == asked else recorded
    if asked != "mixed_bfloat16" or not is_slow():
        return None
    if run.writes:
        print("Networks compute in float32, because this machine is slow in bfloat16. A preset that --list_presets "
              "timed in bfloat16 takes longer here. --network_dtype chooses the precision.", flush=True)
    return "float32"


def _divides_batches(options: flags.FlagValues) -> bool:
    """Returns True if there is one replica, and training steps do not update running statistics."""
    of_vectors = options.data.startswith(("toy:", "array:"))
    preset = get(("toy_nsf" if of_vectors else "cifar10_glow") if options.preset == _AUTO else options.preset)
    flow = preset.flow
    return (_command_line.gains_from_parts(flow, options.batch_size or preset.batch_size)
            and not flow.get("batch_norm", flow["flow"] in ("maf", "realnvp"))
            and options.strategy in ("auto", "none") and "TF_CONFIG" not in os.environ)


if __name__ == "__main__":
    sys.exit(main())
