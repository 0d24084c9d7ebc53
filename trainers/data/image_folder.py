# SPDX-License-Identifier: Apache-2.0
"""The data sets `folder:DIR`: directories of PNG and JPEG files, with or without classes and splits."""

import concurrent.futures
import contextlib
import functools
import io
import json
import os
import pathlib
import random
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import PIL.Image
import tensorflow as tf

from . import prepared_sets
from .crop_and_resize import ORIGINAL_SIZE, CropAndResize
from .image_data import SPLITS, ImageData
from .tfds_builders import image_data_from_builder, image_data_from_files

_SUFFIXES = (".jpg", ".jpeg", ".png")
_OTHER_SUFFIXES = (".avif", ".bmp", ".gif", ".heic", ".jp2", ".ppm", ".tif", ".tiff", ".webp")
_GRAY_MODES = ("1", "L", "LA")
# Names of the directories of a split, in lower case.
_SPLIT_NAMES = {"train": "train", "training": "train", "validation": "validation", "val": "validation",
                "valid": "validation", "dev": "validation", "test": "test", "testing": "test"}
# Directories that archive programs and file servers add. Hidden directories and files are left out, too.
_LEFT_OUT = ("__macosx", "@eadir", "lost+found")
_MAX_DEPTH = 4  # Deeper files are not searched. A loop of links to directories is therefore harmless.


def load(
    directory: str,
    data_dir: str | None = None,
    crop_and_resize: CropAndResize = ORIGINAL_SIZE,
    verify: bool = False,
) -> ImageData:
    """Opens a directory of images as a data set.

    The images are the files with the ending `.png`, `.jpg` or `.jpeg`. Hidden files and directories are left out, and
    so are the directories `__MACOSX`, `@eaDir` and `lost+found`. The directory has one of three layouts:

    - `DIR/SPLIT/CLASS/*.png`: images with splits and labels. SPLIT is `train` (or `training`), `validation` (or `val`,
      `valid`, `dev`) or `test` (or `testing`), in lower or upper case; `train` is required. These files are read in
      place.
    - `DIR/CLASS/*.png`: images with labels and without splits.
    - `DIR/*.png`: images without labels and splits.

    In the second and the third layout, the files are copied to `data_dir` at the first call, in an order with a fixed
    seed. The same files therefore always give the same splits: the last tenth is the test split, and the last tenth of
    the remaining images is the validation split.

    Each file is decoded at the first call, to find corrupt files, and again if the name, the size or a time of a file
    has changed. If all images are gray, the set has one channel. Otherwise all images are read as RGB. Alpha channels
    are dropped.

    Args:
      directory: str, path of the directory.
      data_dir: str, directory in which the images are stored, in the format of TFDS, and the results of the checks.
        Default None: `$TFP_GLOW_DATA_DIR`, or `~/.cache/tfp_glow` if this variable is not set.
      crop_and_resize: `CropAndResize` that is applied to each image. With a crop or a resize, the files may differ in
        size. Default: images stay as they are.
      verify: bool. If True, all files are decoded, and the stored files are compared with their hashes. Default False.

    Returns:
      An `ImageData` with 256 gray levels. Its classes are the sorted names of the directories CLASS.

    Raises:
      ValueError: if there are no images or too few for three splits; if images are in the places of two layouts; if a
        split has two directories; if an image is corrupt, has 16 bits per channel value, or is smaller than the crop;
        if images differ in size without crop and resize; or if `data_dir` is not writable.
    """
    root = pathlib.Path(os.path.expanduser(directory))
    if not root.is_dir():
        raise ValueError(f"data: folder {directory} {'is a file' if root.exists() else 'does not exist'}")
    files = _find_images(root)
    name = root.resolve().name
    split_directories = _split_directories(root)
    if "train" in split_directories:
        used = _in_splits(root, files, split_directories)
        content = _check_images(used, f"{directory}/SPLIT/CLASS", data_dir, verify)
        content.check_sizes(crop_and_resize)
        classes = sorted({file.parts[1] for file in used})
        return image_data_from_files(
            _labeled_paths(root, used, classes, split_directories),
            prepared_sets.image_features(content.shape, classes), name, crop_and_resize,
            functools.partial(_find_damage, used))

    unlabeled = [file for file in files if len(file.parts) == 1]
    labeled = [file for file in files if len(file.parts) == 2]
    deep = next((file for file in files if len(file.parts) > 2), None)
    if deep:
        raise ValueError(f"data: images must be in {root}, in {root}/CLASS or in {root}/SPLIT/CLASS with a directory "
                         f"{root / 'train'}; found {deep.path}")
    if unlabeled and labeled:
        raise ValueError("data: either all images or none must be in class directories; "
                         f"got {unlabeled[0].path} and {labeled[0].path}")
    used = unlabeled or labeled
    label_names = sorted({file.parts[0] for file in labeled}) or None
    if label_names and all(label.lower() in _SPLIT_NAMES for label in label_names):
        warnings.warn(f"data: {root} has no directory named train; the directories {', '.join(label_names)} are read "
                      "as classes", stacklevel=2)
    content = _check_images(used, directory, data_dir, verify)
    content.check_sizes(crop_and_resize)

    def make_splits() -> dict[str, prepared_sets.KeyedExamples]:
        examples: prepared_sets.KeyedExamples = []
        for key, index in enumerate(prepared_sets.fixed_permutation(len(used))):
            file = used[index]
            label = {"label": file.parts[0]} if label_names else {}
            examples.append((key, {"image": file.path, **label}))
        return {"train": examples}

    builder = prepared_sets.open_or_prepare(
        "folder", content.fingerprint, prepared_sets.image_features(content.shape, label_names), make_splits, data_dir,
        verify)
    return image_data_from_builder(builder, name, crop_and_resize=crop_and_resize,
                                   find_damage=functools.partial(prepared_sets.damage_message, builder))


