# SPDX-License-Identifier: Apache-2.0
"""Measures bits per dimension, and nats an event, of a run's model on a split.

    python -m trainers.evaluate --run_dir=runs/digits --data=digits --split=test

The last line is JSON. Beside the model stands, for images, a histogram of each pixel by itself, counted on the training
split; and for toy densities the true entropy in nats, where it is known. A class-conditional model is measured given
the true labels, and as a classifier by Bayes' rule.
"""

import json
import math
import sys

from absl import flags

from trainers import _command_line


def flag_values():
    """The flags, not in absl's global set: the mains share names, and tests run all of them."""
    values = flags.FlagValues()
    flags.DEFINE_string("run_dir", None, "Directory of the run.", flag_values=values)
    flags.DEFINE_string("data", None, "digits, tfds:NAME, idx:DIR, folder:DIR, toy:NAME or array:FILE.",
                        flag_values=values)
    flags.DEFINE_enum("split", "test", ["train", "validation", "test"], "Examples to measure.", flag_values=values)
    flags.DEFINE_integer("batch_size", 256, "Examples at once; the result does not depend on it.", lower_bound=1,
                         flag_values=values)
    flags.DEFINE_integer("seed", 0, "Of the uniform noise added to pixels.", lower_bound=0, flag_values=values)
    flags.DEFINE_integer("importance_samples", None, "Measure the importance-weighted bound, too, with so many draws "
                         "of the noise on each image.", lower_bound=1, flag_values=values)
    flags.DEFINE_bool("baseline", True, "Whether to count histograms of images on the training split, too.",
                      flag_values=values)
    flags.DEFINE_bool("classify", True, "Whether to score every class, too, of a class-conditional model.",
                      flag_values=values)
    flags.mark_flags_as_required(["run_dir", "data"], values)
    return values


def program(options):
    """Evaluates as the flags say."""
    from trainers.evaluation import histogram_baseline, scores
    from trainers.runs import class_labels, trained_models
    from trainers import data as data_lib
    from trainers.runs.run_directory import RunDir

    run = RunDir(options.run_dir)
    config = run.config()
    data = data_lib.load_for_run(options.data, config)
    scores.check_fits(config, data, run)
    model, source = trained_models.load(run)

    def batches(split, labels=False):
        return scores.split_batches(config, data, split, options.batch_size, labels)

    conditional = class_labels.are_conditions(config)
    bits, number = scores.bits_per_dim(model, batches(options.split, conditional), options.seed)
    nats = bits * math.prod(data.event_shape) * math.log(2.0)
    result = {"bits_per_dim": bits, "nats": nats, "num_examples": number, "data": options.data, "split": options.split,
              "num_levels": config["num_levels"], "num_bits": config["num_bits"], "seed": options.seed,
              "source": source}
    print(f"{run}: {source}")
    print(f"{number} {data.description} of {data.name}, {options.split}: {bits:.4f} bits/dim, {nats:.4f} nats each")
    if options.importance_samples is not None:
        weighted, _ = scores.bits_per_dim(
            model, batches(options.split, conditional), options.seed, options.importance_samples)
        result |= {"importance_samples": options.importance_samples, "importance_weighted_bits_per_dim": weighted}
        print(f"importance-weighted bound with {options.importance_samples} draws of noise: {weighted:.4f} bits/dim")
    if conditional and options.classify:
        result["accuracy"] = scores.accuracy(model, batches(options.split, conditional), options.seed)
        print(f"the likeliest of {len(config['label_names'])} classes is right for {result['accuracy']:.2%} of them")
    if data.true_entropy is not None:
        result["true_entropy"] = data.true_entropy
        print(f"entropy of the true density: {data.true_entropy:.4f} nats")
    if options.baseline and data.num_levels is not None:
        result["baseline_bits_per_dim"] = histogram_baseline.histogram_bits_per_dim(
            batches("train"), batches(options.split), data.image_shape, config["num_levels"])
        print(f"a histogram of each pixel by itself: {result['baseline_bits_per_dim']:.4f} bits/dim")
    print(json.dumps(result))


def main(argv=None):
    """Runs the command line; returns the exit code."""
    return _command_line.run(program, flag_values(), flags.Error, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
