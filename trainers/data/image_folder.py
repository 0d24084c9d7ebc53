# SPDX-License-Identifier: Apache-2.0
"""`folder:DIR`: a directory of PNG and JPEG files.

It has one of three layouts:

- `DIR/train/CLASS/*.png`, optionally with `DIR/test/...` and `DIR/validation/...`:
  `tfds.folder_dataset.ImageFolder` reads the files in place;
- `DIR/CLASS/*.png`: images with labels, without splits;
- `DIR/*.png`: images without labels and splits.

In the last two layouts the files are stored, bytes unchanged, in the order `prepared_sets.fixed_permutation` of their
sorted paths. The test and validation splits are cut from the end.

The set has one channel if every image is gray (Pillow's modes 1, L and LA). Otherwise every image is read as RGB. An
alpha channel is dropped.
"""

import concurrent.futures
import io
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import PIL.Image
import tensorflow as tf
import tensorflow_datasets as tfds

from trainers.data import prepared_sets
from trainers.data.crop_and_resize import ORIGINAL_SIZE, CropAndResize
from trainers.data.image_data import ImageData
from trainers.data.tfds_builders import image_data_from_builder

_SUFFIXES = (".jpg", ".jpeg", ".png")  # The endings that ImageFolder reads.
_GRAY_MODES = ("1", "L", "LA")


def load(directory: str, data_dir: str | None = None, crop_and_resize: CropAndResize = ORIGINAL_SIZE) -> ImageData:
    """Opens a directory of images, after it has decoded each of them once to find corrupt files.

    Args:
      directory: path of a directory in one of the layouts of this module.
      data_dir: directory of prepared sets. Default None: see `prepared_sets.cache_dir`.
      crop_and_resize: crop and resize of each image; with either of them, the image sizes may differ. Default: none.

    Returns:
      An `ImageData`. Its classes are the sorted names of the class directories.

    Raises:
      ValueError: if there is no image; if the layout mixes two of the three; if an image is corrupt, has 16 bits per
        channel, is smaller than the crop or has another size than the first; or if `data_dir` is not writable.
    """
    root = pathlib.Path(directory).expanduser()
    if not root.is_dir():
        raise ValueError(f"data: folder {directory} does not exist")
    name = root.resolve().name
    if (root / "train").is_dir():
        paths = [path for path in sorted(root.glob("*/*/*")) if _is_image(path)]
        misplaced = next(filter(_is_image, sorted(root.glob("*/*"))), None)
        if misplaced:
            raise ValueError(f"data: beside {root / 'train'} images must be in SPLIT/CLASS/; found {misplaced}")
        shape, _ = _check_images(paths, f"{directory}/SPLIT/CLASS", crop_and_resize)
        builder = tfds.folder_dataset.ImageFolder(str(root), shape=shape, dtype=tf.uint8)
        return image_data_from_builder(builder, name, crop_and_resize=crop_and_resize)

    unlabeled = [path for path in sorted(root.iterdir()) if _is_image(path)]
    labeled = [path for path in sorted(root.glob("*/*")) if _is_image(path)]
    if unlabeled and labeled:
        raise ValueError("data: either all images or none must be in class folders; "
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

    Returns:
      The shape of the images, with height and width None where sizes differ, and the fingerprint of their bytes and,
      if `root` is given, their paths below it.
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
    """Decodes a whole file, so that a corrupt one is found; keeps its size, its mode and the hash of its bytes."""
    raw = path.read_bytes()
    # Pillow gives the mode, which TensorFlow does not. TensorFlow decodes the pixels, because it reads the file later
    # and rejects some files that Pillow accepts, such as a truncated PNG.
    try:
        with PIL.Image.open(io.BytesIO(raw), formats=("PNG", "JPEG")) as image:
            tf.io.decode_image(raw)
    except Exception as error:  # Pillow raises many classes for a corrupt file, SyntaxError among them.
        raise ValueError(f"data: corrupt image {path}: not a complete PNG or JPEG file") from error
    # Pillow's mode is RGB for 16-bit RGB files, too. Byte 24 of a PNG file is its bit depth.
    if image.mode.startswith(("I", "F")) or (image.format == "PNG" and raw[24] == 16):
        raise ValueError(f"data: images must have 8 bits per channel; {path} has more")
    width, height = image.size
    return _DecodedImage(width, height, image.mode in _GRAY_MODES, prepared_sets.content_fingerprint([raw]))
