# SPDX-License-Identifier: Apache-2.0
"""`idx:DIR`: image sets in the IDX format of MNIST, plain or gzipped."""

import gzip
import math
import pathlib
import struct
import zlib

import numpy as np

from trainers.data import prepared_sets
from trainers.data.crop_and_resize import ORIGINAL_SIZE, CropAndResize
from trainers.data.image_data import ImageData
from trainers.data.tfds_builders import image_data_from_builder

_PREFIXES = {"train": "train", "test": "t10k"}


def load(directory: str, data_dir: str | None = None, crop_and_resize: CropAndResize = ORIGINAL_SIZE) -> ImageData:
    """Opens the files `{train,t10k}-{images-idx3,labels-idx1}-ubyte[.gz]` of a directory.

    Only the train images are required. Without `t10k` files, the test split is the last tenth of train. The train
    images are stored in the order `prepared_sets.fixed_permutation`, and the validation split is cut from their end.

    Args:
      directory: directory of the files.
      data_dir: directory of prepared sets. Default None: see `prepared_sets.cache_dir`.
      crop_and_resize: crop and resize of each image. Default: none.

    Returns:
      An `ImageData` with one channel. Its classes are the integers from 0 to the largest train label.

    Raises:
      ValueError: if the directory or the train images are missing; if a file is corrupt; if images and labels do not
        match; if train and test images differ in size; if the crop is larger than an image; or if `data_dir` is not
        writable.
    """
    root = pathlib.Path(directory).expanduser()
    if not root.is_dir():
        raise ValueError(f"data: idx directory {directory} does not exist")
    found = {
        (split, content): _find(root, f"{prefix}-{content}", rank)
        for split, prefix in _PREFIXES.items()
        for content, rank in (("images", 3), ("labels", 1))
    }
    files = {key: path for key, path in found.items() if path is not None}
    if ("train", "images") not in files:
        raise ValueError(f"data: {directory} holds no train-images-idx3-ubyte, plain or .gz")
    present = [split for split in _PREFIXES if (split, "images") in files]
    labeled = [split for split in _PREFIXES if (split, "labels") in files]
    if labeled and labeled != present:
        raise ValueError(f"data: {directory} has images of {present} but labels of {labeled}")

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
    )
    return image_data_from_builder(builder, root.resolve().name, crop_and_resize=crop_and_resize)


def parse_idx(raw: bytes, rank: int, path: pathlib.Path) -> np.ndarray:
    """Parses the bytes of an IDX file.

    The format is a big-endian int32 magic number `0x0800 + rank`, then `rank` int32 sizes, then the values, one byte
    per value in row-major order.

    Args:
      raw: content of the file; it is gzipped if `path` ends in `.gz`.
      rank: rank of the array, 3 for images and 1 for labels.
      path: path of the file, for its ending and for error messages.

    Returns:
      A uint8 array of rank `rank`.

    Raises:
      ValueError: if the magic number, the sizes or the length of the file is wrong, or gzip cannot decompress it.
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
    """Returns the path of a file in either usual spelling, plain before gzipped, or None."""
    names = [f"{stem}{mark}idx{rank}-ubyte{ending}" for ending in ("", ".gz") for mark in "-."]
    return next((root / name for name in names if (root / name).is_file()), None)
