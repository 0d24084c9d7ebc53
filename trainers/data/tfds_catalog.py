# SPDX-License-Identifier: Apache-2.0
"""`tfds:NAME`: a set of the TFDS catalogue."""

import socket
import urllib.parse
import urllib.request

import tensorflow_datasets as tfds

from trainers.data.tfds_builders import from_builder
from trainers.data.crop_and_resize import Frame, WHOLE
from trainers.data.image_data import ImageData


def load(name: str, data_dir: str | None = None, download: bool = True, frame: Frame = WHOLE) -> ImageData:
    """Opens a set of the TFDS catalogue, downloading it if need be.

    Args:
      name: a TFDS name, `NAME[/CONFIG][:VERSION]`.
      data_dir: TFDS's data directory; None is TFDS's own default.
      download: whether a set that is not on disk may be downloaded.
      frame: how images are cropped and resized.

    Returns:
      An `ImageData`.

    Raises:
      ValueError: if TFDS does not know the name, or the set is neither on disk nor to be had.
    """
    # TFDS lets errors of every class through here (network, disk, missing packages, its own); each of
    # them means for the caller that this set cannot be had, and why.
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except Exception as error:
        raise ValueError(f"data: TFDS cannot open {name!r}: {_brief(error)}") from error
    try:
        return from_builder(builder, name, frame=frame, validation_is_test=True)
    except AssertionError as error:  # so TFDS says that a set is not prepared
        if not download:
            raise ValueError(f"data: tfds:{name} is not on disk ({builder.data_dir})") from error
    _check_reachable(builder, name)
    try:
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
    except Exception as error:
        raise ValueError(f"data: tfds:{name} cannot be prepared: {_brief(error)}") from error
    return from_builder(builder, name, frame=frame, validation_is_test=True)


def _check_reachable(builder, name):
    """Says at once that there is no network, where TFDS would retry for some minutes."""
    hosts = {urllib.parse.urlsplit(url).hostname for url in builder.url_infos or ()} - {None}
    if hosts and not urllib.request.getproxies() and not any(map(_resolves, hosts)):
        raise ValueError(f"data: tfds:{name} is not on disk, and {min(hosts)} cannot be reached for it")


def _resolves(host):
    try:
        return bool(socket.getaddrinfo(host, None))
    except OSError:
        return False


def _brief(error):
    """The first line of an error that has text, without the catalogue that TFDS appends."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
