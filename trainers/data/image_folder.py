# SPDX-License-Identifier: Apache-2.0
"""`folder:DIR`: a directory of PNG and JPEG files.

Three layouts:

- `DIR/train/CLASS/*.png`, perhaps with `DIR/test/...` and `DIR/validation/...`: read in place by
  `tfds.folder_dataset.ImageFolder`;
- `DIR/CLASS/*.png`: labelled, split by us;
- `DIR/*.png`: without labels, split by us.

The last two are stored, bytes as they are, in the order `store.permutation` of their sorted paths; test
and validation are cut from its tail. If every image is grey (modes 1, L, LA) the set has one channel,
else all of it is read as RGB; an alpha channel is dropped.
"""

import concurrent.futures
import io
import pathlib

import PIL.Image
import tensorflow as tf
import tensorflow_datasets as tfds

from trainers.data import prepared_sets
from trainers.data.tfds_builders import from_builder
from trainers.data.crop_and_resize import Frame, WHOLE
from trainers.data.image_data import ImageData

_SUFFIXES = (".jpg", ".jpeg", ".png")  # what ImageFolder reads
_GREY_MODES = ("1", "L", "LA")


def load(directory: str, data_dir: str | None = None, frame: Frame = WHOLE) -> ImageData:
    """Opens a directory of images, having decoded each of them once to be sure of it.

    Args:
      directory: in one of the layouts above.
      data_dir: directory of prepared sets, see `trainers.data.store`.
      frame: how images are cropped and resized; with either, their sizes may differ.

    Returns:
      An `ImageData`; its classes are the sorted names of the class directories.

    Raises:
      ValueError: if there is no image, or one that is corrupt, of 16 bits, smaller than the crop or of another size.
    """
    root = pathlib.Path(directory).expanduser()
    if not root.is_dir():
        raise ValueError(f"data: folder {directory} does not exist")
    name = root.resolve().name
    if (root / "train").is_dir():
        paths = [path for path in sorted(root.glob("*/*/*")) if _is_image(path)]
        loose = next(filter(_is_image, sorted(root.glob("*/*"))), None)
        if loose:
            raise ValueError(f"data: beside {root / 'train'} images must be in SPLIT/CLASS/; found {loose}")
        shape, _ = _inspect(paths, f"{directory}/SPLIT/CLASS", frame)
        builder = tfds.folder_dataset.ImageFolder(str(root), shape=shape, dtype=tf.uint8)
        return from_builder(builder, name, frame=frame)

    loose = [path for path in sorted(root.iterdir()) if _is_image(path)]
    sorted_in = [path for path in sorted(root.glob("*/*")) if _is_image(path)]
    if loose and sorted_in:
        raise ValueError(f"data: images must be all in class folders or none; got {loose[0]}, {sorted_in[0]}")
    paths = loose or sorted_in
    shape, key = _inspect(paths, directory, frame, root)
    label_names = sorted({path.parent.name for path in sorted_in}) or None

    def splits():
        ordered = [paths[i] for i in prepared_sets.permutation(len(paths))]
        label = (lambda path: {"label": path.parent.name}) if label_names else (lambda path: {})
        return {"train": [(key, {"image": str(path), **label(path)}) for key, path in enumerate(ordered)]}

    builder = prepared_sets.stored("folder", key, prepared_sets.features(shape, label_names), splits, data_dir)
    return from_builder(builder, name, frame=frame)


def _is_image(path):
    return path.suffix.lower() in _SUFFIXES and path.is_file()


def _inspect(paths, where, frame, root=None):
    """The shape of these images, None where sizes differ, and, given their root, the fingerprint of paths and bytes."""
    if not paths:
        raise ValueError(f"data: no images ({', '.join(_SUFFIXES)}) in {where}")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        facts = list(pool.map(_decode, paths))
    (width, height), _, _ = facts[0]
    for path, ((w, h), _, _) in zip(paths, facts, strict=True):
        frame.size(h, w, path)
        if (w, h) != facts[0][0]:
            if not frame.side:
                raise ValueError("data: images must all be one size, unless they get it by --crop or --resize; "
                                 f"{paths[0]} is {width}x{height}, {path} is {w}x{h}")
            height = width = None
    grey = all(is_grey for _, is_grey, _ in facts)
    key = [str(path.relative_to(root)) for path in paths] if root else []
    key += [digest for _, _, digest in facts]
    return (height, width, 1 if grey else 3), prepared_sets.fingerprint(part.encode() for part in key)


def _decode(path):
    """Decodes one file in full: its (width, height), whether it is grey, and the hash of its bytes."""
    raw = path.read_bytes()
    # Pillow tells the mode, which TensorFlow does not. The pixels are left to TensorFlow, which reads them
    # later on and refuses files that Pillow accepts, such as a PNG without its end.
    try:
        with PIL.Image.open(io.BytesIO(raw), formats=("PNG", "JPEG")) as image:
            tf.io.decode_image(raw)
    except Exception as error:  # Pillow raises many classes for a broken file, SyntaxError among them
        raise ValueError(f"data: corrupt image {path}: not a whole PNG or JPEG file") from error
    # Pillow calls a 16-bit RGB file RGB, so a PNG's own header has to be asked: byte 24 is its depth.
    if image.mode.startswith(("I", "F")) or (image.format == "PNG" and raw[24] == 16):
        raise ValueError(f"data: images must have 8 bits a channel; {path} has more")
    return image.size, image.mode in _GREY_MODES, prepared_sets.fingerprint([raw])
