# SPDX-License-Identifier: Apache-2.0
"""`idx:DIR`: the ubyte files of MNIST and its relatives, plain or gzipped."""

import gzip
import math
import pathlib
import struct
import zlib

import numpy as np

from trainers.data import prepared_sets
from trainers.data.tfds_builders import from_builder
from trainers.data.crop_and_resize import Frame, WHOLE
from trainers.data.image_data import ImageData

_PREFIXES = {"train": "train", "test": "t10k"}


def load(directory: str, data_dir: str | None = None, frame: Frame = WHOLE) -> ImageData:
    """Opens `{train,t10k}-{images-idx3,labels-idx1}-ubyte[.gz]` of one directory.

    Only the train images are required; without `t10k` files the test split is cut from train. The train
    images are stored in the order `store.permutation`, from whose tail validation is cut.

    Args:
      directory: where the files are.
      data_dir: directory of prepared sets, see `trainers.data.store`.
      frame: how images are cropped and resized.

    Returns:
      An `ImageData` with one channel; the classes are 0 to the largest train label.

    Raises:
      ValueError: if a file is missing or corrupt, or images and labels do not fit together.
    """
    root = pathlib.Path(directory).expanduser()
    if not root.is_dir():
        raise ValueError(f"data: idx directory {directory} does not exist")
    files = {
        (split, what): _find(root, f"{prefix}-{what}", rank)
        for split, prefix in _PREFIXES.items()
        for what, rank in (("images", 3), ("labels", 1))
    }
    if files["train", "images"] is None:
        raise ValueError(f"data: {directory} holds no train-images-idx3-ubyte, plain or .gz")
    present = [split for split in _PREFIXES if files[split, "images"]]
    labelled = {split for split in _PREFIXES if files[split, "labels"]}
    if labelled and labelled != set(present):
        raise ValueError(f"data: {directory} has images of {present} but labels of {sorted(labelled)}")

    content = {key: path.read_bytes() for key, path in files.items() if path}
    arrays = {key: parse(raw, 3 if key[1] == "images" else 1, files[key]) for key, raw in content.items()}
    shape = arrays["train", "images"].shape[1:]
    if "test" in present and arrays["test", "images"].shape[1:] != shape:
        raise ValueError(
            f"data: train and test images of {directory} must be one size; "
            f"got {shape} and {arrays['test', 'images'].shape[1:]}"
        )
    num_classes = int(arrays["train", "labels"].max()) + 1 if labelled else None

    def splits():
        examples = {}
        for split in present:
            images, labels = arrays[split, "images"][..., None], arrays.get((split, "labels"))
            ordered = prepared_sets.array_examples(images, labels, num_classes, f"{directory} {split}")
            if split == "train":
                ordered = [(key, ordered[i][1]) for key, i in enumerate(prepared_sets.permutation(len(images)))]
            examples[split] = ordered
        return examples

    builder = prepared_sets.stored(
        "idx",
        prepared_sets.fingerprint(part for key, raw in content.items() for part in (repr(key).encode(), raw)),
        prepared_sets.features((*shape, 1), [str(k) for k in range(num_classes)] if labelled else None),
        splits,
        data_dir,
    )
    return from_builder(builder, root.resolve().name, frame=frame)


def parse(raw: bytes, rank: int, path: pathlib.Path) -> np.ndarray:
    """The uint8 array of rank `rank` in the bytes of an IDX file.

    Format: big-endian int32 magic `0x0800 + rank`, `rank` int32 sizes, then the bytes in row-major order.

    Args:
      raw: content of the file, gzipped if `path` ends in `.gz`.
      rank: 3 for images, 1 for labels.
      path: named in messages.

    Raises:
      ValueError: if the magic number, the sizes or the length is wrong.
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
        raise ValueError(f"data: corrupt idx file {path}: sizes {shape} do not fit its {size} bytes")
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def _find(root, stem, rank):
    """The file of this name under either usual spelling, plain before gzipped, or None."""
    names = [f"{stem}{mark}idx{rank}-ubyte{ending}" for ending in ("", ".gz") for mark in "-."]
    return next((root / name for name in names if (root / name).is_file()), None)
