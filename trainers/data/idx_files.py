# SPDX-License-Identifier: Apache-2.0
"""The data sets `idx:DIR`: directories of images in the IDX format of MNIST, plain or gzipped."""

import functools
import gzip
import math
import os
import pathlib
import struct
import zlib

import numpy as np

from . import prepared_sets
from .crop_and_resize import ORIGINAL_SIZE, CropAndResize
from .image_data import ImageData
from .tfds_builders import image_data_from_builder

_PREFIXES = {"train": "train", "test": "t10k"}


def load(
    directory: str,
    data_dir: str | None = None,
    crop_and_resize: CropAndResize = ORIGINAL_SIZE,
    verify: bool = False,
) -> ImageData:
    """Opens a directory of IDX files as a data set.

    The directory holds files with the names of MNIST. Each may be gzipped, with the ending `.gz`, and may have a dot
    instead of the hyphen before `idx`:

    - `train-images-idx3-ubyte`: the training images. Only this file is required.
    - `train-labels-idx1-ubyte`: the labels of the training images.
    - `t10k-images-idx3-ubyte` and `t10k-labels-idx1-ubyte`: the test images and their labels.

    The training images are shuffled with a fixed seed, so a directory always gives the same splits. Without test
    images, the test split is the last tenth of the shuffled images. The validation split is the last tenth of the
    remaining images.

    Args:
      directory: str, path of the directory.
      data_dir: str, directory in which the images are stored at the first call, in the format of TFDS. Default None:
        `$TFP_GLOW_DATA_DIR`, or `~/.cache/tfp_glow` if this variable is not set.
      crop_and_resize: `CropAndResize` that is applied to each image. Default: images stay as they are.
      verify: bool. If True, all stored files are read and compared with their hashes. Default False.

    Returns:
      An `ImageData` with one channel and 256 gray levels. Its classes are named `"0"`, `"1"`, ..., up to the largest
      training label. Without label files it has no labels.

    Raises:
      ValueError: if the directory or the training images do not exist; if a file is corrupt; if one split has labels
        and the other one does not; if the numbers of images and labels differ; if a test label is greater than all
        training labels; if training and test images differ in size; if the crop is larger than an image; or if
        `data_dir` is not writable.
    """
    root = pathlib.Path(os.path.expanduser(directory))
    if not root.is_dir():
        raise ValueError(f"data: idx directory {directory} {'is a file' if root.exists() else 'does not exist'}")
    found = {
        (split, content): _find(root, f"{prefix}-{content}", rank)
        for split, prefix in _PREFIXES.items()
        for content, rank in (("images", 3), ("labels", 1))
    }
    files = {key: path for key, path in found.items() if path is not None}
    if ("train", "images") not in files:
        raise ValueError(f"data: {directory} must hold train-images-idx3-ubyte, plain or with the ending .gz")
    present = [split for split in _PREFIXES if (split, "images") in files]
    labeled = [split for split in _PREFIXES if (split, "labels") in files]
    if labeled and labeled != present:
        raise ValueError(f"data: {directory} must have labels for all splits with images, or for none; "
                         f"got images of {', '.join(present)} and labels of {', '.join(labeled)}")

    raw = {key: path.read_bytes() for key, path in files.items()}
    arrays = {key: parse_idx(raw[key], 3 if key[1] == "images" else 1, path) for key, path in files.items()}
    shape = arrays["train", "images"].shape[1:]
    if "test" in present and arrays["test", "images"].shape[1:] != shape:
        raise ValueError(
            f"data: train and test images of {directory} must have the same size; "
            f"got {shape} and {arrays['test', 'images'].shape[1:]}"
        )
    num_classes = int(arrays["train", "labels"].max()) + 1 if labeled else None

    def make_splits() -> dict[str, prepared_sets.KeyedExamples]:
        splits = {}
        for split in present:
            images, labels = arrays[split, "images"][..., None], arrays.get((split, "labels"))
            examples = prepared_sets.keyed_examples(images, labels, num_classes, f"{directory} {split}")
            if split == "train":
                order = prepared_sets.fixed_permutation(len(images))
                examples = [(key, examples[index][1]) for key, index in enumerate(order)]
            splits[split] = examples
        return splits

    builder = prepared_sets.open_or_prepare(
        "idx",
        prepared_sets.content_fingerprint(
            chunk for key, content in raw.items() for chunk in (repr(key).encode(), content)),
        prepared_sets.image_features(
            (*shape, 1), None if num_classes is None else [str(label) for label in range(num_classes)]),
        make_splits,
        data_dir,
        verify,
    )
    return image_data_from_builder(
        builder, root.resolve().name, crop_and_resize=crop_and_resize,
        find_damage=functools.partial(prepared_sets.damage_message, builder))


def parse_idx(raw: bytes, rank: int, path: pathlib.Path) -> np.ndarray:
    """Parses the bytes of an IDX file.

    A file has the magic number `0x0800 + rank`, then `rank` sizes, then the values in row-major order. The magic number
    and the sizes are big-endian 32-bit integers. Each value is one byte.

    Args:
      raw: bytes, content of the file, gzipped if `path` ends in `.gz`.
      rank: int, rank of the array: 3 for images, 1 for labels.
      path: `pathlib.Path` of the file. Only its ending is used, and its name in error messages.

    Returns:
      A uint8 array: `[N, height, width]` for images, `[N]` for labels.

    Raises:
      ValueError: if gzip cannot decompress `raw`, if the magic number is wrong, if a size is 0, or if the number of
        values is not the product of the sizes.
    """
    try:
        data = gzip.decompress(raw) if path.suffix == ".gz" else raw
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"data: corrupt idx file {path}: {error}") from error
    header = 4 * (1 + rank)
    if len(data) < header:
        raise ValueError(f"data: corrupt idx file {path}: {len(data)} bytes are too few for a header")
    magic, *shape = struct.unpack(f">{1 + rank}I", data[:header])
    if magic != 0x0800 + rank:
        raise ValueError(f"data: corrupt idx file {path}: magic number must be {0x0800 + rank}; got {magic}")
    size = len(data) - header
    if 0 in shape or size != math.prod(shape):
        raise ValueError(f"data: corrupt idx file {path}: sizes {shape} do not match its {size} bytes")
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def _find(root: pathlib.Path, stem: str, rank: int) -> pathlib.Path | None:
    """Returns the path of `{stem}-idx{rank}-ubyte`, or of the first spelling of it that exists, or None.

    The other spellings have a dot before `idx`, the ending `.gz`, or both.
    """
    names = [f"{stem}{mark}idx{rank}-ubyte{ending}" for ending in ("", ".gz") for mark in "-."]
    return next((root / name for name in names if (root / name).is_file()), None)
