# SPDX-License-Identifier: Apache-2.0
"""`load`: opens the data set that a spec names. A spec is a value of `--data`, such as `digits` or `tfds:cifar10`."""

import os
from collections.abc import Callable, Mapping
from typing import Any

from . import array_file, digits, idx_files, image_folder, tfds_catalog, toy_densities
from .crop_and_resize import CropAndResize
from .image_data import ImageData
from .vector_data import VectorData

_IMAGE_LOADERS: dict[str, Callable[[str, str | None, CropAndResize, bool], ImageData]] = {
    "idx": idx_files.load, "folder": image_folder.load}
_VECTOR_LOADERS: dict[str, Callable[[str], VectorData]] = {"toy": toy_densities.load, "array": array_file.load}
# The sets that users name most often, without `tfds:`.
_CATALOG = {"mnist", "fashion_mnist", "kmnist", "emnist", "cifar10", "cifar100", "svhn_cropped", "celeb_a",
            "imagenet2012", "downsampled_imagenet"}
_KNOWN = "digits, tfds:NAME, idx:DIR, folder:DIR, toy:NAME, array:FILE"


def load(
    spec: str,
    data_dir: str | None = None,
    download: bool = True,
    crop: int | None = None,
    resize: int | None = None,
    verify: bool = False,
    of_run: bool = False,
) -> ImageData | VectorData:
    """Opens the data set that a spec names.

    The first call stores an image set in `data_dir`, in the format of TFDS, and later calls read the stored images. An
    exception is `folder:DIR` with a directory per split, whose files are read in place.

    Args:
      spec: str, one of
        - `digits`: the 8x8 handwritten digits of scikit-learn;
        - `tfds:NAME`: an image set of the TFDS catalog, such as `tfds:cifar10` or `tfds:downsampled_imagenet/32x32`;
        - `idx:DIR`: a directory of files in the format of MNIST, see `trainers.data.idx_files.load`;
        - `folder:DIR`: a directory of PNG and JPEG files, see `trainers.data.image_folder.load`;
        - `toy:NAME`: samples of a density of two variables: `two_moons`, `rings`, `pinwheel`, `checkerboard`,
          `eight_gaussians`, `two_spirals`, `banana`, `wave` or `swirl`;
        - `array:FILE`: a table of numbers in a `.npy` or `.csv` file, see `trainers.data.array_file.load`.
      data_dir: str, directory in which image sets are stored. Default None: for `tfds:NAME`, the default of TFDS;
        otherwise `$TFP_GLOW_DATA_DIR`, or `~/.cache/tfp_glow` if this variable is not set.
      download: bool. If False, TFDS does not download a set that is not on disk, and `load` raises an error. Default
        True.
      crop: int, side in pixels of the central square that is cut out of each image, at least 1. Default None: the
        largest central square if `resize` is given, otherwise no crop.
      resize: int, side in pixels of the square to which each image is resized after the crop, at least 1. Default None:
        no resize.
      verify: bool. If True, all files of an image set are read and checked. By default, the files of `folder:DIR` and
        of stored sets are checked only if their names, sizes or times have changed. Default False.
      of_run: bool. True if `crop` and `resize` come from the configuration of a run; error messages then say so.
        Default False.

    Returns:
      A `VectorData` for `toy:NAME` and `array:FILE`, otherwise an `ImageData`.

    Raises:
      ValueError: with a message of one line: if the spec is none of the above; if the data does not exist or is
        corrupt; if images have more than 8 bits per channel value; if images differ in size without crop and resize; if
        a table does not hold finite numbers only; if `crop` is larger than an image; or if `crop` or `resize` is given
        for vectors.

    Example:

    >>> images = load("digits")
    >>> images.image_shape, images.num_bits, images.num_examples("train")
    ((8, 8, 1), 5, 1350)
    """
    kind, colon, argument = spec.partition(":")
    crop_and_resize = CropAndResize(crop, resize, of_run)
    if spec == "digits":
        return digits.load(data_dir, crop_and_resize, verify)
    if kind not in {"tfds", *_IMAGE_LOADERS, *_VECTOR_LOADERS} or not colon:
        raise ValueError(f"data: must be one of {_KNOWN}; got {spec!r}{_hint(spec)}")
    if not argument:
        raise ValueError(f"data: must have a name or a path after the colon; got {spec!r}")
    if kind == "tfds":
        return tfds_catalog.load(argument, data_dir, download, crop_and_resize, verify)
    if kind in _IMAGE_LOADERS:
        return _IMAGE_LOADERS[kind](argument, data_dir, crop_and_resize, verify)
    if crop_and_resize.output_side:
        side = "crop" if crop else "resize"
        origin = f", the run's {side}" if of_run else ""
        raise ValueError(f"{side}: is for images; {spec} has vectors; got {crop or resize}{origin}")
    return _VECTOR_LOADERS[kind](argument)


def load_for_run(spec: str, config: Mapping[str, Any], verify: bool = False) -> ImageData | VectorData:
    """Opens a data set with the crop and the resize of a training run.

    Args:
      spec: str, name of the data set, such as `"digits"`, see `load`.
      config: configuration of the run, a dict. Its entries `crop` and `resize` are the arguments of `load`; a missing
        entry means None.
      verify: bool. If True, all files of an image set are read and checked. Default False.

    Returns:
      An `ImageData` or a `VectorData`, as `load` returns.

    Raises:
      ValueError: for the reasons for which `load` raises it.
    """
    return load(spec, crop=config.get("crop"), resize=config.get("resize"), verify=verify, of_run=True)


def _hint(spec: str) -> str:
    """Returns the spec that the user may have meant, for the error message."""
    path = os.path.expanduser(spec)
    if os.path.isdir(path):
        return f"; for the images in this directory, write folder:{spec}"
    if os.path.isfile(path):
        return f"; for a table in this file, write array:{spec}"
    if spec.lower().strip() in _CATALOG:
        return f"; for the set of TensorFlow Datasets, write tfds:{spec.lower().strip()}"
    return ""
