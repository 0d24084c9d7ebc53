# SPDX-License-Identifier: Apache-2.0
"""Draws interpolations between images in latent space as a PNG file, one pair of images per row.

    python -m trainers.interpolate --run_dir=runs/digits --data=digits --num=8 --seed=1 --out=between.png

With --attribute=LABEL, a row shows one image in the middle, moved along a direction in latent space to either side. The
direction is the mean latent of the training images with this label, minus the mean latent of all other training images.

A class-conditional flow decodes a latent between two images with the class of the nearer image. It decodes a moved
image with the class of that image.
"""

import sys
from collections.abc import Sequence

from absl import flags

from trainers import _command_line


def flag_values() -> flags.FlagValues:
    """Returns the flags of this program."""
    values = flags.FlagValues()
    _command_line.define_run_dir(values)
    _command_line.define_data(values, images_only=True)
    flags.DEFINE_string("attribute", None, "Name of a class, or of an attribute of celeb_a, towards which to move "
                        "images. Without this flag, rows interpolate between two images.", flag_values=values)
    _command_line.define_num(values, 8, "Number of rows.")
    flags.DEFINE_integer("steps", 9, "Number of images per row.", lower_bound=2, flag_values=values)
    _command_line.define_seed(values, "Random seed for the choice of images from the test split.")
    _command_line.define_out(values)
    return values


def program(options: flags.FlagValues) -> None:
    """Draws interpolations and writes the PNG file."""
    from trainers import data as data_lib
    from trainers.evaluation import latent_paths, scores
    from trainers.reporting import png_files
    from trainers.runs import trained_models
    from trainers.runs.run_directory import RunDirectory

    run = RunDirectory(options.run_dir)
    config = run.config()
    data = data_lib.load_for_run(options.data, config)
    scores.check_data(config, data, run)
    if not isinstance(data, data_lib.ImageData):
        raise ValueError(f"data: interpolation requires images; {data.name} holds {data.description}")
    names = (*(data.label_names or ()), *data.attribute_names)
    if options.attribute is not None and options.attribute not in names:
        raise ValueError(f"attribute: must be a label of {data.name}, one of {', '.join(names) or 'none'}; "
                         f"got {options.attribute!r}")
    if options.attribute in data.attribute_names:
        data = data.labeled_by(options.attribute)
    needed = options.num * (1 if options.attribute is not None else 2)
    if needed > data.num_examples("test"):
        raise ValueError(f"num: {options.num} rows need {needed} images; the test split of {data.name} has "
                         f"{data.num_examples('test')}")
    model, source = trained_models.load(run)
    images, labels = next(iter(data_lib.dataset(
        data, "test", needed, shuffle=True, seed=options.seed, num_bits=config["num_bits"])))
    if options.attribute is None:
        rows = latent_paths.interpolate(model, images[::2], images[1::2], options.steps, (labels[::2], labels[1::2]))
    else:
        batches = data_lib.dataset(data, "train", 256, shuffle=False, num_bits=config["num_bits"])
        direction = latent_paths.class_direction(model, batches, (data.label_names or ()).index(options.attribute))
        rows = latent_paths.manipulate(model, images, direction, options.steps, labels)
    picture = png_files.image_grid(rows.reshape(-1, *rows.shape[2:]), config["num_levels"], columns=options.steps)
    png_files.save_png(picture, options.out)
    print(f"{options.out}: {options.num} rows of {run} ({source})")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program on a command line, by default `sys.argv`, and returns the exit code."""
    return _command_line.run(program, flag_values(), argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