class _File(NamedTuple):
    """An image file.

    Attributes:
      path: path of the file.
      parts: names of the directories between the root and the file, and the name of the file.
      state: size in bytes, time of the last change of the content and time of the last change of the state, in ns.
    """

    path: str
    parts: tuple[str, ...]
    state: tuple[int, int, int]


class _Content(NamedTuple):
    """What the check of a list of images found.

    Attributes:
      shape: `(height, width, channels)` before crop and resize; height and width are None if the images differ in size.
      fingerprint: hash of the content and the relative path of all files.
      first: path, width and height of the first image.
      other: the same of the first image of another size than `first`, or None.
      smallest: the same of the image with the shortest side.
    """

    shape: tuple[int | None, int | None, int]
    fingerprint: str
    first: tuple[str, int, int]
    other: tuple[str, int, int] | None
    smallest: tuple[str, int, int]

    def check_sizes(self, crop_and_resize: CropAndResize) -> None:
        """Raises `ValueError` if the images differ in size without crop and resize, or if one is too small."""
        if self.other and not crop_and_resize.output_side:
            (path, width, height), (other, other_width, other_height) = self.first, self.other
            raise ValueError(f"data: images must have the same size unless {crop_and_resize.condition_for_sizes}; "
                             f"{path} is {width}x{height}, {other} is {other_width}x{other_height}")
        path, width, height = self.smallest
        crop_and_resize.output_size(height, width, path)


def _find_images(root: pathlib.Path) -> list[_File]:
    """Returns all image files under a directory, in sorted order, and warns of images in other formats."""
    files, others = [], []
    for parts, entry in _walk(root, ()):
        suffix = os.path.splitext(entry.name)[1].lower()
        if suffix in _SUFFIXES:
            if not entry.is_file():
                if entry.is_symlink():
                    raise ValueError(f"data: {entry.path} is a link to a file that does not exist")
                continue
            files.append(_File(entry.path, parts, _state(entry.stat())))
        elif suffix in _OTHER_SUFFIXES:
            others.append(entry.path)
    if others:
        warnings.warn(f"data: {len(others)} images in other formats than PNG and JPEG are left out, such as "
                      f"{min(others)}", stacklevel=3)
    return sorted(files, key=lambda file: file.parts)


