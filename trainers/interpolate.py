# SPDX-License-Identifier: Apache-2.0
"""Draws what lies between real images in latent space, as PNG, a row a pair of images.

    python -m trainers.interpolate --run_dir=runs/digits --data=digits --num=8 --seed=1 --out=between.png

With --attribute=LABEL each row is one image, in the middle, moved against and along the difference of two mean latents
of the training split: of the images with this label, and of all others.

A class-conditional model decodes what lies between two images as the class of the nearer, and what lies on either side
of one as its class.
"""

import sys

from absl import flags

from trainers import _command_line


def flag_values():
    """The flags, not in absl's global set: the mains share names, and tests run all of them."""
    values = flags.FlagValues()
    flags.DEFINE_string("run_dir", None, "Directory of the run.", flag_values=values)
    flags.DEFINE_string("data", None, "digits, tfds:NAME, idx:DIR or folder:DIR; images of its test split are drawn.",
                        flag_values=values)
    flags.DEFINE_string("attribute", None, "Name of a class, or of one of celeb_a's attributes, to move images "
                        "towards it instead of to each other.", flag_values=values)
    flags.DEFINE_integer("num", 8, "How many rows.", lower_bound=1, flag_values=values)
    flags.DEFINE_integer("steps", 9, "How many images a row.", lower_bound=2, flag_values=values)
    flags.DEFINE_integer("seed", 0, "Of the choice of images.", lower_bound=0, flag_values=values)
    flags.DEFINE_string("out", None, "The PNG to write.", flag_values=values)
    flags.mark_flags_as_required(["run_dir", "data", "out"], values)
    return values


def program(options):
    """Draws as the flags say."""
    from trainers import data as data_lib
    from trainers.evaluation import latent_paths, scores
    from trainers.reporting import pictures
    from trainers.runs import trained_models
    from trainers.runs.run_directory import RunDir

    run = RunDir(options.run_dir)
    config = run.config()
    data = data_lib.load_for_run(options.data, config)
    scores.check_fits(config, data, run)
    if data.num_levels is None:
        raise ValueError(f"data: interpolation is for images; {data.name} has {data.description}")
    known = (*(data.label_names or ()), *data.attribute_names)
    if options.attribute is not None and options.attribute not in known:
        raise ValueError(f"attribute: must be a label of {data.name}, one of {', '.join(known) or 'none'}; "
                         f"got {options.attribute!r}")
    if options.attribute in data.attribute_names:
        data = data.labelled_by(options.attribute)
    needed = options.num * (1 if options.attribute is not None else 2)
    if needed > data.num_examples("test"):
        raise ValueError(f"num: {options.num} rows need {needed} images; test of {data.name} has "
                         f"{data.num_examples('test')}")
    model, source = trained_models.load(run)
    images, own = next(iter(data_lib.dataset(
        data, "test", needed, shuffle=True, seed=options.seed, num_bits=config["num_bits"])))
    if options.attribute is None:
        rows = latent_paths.interpolate(model, images[::2], images[1::2], options.steps, (own[::2], own[1::2]))
    else:
        batches = data_lib.dataset(data, "train", 256, shuffle=False, num_bits=config["num_bits"])
        direction = latent_paths.class_direction(model, batches, data.label_names.index(options.attribute))
        rows = latent_paths.manipulate(model, images, direction, options.steps, own)
    picture = pictures.grid(rows.reshape(-1, *rows.shape[2:]), config["num_levels"], columns=options.steps)
    pictures.save_png(picture, options.out)
    print(f"{options.out}: {options.num} rows of {run} ({source})")


def main(argv=None):
    """Runs the command line; returns the exit code."""
    return _command_line.run(program, flag_values(), flags.Error, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
