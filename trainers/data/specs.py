# SPDX-License-Identifier: Apache-2.0
"""From a SPEC, the text a user types after `--data=`, to an `ImageData` or `VectorData`."""

from collections.abc import Mapping

from trainers.data import array_file, digits, idx_files, image_folder, tfds_catalog, toy_densities
from trainers.data.crop_and_resize import Frame
from trainers.data.image_data import ImageData
from trainers.data.vector_data import VectorData

_IMAGES = {"tfds": tfds_catalog.load, "idx": idx_files.load, "folder": image_folder.load}
_VECTORS = {"toy": toy_densities.load, "array": array_file.load}
_KNOWN = "digits, tfds:NAME, idx:DIR, folder:DIR, toy:NAME, array:FILE"


def load(
    spec: str,
    data_dir: str | None = None,
    download: bool = True,
    crop: int | None = None,
    resize: int | None = None,
) -> ImageData | VectorData:
    """Opens the set that `spec` names, preparing image sets on first use.

    Args:
      spec: `digits` (scikit-learn's 8x8 digits), `tfds:NAME` (a set of the TFDS catalogue, as in
        `tfds:cifar10` or `tfds:downsampled_imagenet/32x32`), `idx:DIR` (MNIST's ubyte files, optionally
        gzipped), `folder:DIR` (PNG and JPEG files, see `trainers.data.folder`), `toy:NAME` (a density in the
        plane, see `trainers.data.densities`) or `array:FILE` (a table in a `.npy` or `.csv` file, see
        `trainers.data.tabular`).
      data_dir: directory of prepared sets. Default for `tfds:` is TFDS's own; for the other kinds it is
        `$TFP_GLOW_DATA_DIR`, or `~/.cache/tfp_glow`.
      download: whether a `tfds:` set that is not on disk may be downloaded.
      crop: side of the central square that images are cut to first, see `trainers.data.frame`; None for no cut.
      resize: side of the square that images are resized to then, or None.

    Returns:
      An `ImageData`; for `toy:` and `array:` a `VectorData`.

    Raises:
      ValueError: in one line, if the spec is unknown or what it points to is missing, corrupt or not
        one set of 8-bit images of one size, or of vectors of finite numbers; or if `crop` is larger than an image.

    #### Example

    ```python
    digits = load("digits")
    digits.image_shape, digits.num_bits, digits.num_examples("train")   # (8, 8, 1), 5, 1350
    ```
    """
    kind, colon, argument = spec.partition(":")
    frame = Frame(crop, resize)
    if spec == "digits":
        return digits.load(data_dir, frame)
    if kind not in {*_IMAGES, *_VECTORS} or not colon:
        raise ValueError(f"data: unknown kind of set {spec!r}; known are {_KNOWN}")
    if not argument:
        raise ValueError(f"data: nothing after the colon in {spec!r}; known are {_KNOWN}")
    if kind == "tfds":
        return tfds_catalog.load(argument, data_dir, download, frame)
    if kind in _IMAGES:
        return _IMAGES[kind](argument, data_dir, frame)
    if frame.side:
        raise ValueError(f"{'crop' if crop else 'resize'}: is for images; {spec} has vectors; got {crop or resize}")
    return _VECTORS[kind](argument)


def load_for_run(spec: str, config: Mapping) -> ImageData | VectorData:
    """Opens a set as a run of this configuration takes it: `load` with the run's crop and resize."""
    return load(spec, crop=config.get("crop"), resize=config.get("resize"))