def _state(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _walk(directory: pathlib.Path | str, parts: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], os.DirEntry]]:
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name.lower() in _LEFT_OUT:
                continue
            if not entry.is_dir():
                yield (*parts, entry.name), entry
            elif len(parts) + 1 < _MAX_DEPTH:
                yield from _walk(entry.path, (*parts, entry.name))


def _split_directories(root: pathlib.Path) -> dict[str, list[str]]:
    """Returns the names of the directories of each split."""
    found: dict[str, list[str]] = {}
    for name in sorted(os.listdir(root)):
        if name.lower() in _SPLIT_NAMES and (root / name).is_dir():
            found.setdefault(_SPLIT_NAMES[name.lower()], []).append(name)
    return found


def _in_splits(root: pathlib.Path, files: Sequence[_File], split_directories: dict[str, list[str]]) -> list[_File]:
    """Returns the files in SPLIT/CLASS. Images in other places are an error, and those of other splits a warning."""
    for split, names in split_directories.items():
        if len(names) > 1:
            raise ValueError(f"data: {root} has several directories for the {split} split: {', '.join(names)}; "
                             "merge them or move all but one away")
    known = {names[0] for names in split_directories.values()}
    used, others = [], set()
    for file in files:
        if len(file.parts) != 3:
            raise ValueError(f"data: all images must be in SPLIT/CLASS/, because "
                             f"{root / split_directories['train'][0]} exists; found {file.path}")
        if file.parts[0] in known:
            used.append(file)
        else:
            others.add(file.parts[0])
    if others:
        warnings.warn(f"data: images in {', '.join(sorted(others))} of {root} are left out; the names of splits are "
                      f"{', '.join(SPLITS)}", stacklevel=3)
    classes = {split: {file.parts[1] for file in used if file.parts[0] == names[0]}
               for split, names in split_directories.items()}
    for split in ("validation", "test"):
        unseen = sorted(classes.get(split, set()) - classes["train"])
        if unseen and classes["train"]:
            warnings.warn(f"data: {root} has {split} images of classes without train images: {', '.join(unseen)}",
                          stacklevel=3)
    return used


def _labeled_paths(root: pathlib.Path, files: Sequence[_File], classes: Sequence[str],
                   split_directories: dict[str, list[str]]) -> dict[str, list[tuple[str, int]]]:
    """Returns the path and the label of each image of each split, in the order of `tfds.folder_dataset.ImageFolder`."""
    labels = {name: label for label, name in enumerate(classes)}
    splits = {}
    for split, (directory,) in split_directories.items():
        chosen = [(os.path.join(root, *file.parts), labels[file.parts[1]]) for file in files
                  if file.parts[0] == directory]
        chosen.sort(key=lambda example: (example[1], example[0]))
        random.Random(directory).shuffle(chosen)
        splits[split] = chosen
    return splits


def _check_images(files: Sequence[_File], where: str, data_dir: str | None, verify: bool) -> _Content:
    """Decodes all images, or reads the result of an earlier check of the same files.

    Two files are the same if relative path, size, and times of the last changes are equal.

    Args:
      files: the images.
      where: name of the place of the images, for the error message if there are none.
      data_dir: the cache directory, in which the results are stored. None for the default.
      verify: if True, the images are decoded in any case.

    Returns:
      The result of the check.
    """
    if not files:
        raise ValueError(f"data: no images ({', '.join(_SUFFIXES)}) in {where}")
    key = prepared_sets.content_fingerprint(
        repr((file.parts, file.state)).encode("utf-8", "surrogateescape") for file in files)
    record = prepared_sets.cache_dir(data_dir) / "folder_checks" / f"{key}.json"
    content = None if verify else _read_record(record, files)
    if content is None:
        content = _decode_all(files)
        _write_record(record, content, files)
    return content


