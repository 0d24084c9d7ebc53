# SPDX-License-Identifier: Apache-2.0
"""Adds the model of a run to the page in docs/play, on which users of a browser play with it.

    python -m trainers.page --run_dir=pretrained/digits_glow --data=digits --title="Glow of handwritten digits"
    python -m http.server --directory docs/play

The page runs the model by TensorFlow.js and needs no other server. This program writes the model, some test images, the
direction of each class in latent space, and numbers by which the page checks what it computes, to a folder in
docs/play/models/. It replaces a folder of the same name.
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
    _command_line.define_path(values, "page", "Folder of the page: docs/play of the repository, or a copy of it. "
                              "Default: docs/play.", required=False)
    flags.DEFINE_string("name", None, "Name of the folder of the model. Default: the name of the preset.",
                        flag_values=values)
    flags.DEFINE_string("title", None, "Title of the model on the page. Default: the name of the model.",
                        flag_values=values)
    flags.DEFINE_bool("float16", False, "Store the kernels of convolutions in float16, in half the space. Refused if "
                      "that changes the bits per dimension of a test image by more than 0.001.",
                      flag_values=values)
    _command_line.define_num(values, 40, "Number of test images on the page.", upper_bound=1000)
    _command_line.define_seed(values, "Random seed of the choice of test images.")
    return values


def program(options: flags.FlagValues) -> None:
    """Writes the folder of the model.

    Args:
      options: the parsed flags of this program.

    Raises:
      ValueError: if the run directory holds no trained flow of images; if the data is not of the kind on which the flow
        was trained; if the page cannot show the model; or if `--page` is not the folder of the page.
    """
    import tfp_glow

    from . import data as data_lib
    from .evaluation import scores
    from .reporting import page_folder
    from .runs import trained_models
    from .runs.run_directory import RunDirectory

    run = RunDirectory(options.run_dir)
    config = run.config()
    name = options.name or config["preset"]
    page = options.page or "docs/play"
    page_folder.check_page(page, name)
    if options.title is not None and not (options.title.strip() and options.title.isprintable()):
        raise ValueError(f"title: must have at least one printable character; got {options.title!r}")
    data = data_lib.load_for_run(options.data, config, options.verify_data)
    scores.check_data(config, data, run)
    if not isinstance(data, data_lib.ImageData):
        raise ValueError(f"data: the page shows images; {data.name} holds {data.description}")
    model, source = trained_models.load(run)
    if config["flow"].get("network_dtype"):  # TensorFlow.js computes in float32.
        model = tfp_glow.with_network_dtype(model, "float32")
    with data_lib.one_line_if_damaged(data.find_damage):
        folder = page_folder.write_model(
            page, page_folder.ModelOfPage(name, options.title or name, model, config, data), options.num, options.seed,
            options.float16)
    size = sum(path.stat().st_size for path in folder.rglob("*")) / 1e6
    print(f"{folder}: {run} ({source}), {size:.1f} MB; python -m http.server --directory {page}")


def main(argv: Sequence[str] | None = None) -> int:
    """Adds the model of a run to the page to play with.

    Args:
      argv: list of str, the program name and the arguments. Default None: `sys.argv`.

    Returns:
      The exit code, an int: 0 after success, 1 after an error, 130 after an interrupt from the keyboard.
    """
    return _command_line.run(program, flag_values(), argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
