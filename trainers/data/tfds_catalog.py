# SPDX-License-Identifier: Apache-2.0
"""`tfds:NAME`: an image set of the TFDS catalog."""

import socket
import urllib.parse
import urllib.request

import tensorflow_datasets as tfds

from trainers.data.crop_and_resize import ORIGINAL_SIZE, CropAndResize
from trainers.data.image_data import ImageData
from trainers.data.tfds_builders import image_data_from_builder


def load(
    name: str,
    data_dir: str | None = None,
    download: bool = True,
    crop_and_resize: CropAndResize = ORIGINAL_SIZE,
) -> ImageData:
    """Opens a set of the TFDS catalog, and downloads it first if it is not on disk.

    Args:
      name: a TFDS name, `NAME[/CONFIG][:VERSION]`.
      data_dir: the data directory of TFDS. Default None: the default of TFDS.
      download: whether TFDS may download a set that is not on disk. Default True.
      crop_and_resize: crop and resize of each image. Default: none.

    Returns:
      An `ImageData`.

    Raises:
      ValueError: if the catalog has no such set; if the set is not on disk and the download is not allowed or fails;
        or in the cases of `image_data_from_builder`.
    """
    # TFDS raises errors of every class here: network, disk, missing packages and its own. For the caller, each of
    # them is the reason why this set is not available.
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except Exception as error:
        raise ValueError(f"data: TFDS cannot open {name!r}: {_first_line(error)}") from error
    try:
        return image_data_from_builder(builder, name, crop_and_resize=crop_and_resize, validation_is_test=True)
    except AssertionError as error:  # TFDS raises it if a set is not prepared.
        if not download:
            raise ValueError(f"data: tfds:{name} is not on disk in {builder.data_dir}, and its download is not "
                             "allowed") from error
    _check_reachable(builder, name)
    try:
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
    except Exception as error:
        raise ValueError(f"data: tfds:{name} cannot be prepared: {_first_line(error)}") from error
    return image_data_from_builder(builder, name, crop_and_resize=crop_and_resize, validation_is_test=True)


def _check_reachable(builder: tfds.core.DatasetBuilder, name: str) -> None:
    """Raises `ValueError` at once if there is no network; TFDS would retry for minutes."""
    hosts = {urllib.parse.urlsplit(url).hostname for url in builder.url_infos or ()} - {None}
    if hosts and not urllib.request.getproxies() and not any(map(_resolves, hosts)):
        raise ValueError(f"data: tfds:{name} is not on disk, and {min(hosts)} cannot be reached for the download")


def _resolves(host: str) -> bool:
    try:
        return bool(socket.getaddrinfo(host, None))
    except OSError:
        return False


def _first_line(error: Exception) -> str:
    """Returns the first line with text of an error message, without the list of sets that TFDS appends."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
