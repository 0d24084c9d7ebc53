# SPDX-License-Identifier: Apache-2.0
"""Measures bits per dimension and nats per example of a trained flow on one split of a data set.

    python -m trainers.evaluate --run_dir=runs/digits --data=digits --split=test

The last line of the output is a JSON object with all results. For images, the program also measures a baseline that
models each channel value as independent, by its histogram over the training split. For toy densities with a known
entropy, it prints the entropy in nats.

For a class-conditional flow, the bits per dimension are those of the density of an example given its true label. The
program also measures the accuracy of the classifier that Bayes' rule makes of the flow.
"""

import json
import math
import sys
from collections.abc import Sequence

from absl import flags

from . import _command_line


def flag_values() -> flags.FlagValues:
    """Defines the flags of this program and returns them, not yet parsed."""
    values = flags.FlagValues()
    _command_line.define_run_dir(values)
    _command_line.define_data(values)
    flags.DEFINE_enum("split", "test", ["train", "validation", "test"], "Split of the data set to evaluate.",
                      flag_values=values)
    flags.DEFINE_integer("batch_size", 256, "Number of examples per batch. The result does not depend on it.",
                         lower_bound=1, upper_bound=2**31 - 1, flag_values=values)
    _command_line.define_seed(values, "Random seed of the dequantization noise.")
    flags.DEFINE_integer("importance_samples", None, "Number of noise samples per image for the importance-weighted "
                         "bound on bits per dimension. Without this flag, the bound is not computed.", lower_bound=1,
                         upper_bound=100_000, flag_values=values)
    flags.DEFINE_bool("baseline", True, "For images, also evaluate the baseline of one histogram per pixel and "
                      "channel.", flag_values=values)
    flags.DEFINE_bool("classify", True, "For a class-conditional flow, also compute its accuracy as a classifier.",
                      flag_values=values)
    return values


def program(options: flags.FlagValues) -> None:
    """Evaluates the trained flow of a run and prints the results.

    Args:
      options: the parsed flags of this program.

    Raises:
      ValueError: if the run directory holds no trained flow, or the data is not of the kind on which the flow was
        trained.
    """
    import tensorflow as tf

    from . import _memory
    from . import data as data_lib
    from .evaluation import histogram_baseline, scores
    from .runs import class_labels, trained_models
    from .runs.run_directory import RunDirectory

    run = RunDirectory(options.run_dir)
    config = run.config()
    data = data_lib.load_for_run(options.data, config, options.verify_data)
    scores.check_data(config, data, run)
    _memory.check(config, min(options.batch_size, data.num_examples(options.split)), "batch_size")
    model, source = trained_models.load(run)

    def batches(split: str, labels: bool = False) -> tf.data.Dataset:
        return scores.split_batches(config, data, split, options.batch_size, labels)

    with data_lib.one_line_if_damaged(data.find_damage):
        conditional = class_labels.is_class_conditional(config)
        bits, number = scores.bits_per_dim(model, batches(options.split, conditional), options.seed)
        nats = bits * math.prod(data.event_shape) * math.log(2.0)
        result = {"bits_per_dim": bits, "nats": nats, "num_examples": number, "data": options.data,
                  "split": options.split, "num_levels": config["num_levels"], "num_bits": config["num_bits"],
                  "seed": options.seed, "source": source}
        print(f"{run}: {source}")
        print(f"{number} {data.description} of {data.name}, {options.split} split: {bits:.4f} bits/dim, "
              f"{nats:.4f} nats per example")
        if options.importance_samples is not None:
            weighted, _ = scores.bits_per_dim(
                model, batches(options.split, conditional), options.seed, options.importance_samples)
            result |= {"importance_samples": options.importance_samples, "importance_weighted_bits_per_dim": weighted}
            print(f"importance-weighted bound with {options.importance_samples} noise samples per image: "
                  f"{weighted:.4f} bits/dim")
        if conditional and options.classify:
            result["accuracy"] = scores.accuracy(model, batches(options.split, conditional), options.seed)
            print(f"accuracy of classification into {len(config['label_names'])} classes: {result['accuracy']:.2%}")
        if data.true_entropy is not None:
            result["true_entropy"] = data.true_entropy
            print(f"entropy of the true density: {data.true_entropy:.4f} nats")
        if options.baseline and isinstance(data, data_lib.ImageData):
            result["baseline_bits_per_dim"] = histogram_baseline.histogram_bits_per_dim(
                batches("train"), batches(options.split), data.image_shape, config["num_levels"])
            print(f"baseline of one histogram per pixel: {result['baseline_bits_per_dim']:.4f} bits/dim")
    print(json.dumps(result))


def main(argv: Sequence[str] | None = None) -> int:
    """Evaluates the trained flow of a run on one split of a data set.

    Args:
      argv: list of str, the program name and the arguments. Default None: `sys.argv`.

    Returns:
      The exit code, an int: 0 after success, 1 after an error, 130 after an interrupt from the keyboard.
    """
    return _command_line.run(program, flag_values(), argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