def _decode_all(files: Sequence[_File]) -> _Content:
    with concurrent.futures.ThreadPoolExecutor() as pool:
        images = list(pool.map(_decode, [file.path for file in files]))
    sizes = [(file.path, image.width, image.height) for file, image in zip(files, images, strict=True)]
    other = next((size for size in sizes if size[1:] != sizes[0][1:]), None)
    _, width, height = sizes[0]
    chunks = ["/".join(file.parts).encode("utf-8", "surrogateescape") for file in files]
    chunks += [image.digest.encode() for image in images]
    return _Content(
        (None if other else height, None if other else width, 1 if all(image.is_gray for image in images) else 3),
        prepared_sets.content_fingerprint(chunks), sizes[0], other, min(sizes, key=lambda size: min(size[1:])))


def _read_record(record: pathlib.Path, files: Sequence[_File]) -> _Content | None:
    """Returns the result of an earlier check. It names files by their number, because the directory may be renamed."""
    def with_path(size: Any) -> tuple[str, int, int]:
        number, width, height = map(int, size)
        return files[number].path, width, height

    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        values = json.loads(record.read_text(encoding="utf-8"))
        height, width, channels = values["shape"]
        return _Content(
            (height and int(height), width and int(width), int(channels)), str(values["fingerprint"]),
            with_path(values["first"]), values["other"] and with_path(values["other"]), with_path(values["smallest"]))
    return None


def _write_record(record: pathlib.Path, content: _Content, files: Sequence[_File]) -> None:
    """Stores the result of a check. If the cache directory is not writable, the next call decodes the files again."""
    numbers = {file.path: number for number, file in enumerate(files)}
    values = {key: size and (numbers[size[0]], *size[1:])
              for key, size in (("first", content.first), ("other", content.other), ("smallest", content.smallest))}
    temporary = record.with_name(f".partial.{os.getpid()}.{record.name}")
    with contextlib.suppress(OSError):
        record.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps({"shape": content.shape, "fingerprint": content.fingerprint, **values}))
        os.replace(temporary, record)


class _DecodedImage(NamedTuple):
    width: int
    height: int
    is_gray: bool
    digest: str


def _decode(path: str) -> _DecodedImage:
    """Decodes a whole image file and returns its size, whether it is gray, and the hash of its bytes."""
    raw = pathlib.Path(path).read_bytes()
    # Pillow returns the mode, and TensorFlow does not. TensorFlow decodes the pixels, because it reads the file later
    # and rejects some files that Pillow accepts, such as a truncated PNG.
    try:
        with PIL.Image.open(io.BytesIO(raw), formats=("PNG", "JPEG")) as image:
            tf.io.decode_image(raw)
    except PIL.Image.DecompressionBombError as error:
        raise ValueError(f"data: image {path} has too many pixels: {error}") from error
    except Exception as error:  # Pillow raises many exception classes for a corrupt file, even SyntaxError.
        raise ValueError(f"data: corrupt image {path}: not a complete PNG or JPEG file") from error
    # Pillow's mode is RGB also for files with 16 bits per channel value. Byte 24 of a PNG file is its bit depth.
    if image.mode.startswith(("I", "F")) or (image.format == "PNG" and raw[24] == 16):
        raise ValueError(f"data: images must have at most 8 bits per channel value; {path} has more")
    width, height = image.size
    return _DecodedImage(width, height, image.mode in _GRAY_MODES, prepared_sets.content_fingerprint([raw]))


def _find_damage(files: Sequence[_File]) -> str | None:
    """Returns an error message about the first file that is lost, changed or corrupt, or None."""
    def message(file: _File) -> str | None:
        try:
            if _state(os.stat(file.path)) != file.state:
                return f"data: image {file.path} was changed while it was in use; run the same command again"
            _decode(file.path)
        except FileNotFoundError:
            return f"data: image {file.path} was removed while it was in use; run the same command again"
        except (OSError, ValueError) as error:
            return str(error)
        return None

    with concurrent.futures.ThreadPoolExecutor() as pool:
        return next(filter(None, pool.map(message, files)), None)
