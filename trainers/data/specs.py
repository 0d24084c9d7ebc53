# SPDX-License-Identifier: Apache-2.0
"""Specs: the values of `--data`, such as `digits` or `tfds:cifar10`, and the data sets that they name."""

from collections.abc import Callable, Mapping
from typing import Any

from trainers.data import array_file, digits, idx_files, image_folder, tfds_catalog, toy_densities
from trainers.data.crop_and_resize import CropAndResize
from trainers.data.image_data import ImageData
from trainers.data.vector_data import VectorData

_IMAGE_LOADERS: dict[str, Callable[[str, str | None, CropAndResize], ImageData]] = {
    "idx": idx_files.load, "folder": image_folder.load}
_VECTOR_LOADERS: dict[str, Callable[[str], VectorData]] = {"toy": toy_densities.load, "array": array_file.load}
_KNOWN = "digits, tfds:NAME, idx:DIR, folder:DIR, toy:NAME, array:FILE"


def load(
    spec: str,
    data_dir: str | None = None,
    download: bool = True,
    crop: int | None = None,
    resize: int | None = None,
) -> ImageData | VectorData:
    """Opens the data set that a spec names. The first use of an image set prepares it on disk.

    Args:
      spec: one of
        - `digits`: the 8x8 digits of scikit-learn;
        - `tfds:NAME`: a set of the TFDS catalog, such as `tfds:cifar10` or `tfds:downsampled_imagenet/32x32`;
        - `idx:DIR`: files in the format of MNIST, plain or gzipped, see `trainers.data.idx_files`;
        - `folder:DIR`: PNG and JPEG files, see `trainers.data.image_folder`;
        - `toy:NAME`: a density in the plane, see `trainers.data.plane_densities`;
        - `array:FILE`: a table in a `.npy` or `.csv` file, see `trainers.data.array_file`.
      data_dir: directory of prepared sets. Default None: for `tfds:` the default of TFDS; for other images
        `$TFP_GLOW_DATA_DIR`, or `~/.cache/tfp_glow` if that is not set.
      download: whether TFDS may download a set that is not on disk. Default True.
      crop: int, side in pixels of the central square that is cut out of each image first. Default None: no crop.
      resize: int, side in pixels of the square to which each image is resized then. Default None: no resize.

    Returns:
      An `ImageData`, or for `toy:` and `array:` a `VectorData`.

    Raises:
      ValueError: with a one-line message: if the spec is unknown; if the data is missing or corrupt; if it is neither
        a set of 8-bit images of one size nor a table of finite numbers; if `crop` is larger than an image; if `crop`
        or `resize` is given for vectors.

    Example:

    >>> images = load("digits")
    >>> images.image_shape, images.num_bits, images.num_examples("train")
    ((8, 8, 1), 5, 1350)
    """
    kind, colon, argument = spec.partition(":")
    crop_and_resize = CropAndResize(crop, resize)
    if spec == "digits":
        return digits.load(data_dir, crop_and_resize)
    if kind not in {"tfds", *_IMAGE_LOADERS, *_VECTOR_LOADERS} or not colon:
        raise ValueError(f"data: unknown kind of set {spec!r}; known are {_KNOWN}")
    if not argument:
        raise ValueError(f"data: nothing after the colon in {spec!r}; known are {_KNOWN}")
    if kind == "tfds":
        return tfds_catalog.load(argument, data_dir, download, crop_and_resize)
    if kind in _IMAGE_LOADERS:
        return _IMAGE_LOADERS[kind](argument, data_dir, crop_and_resize)
    if crop_and_resize.output_side:
        raise ValueError(f"{'crop' if crop else 'resize'}: is for images; {spec} has vectors; got {crop or resize}")
    return _VECTOR_LOADERS[kind](argument)


def load_for_run(spec: str, config: Mapping[str, Any]) -> ImageData | VectorData:
    """Opens a data set with the crop and resize of a run.

    Args:
      spec: a spec, see `load`.
      config: the configuration of the run; its entries `crop` and `resize` are used.

    Returns:
      An `ImageData` or a `VectorData`.

    Raises:
      ValueError: in the cases of `load`.
    """
    return load(spec, crop=config.get("crop"), resize=config.get("resize"))
