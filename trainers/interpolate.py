# SPDX-License-Identifier: Apache-2.0
"""Draws interpolations between images in latent space as a PNG file, one pair of images per row.

    python -m trainers.interpolate --run_dir=runs/digits --data=digits --num=8 --seed=1 --out=runs/between.png

With --attribute=NAME, each row shows changes of one image. The latent of the image moves along a direction in latent
space: toward the class or attribute NAME on the right, and away from NAME on the left. If --steps is odd, the image
itself is in the middle. The direction is the mean latent of the training images that have NAME, minus the mean latent
of the other training images.

With --level=NAME, only the latents of one level of a Glow, a RealNVP or a pyramid change. The last level, "top", holds
the coarsest part of the image.

A class-conditional flow decodes each latent between two images with the class of the nearer image. It decodes each
changed image with the class of the original image.
"""

import sys
from collections.abc import Sequence

from absl import flags

from . import _command_line


def flag_values() -> flags.FlagValues:
    """Defines the flags of this program and returns them, not yet parsed."""
    values = flags.FlagValues()
    _command_line.define_run_dir(values)
    _command_line.define_data(values, images_only=True)
    flags.DEFINE_string("attribute", None, "Name of a class, or of an attribute of celeb_a, toward which images "
                        "are changed. Without this flag, each row interpolates between two images.", flag_values=values)
    _command_line.define_num(values, 8, "Number of rows.")
    flags.DEFINE_string("level", None, "Name of the level whose latents change: 'level 1', 'level 2', ... or 'top'. "
                        "Default: all levels.", flag_values=values)
    flags.DEFINE_integer("steps", 9, "Number of images per row.", lower_bound=2, upper_bound=1000,
                         flag_values=values)
    _command_line.define_seed(values, "Random seed of the choice of images from the test split.")
    _command_line.define_out(values)
    return values


def program(options: flags.FlagValues) -> None:
    """Draws the interpolations and writes the PNG file.

    Args:
      options: the parsed flags of this program.

    Raises:
      ValueError: if the run directory holds no trained flow of images; if the data is not of the kind on which the flow
        was trained; if it has no class or attribute of the given name; if the flow has no level of the given name; or
        if the test split has too few images.
    """
    import numpy as np

    from . import _memory
    from . import data as data_lib
    from .evaluation import latent_paths, scores
    from .reporting import png_files
    from .runs import trained_models
    from .runs.run_directory import RunDirectory

    run = RunDirectory(options.run_dir)
    config = run.config()
    data = data_lib.load_for_run(options.data, config, options.verify_data)
    scores.check_data(config, data, run)
    if not isinstance(data, data_lib.ImageData):
        raise ValueError(f"data: interpolation requires images; {data.name} holds {data.description}")
    names = (*(data.label_names or ()), *data.attribute_names)
    if options.attribute is not None and options.attribute not in names:
        raise ValueError(f"attribute: must be a class or attribute of {data.name}, one of "
                         f"{', '.join(names) or 'none'}; got {options.attribute!r}")
    if options.attribute in data.attribute_names:
        data = data.labeled_by(options.attribute)
    needed = options.num * (1 if options.attribute is not None else 2)
    if needed > data.num_examples("test"):
        raise ValueError(f"num: {options.num} rows require {needed} images; the test split of {data.name} has "
                         f"{data.num_examples('test')}")
    _memory.check_grid(options.num * options.steps, options.steps, *data.image_shape[:2], "num or steps")
    _memory.check(config, options.steps, "steps")
    rows_at_once = max(1, _memory.batch_size(config, options.num * options.steps) // options.steps)
    model, source = trained_models.load(run)
    changed = None if options.level is None else latent_paths.of_level(model, options.level)
    with data_lib.one_line_if_damaged(data.find_damage):
        images, labels = next(iter(data_lib.dataset(
            data, "test", needed, shuffle=True, seed=options.seed, num_bits=config["num_bits"])))
        direction = None if options.attribute is None else latent_paths.class_direction(
            model, data_lib.dataset(data, "train", 256, shuffle=False, num_bits=config["num_bits"]),
            (data.label_names or ()).index(options.attribute))
    if direction is not None and changed is not None:
        direction = np.where(changed, direction, 0.0)
    parts = []
    for start in range(0, options.num, rows_at_once):
        chosen = slice(start, start + rows_at_once)
        if direction is None:
            pairs = [(each[::2][chosen], each[1::2][chosen]) for each in (images, labels)]
            parts.append(latent_paths.interpolate(model, *pairs[0], options.steps, pairs[1], changed))
        else:
            parts.append(latent_paths.manipulate(model, images[chosen], direction, options.steps, labels[chosen]))
    rows = np.concatenate(parts)
    picture = png_files.image_grid(rows.reshape(-1, *rows.shape[2:]), config["num_levels"], columns=options.steps)
    png_files.save_png(picture, options.out)
    print(f"{options.out}: {options.num} rows of {run} ({source})")


def main(argv: Sequence[str] | None = None) -> int:
    """Draws interpolations between images in latent space as a PNG file.

    Args:
      argv: list of str, the program name and the arguments. Default None: `sys.argv`.

    Returns:
      The exit code, an int: 0 after success, 1 after an error, 130 after an interrupt from the keyboard.
    """
    return _command_line.run(program, flag_values(), argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
