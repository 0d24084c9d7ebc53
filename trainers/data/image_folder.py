# SPDX-License-Identifier: Apache-2.0
"""The data sets `folder:DIR`: directories of PNG and JPEG files, with or without classes and splits."""

import concurrent.futures
import io
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import PIL.Image
import tensorflow as tf
import tensorflow_datasets as tfds

from . import prepared_sets
from .crop_and_resize import ORIGINAL_SIZE, CropAndResize
from .image_data import ImageData
from .tfds_builders import image_data_from_builder

_SUFFIXES = (".jpg", ".jpeg", ".png")  # The endings that ImageFolder reads.
_GRAY_MODES = ("1", "L", "LA")


def load(directory: str, data_dir: str | None = None, crop_and_resize: CropAndResize = ORIGINAL_SIZE) -> ImageData:
    """Opens a directory of images as a data set.

    The images are the files with the ending `.png`, `.jpg` or `.jpeg`. The directory has one of three layouts:

    - `DIR/SPLIT/CLASS/*.png`: images with splits and labels. SPLIT is `train`, `validation` or `test`; `train` is
      required. TFDS reads these files in place.
    - `DIR/CLASS/*.png`: images with labels and without splits.
    - `DIR/*.png`: images without labels and splits.

    In the second and the third layout, the files are copied to `data_dir` at the first call, in an order with a fixed
    seed. The same files therefore always give the same splits: the last tenth is the test split, and the last tenth of
    the remaining images is the validation split.

    Each file is decoded at every call, to find corrupt files. If all images are gray, the set has one channel.
    Otherwise all images are read as RGB. Alpha channels are dropped.

    Args:
      directory: str, path of the directory.
      data_dir: str, directory in which the images are stored, in the format of TFDS. Default None:
        `$TFP_GLOW_DATA_DIR`, or `~/.cache/tfp_glow` if this variable is not set.
      crop_and_resize: `CropAndResize` that is applied to each image. With a crop or a resize, the files may differ in
        size. Default: images stay as they are.

    Returns:
      An `ImageData` with 256 gray levels. Its classes are the sorted names of the directories CLASS.

    Raises:
      ValueError: if there are no images or too few for three splits; if images are in the places of two layouts; if an
        image is corrupt, has 16 bits per channel value, or is smaller than the crop; if images differ in size without
        crop and resize; or if `data_dir` is not writable.
    """
    root = pathlib.Path(directory).expanduser()
    if not root.is_dir():
        raise ValueError(f"data: folder {directory} does not exist")
    name = root.resolve().name
    if (root / "train").is_dir():
        paths = [path for path in sorted(root.glob("*/*/*")) if _is_image(path)]
        misplaced = next(filter(_is_image, sorted(root.glob("*/*"))), None)
        if misplaced:
            raise ValueError(f"data: all images must be in SPLIT/CLASS/, because {root / 'train'} exists; "
                             f"found {misplaced}")
        shape, _ = _check_images(paths, f"{directory}/SPLIT/CLASS", crop_and_resize)
        builder = tfds.folder_dataset.ImageFolder(str(root), shape=shape, dtype=tf.uint8)
        return image_data_from_builder(builder, name, crop_and_resize=crop_and_resize)

    unlabeled = [path for path in sorted(root.iterdir()) if _is_image(path)]
    labeled = [path for path in sorted(root.glob("*/*")) if _is_image(path)]
    if unlabeled and labeled:
        raise ValueError("data: either all images or none must be in class directories; "
                         f"got {unlabeled[0]} and {labeled[0]}")
    paths = unlabeled or labeled
    shape, fingerprint = _check_images(paths, directory, crop_and_resize, root)
    label_names = sorted({path.parent.name for path in labeled}) or None

    def make_splits() -> dict[str, prepared_sets.KeyedExamples]:
        examples: prepared_sets.KeyedExamples = []
        for key, index in enumerate(prepared_sets.fixed_permutation(len(paths))):
            path = paths[index]
            label = {"label": path.parent.name} if label_names else {}
            examples.append((key, {"image": str(path), **label}))
        return {"train": examples}

    builder = prepared_sets.open_or_prepare(
        "folder", fingerprint, prepared_sets.image_features(shape, label_names), make_splits, data_dir)
    return image_data_from_builder(builder, name, crop_and_resize=crop_and_resize)


def _is_image(path: pathlib.Path) -> bool:
    return path.suffix.lower() in _SUFFIXES and path.is_file()


def _check_images(
    paths: Sequence[pathlib.Path],
    where: str,
    crop_and_resize: CropAndResize,
    root: pathlib.Path | None = None,
) -> tuple[tuple[int | None, int | None, int], str]:
    """Decodes all images and checks their sizes.

    Args:
      paths: paths of the images.
      where: name of the place of the images, for the error message if there are none.
      crop_and_resize: crop and resize of each image.
      root: directory whose relative paths enter the fingerprint. Default None: the fingerprint omits the paths.

    Returns:
      A pair `(image_shape, fingerprint)`: the shape `(height, width, channels)` before crop and resize, with height and
      width None if the images differ in size, and a hash of the content of all files.
    """
    if not paths:
        raise ValueError(f"data: no images ({', '.join(_SUFFIXES)}) in {where}")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        images = list(pool.map(_decode, paths))
    first = images[0]
    for path, image in zip(paths, images, strict=True):
        crop_and_resize.output_size(image.height, image.width, str(path))
        same_size = (image.width, image.height) == (first.width, first.height)
        if not same_size and not crop_and_resize.output_side:
            raise ValueError(f"data: images must have the same size unless --crop or --resize is given; "
                             f"{paths[0]} is {first.width}x{first.height}, {path} is "
                             f"{image.width}x{image.height}")
    one_size = len({(image.width, image.height) for image in images}) == 1
    height, width = (first.height, first.width) if one_size else (None, None)
    chunks = [str(path.relative_to(root)) for path in paths] if root else []
    chunks += [image.digest for image in images]
    channels = 1 if all(image.is_gray for image in images) else 3
    return (height, width, channels), prepared_sets.content_fingerprint(chunk.encode() for chunk in chunks)


class _DecodedImage(NamedTuple):
    width: int
    height: int
    is_gray: bool
    digest: str


def _decode(path: pathlib.Path) -> _DecodedImage:
    """Decodes a whole image file and returns its size, whether it is gray, and the hash of its bytes."""
    raw = path.read_bytes()
    # Pillow returns the mode, and TensorFlow does not. TensorFlow decodes the pixels, because it reads the file later
    # and rejects some files that Pillow accepts, such as a truncated PNG.
    try:
        with PIL.Image.open(io.BytesIO(raw), formats=("PNG", "JPEG")) as image:
            tf.io.decode_image(raw)
    except Exception as error:  # Pillow raises many exception classes for a corrupt file, even SyntaxError.
        raise ValueError(f"data: corrupt image {path}: not a complete PNG or JPEG file") from error
    # Pillow's mode is RGB also for files with 16 bits per channel value. Byte 24 of a PNG file is its bit depth.
    if image.mode.startswith(("I", "F")) or (image.format == "PNG" and raw[24] == 16):
        raise ValueError(f"data: images must have at most 8 bits per channel value; {path} has more")
    width, height = image.size
    return _DecodedImage(width, height, image.mode in _GRAY_MODES, prepared_sets.content_fingerprint([raw]))
