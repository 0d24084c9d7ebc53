# SPDX-License-Identifier: Apache-2.0
"""The data sets `tfds:NAME`: image sets of the TFDS catalog."""

import functools
import json
import os
import pathlib
import re
import socket
import urllib.parse
import urllib.request

import tensorflow_datasets as tfds

from . import record_files
from .crop_and_resize import ORIGINAL_SIZE, CropAndResize
from .image_data import ImageData
from .tfds_builders import image_data_from_builder


def load(
    name: str,
    data_dir: str | None = None,
    download: bool = True,
    crop_and_resize: CropAndResize = ORIGINAL_SIZE,
    verify: bool = False,
) -> ImageData:
    """Opens an image set of the TFDS catalog; downloads the set first if it is not on disk.

    Splits of the set with the names train, validation and test are used as they are. If the set has a validation split
    and no test split, its validation split becomes the test split, as in the papers of RealNVP and Glow for ImageNet. A
    split that is then missing is cut from the end of the training images: one tenth of them, first for the test split,
    then for the validation split.

    Args:
      name: str, TFDS name: `NAME`, optionally followed by `/CONFIG` and `:VERSION`, such as `"cifar10"` or
        `"downsampled_imagenet/32x32"`.
      data_dir: str, data directory of TFDS. Default None: the default of TFDS.
      download: bool. If False, a set that is not on disk is an error. Default True.
      crop_and_resize: `CropAndResize` that is applied to each image. Default: images stay as they are.
      verify: bool. If True, all stored records are read and compared with their checksums. Default False: the presence
        and the sizes of the files are checked.

    Returns:
      An `ImageData`.

    Raises:
      ValueError: if the catalog has no set of this name; if a stored file is damaged; if the set is not on disk and
        `download` is False or the download fails; if the set has no 8-bit images, no training images, or too few for
        three splits; if the crop is larger than an image; or if the images still differ in size after
        `crop_and_resize`.
    """
    # TFDS raises exceptions of many classes here: of the network, of the disk, of missing packages and its own.
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except Exception as error:
        damaged = _damaged_info_file(name, data_dir)
        if damaged:
            raise ValueError(_damage_message(name, f"{damaged} is not readable", damaged.parent)) from error
        raise ValueError(f"data: TFDS cannot open {name!r}: {_first_line(error)}") from error
    message = _find_damage(builder, name, read=verify)
    if message:
        raise ValueError(message)
    image_data = functools.partial(
        image_data_from_builder, builder, name, crop_and_resize=crop_and_resize, validation_is_test=True,
        find_damage=functools.partial(_find_damage, builder, name))
    try:
        return image_data()
    except AssertionError as error:  # TFDS raises it if a set is not on disk.
        if not download:
            raise ValueError(f"data: tfds:{name} is not on disk in {builder.data_dir}, and its download is not "
                             "allowed") from error
    _check_reachable(builder, name)
    try:
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
    except Exception as error:
        raise ValueError(f"data: tfds:{name} cannot be prepared: {_first_line(error)}") from error
    return image_data()


def _find_damage(builder: tfds.core.DatasetBuilder, name: str, read: bool = True) -> str | None:
    """Returns an error message about the first damaged file of a set on disk, or None."""
    damage = record_files.find_damage(builder, read)
    return damage and _damage_message(name, damage, builder.data_dir)


def _damage_message(name: str, damage: str, folder: str | os.PathLike) -> str:
    return (f"data: the files of tfds:{name} are damaged: {damage}; delete the folder {folder} and prepare the set "
            "again: TFDS does so at the next call, if the source can be reached")


def _damaged_info_file(name: str, data_dir: str | None) -> pathlib.Path | None:
    """Returns the first `dataset_info.json` of a set that is no JSON object, or None."""
    root = pathlib.Path(os.path.expanduser(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"))
    parts = re.fullmatch(r"(\w+)[\w/.:-]*", name)
    for path in sorted((root / parts[1]).rglob("dataset_info.json")) if parts else ():
        try:
            if isinstance(json.loads(path.read_text(encoding="utf-8")), dict):
                continue
        except (OSError, ValueError):
            pass
        return path
    return None


def _check_reachable(builder: tfds.core.DatasetBuilder, name: str) -> None:
    """Raises `ValueError` if no host of the download can be resolved, because TFDS would retry for minutes."""
    hosts = {urllib.parse.urlsplit(url).hostname for url in builder.url_infos or ()} - {None}
    if hosts and not urllib.request.getproxies() and not any(map(_resolves, hosts)):
        raise ValueError(f"data: tfds:{name} is not on disk, and {min(hosts)} cannot be reached for the download")


def _resolves(host: str) -> bool:
    try:
        return bool(socket.getaddrinfo(host, None))
    except OSError:
        return False


def _first_line(error: Exception) -> str:
    """Returns the first line of an error message that is not blank. TFDS appends a list of all sets."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
