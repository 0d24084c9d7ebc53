# SPDX-License-Identifier: Apache-2.0
"""Loading of the trained models of this project."""

import functools
import hashlib
import http.client
import json
import os
import pathlib
import urllib.parse
import urllib.request

import keras

from tfp_glow.models.flow_model import FlowModel

_PACKAGE = pathlib.Path(__file__).resolve().parents[1]
# The folder is beside the package in a checkout. It is inside the package in an installed wheel that holds the models.
_PLACES = (_PACKAGE.parent / "pretrained", _PACKAGE / "pretrained_runs")
_VARIABLE = "TFP_GLOW_PRETRAINED"


def load_pretrained(name: str) -> FlowModel:
    """Loads a trained model of this project.

    Args:
      name: name of the model. `"digits_glow"` is a `tfp_glow.glow` of the 8x8 handwritten digits of scikit-learn, with
        17 gray levels. `"fashion_mnist_coupling"` and `"fashion_mnist_best"` are a `tfp_glow.pyramid` of the 28x28 gray
        images of Fashion-MNIST; the first has couplings only, and fewer bits/dim. `"fashion_mnist_glow"` is a
        `tfp_glow.glow`, `"fashion_mnist_realnvp"` a `tfp_glow.realnvp` and `"fashion_mnist_pixelcnn"` a
        `tfp_glow.pixelcnn` of the same images; the last has the fewest bits/dim and samples pixel after pixel.
        `"cifar10_glow"` is a `tfp_glow.glow` of the 32x32 color photos of CIFAR-10, and `"cifar10_glow_classes"` one
        that is conditioned on the class, an integer from 0 to 9. `"cifar10_coupling"` is a `tfp_glow.pyramid` of these
        photos, with couplings only, and `"cifar10_pixelcnn"` a `tfp_glow.pixelcnn`, which has the fewest bits/dim and
        samples pixel after pixel.

    Returns:
      A `tfp_glow.FlowModel`, not compiled. `tfp_glow.pretrained.directory(name)` returns the directory of its training
      run.

    Raises:
      ValueError: if there is no trained model of this name.
      FileNotFoundError: if the files of the model are not here, or cannot be fetched; see
        `tfp_glow.pretrained.directory`.

    Example:

    >>> model = tfp_glow.load_pretrained("digits_glow")
    >>> model.sample(2, temperature=0.7, seed=0).shape
    TensorShape([2, 8, 8, 1])
    """
    return keras.saving.load_model(directory(name) / "model.keras", compile=False)


def directory(name: str) -> pathlib.Path:
    """Returns the directory of the training run of a trained model of this project.

    The directory holds the model, the training configuration and the training history. The programs evaluate, sample
    and others accept the directory as `--run_dir`.

    The directory is in `pretrained/` of the repository. A wheel holds it while all trained models together have at most
    60 MB. The environment variable `TFP_GLOW_PRETRAINED` names another place: a folder like `pretrained/`, or the URL
    of such a folder. Files of a URL are fetched once, into `~/.cache/tfp_glow/pretrained`, and compared with the hashes
    in `tfp_glow/models/pretrained.json`.

    Args:
      name: name of the model: `"digits_glow"`, `"fashion_mnist_glow"`, `"fashion_mnist_realnvp"`,
        `"fashion_mnist_coupling"`, `"fashion_mnist_best"`, `"fashion_mnist_pixelcnn"`, `"cifar10_glow"`,
        `"cifar10_glow_classes"`, `"cifar10_coupling"` or `"cifar10_pixelcnn"`.

    Returns:
      The directory, a `pathlib.Path`.

    Raises:
      ValueError: if there is no trained model of this name.
      FileNotFoundError: if the directory is in none of these places, or a file cannot be fetched.

    Example:

    >>> tfp_glow.pretrained.directory("fashion_mnist_best").name
    'fashion_mnist_best'
    """
    place = os.environ.get(_VARIABLE, "")
    is_url = "://" in place
    places = _PLACES if is_url or not place else (pathlib.Path(place).expanduser(), *_PLACES)
    present = {path.parent.name: path.parent for place in reversed(places) for path in place.glob("*/model.keras")}
    known = {*_hashes(), *present}
    if not isinstance(name, str) or name not in known:
        raise ValueError(f"Argument `name` must be one of the trained models, {sorted(known)}; received {name!r}.")
    if name in present:
        return present[name]
    if is_url:
        return _fetched(name, place)
    raise FileNotFoundError(f"The trained model {name!r} is not in this installation of tfp_glow. Set the environment "
                            f"variable {_VARIABLE} to a folder that holds {name}/model.keras, such as pretrained/ of "
                            f"the repository, or to the URL of such a folder; received {place!r}.")


@functools.cache
def _hashes() -> dict[str, dict[str, str]]:
    """Returns the SHA-256 hash of each file of each trained model, by the name of the model and of the file."""
    return json.loads(pathlib.Path(__file__).with_name("pretrained.json").read_text(encoding="utf-8"))


def _fetched(name: str, base: str) -> pathlib.Path:
    """Returns a directory with the files of a model, after those that are not there yet were fetched from a URL.

    Args:
      name: name of the model, a key of `_hashes()`.
      base: URL of a folder like `pretrained/`.
    """
    home = pathlib.Path("~/.cache/tfp_glow/pretrained").expanduser() / name
    home.mkdir(parents=True, exist_ok=True)
    for file, expected in _hashes()[name].items():
        path = home / file
        if path.is_file() and _hash(path.read_bytes()) == expected:
            continue
        url = f"{base.rstrip('/')}/{urllib.parse.quote(name)}/{urllib.parse.quote(file)}"
        try:
            with urllib.request.urlopen(url, timeout=60) as response:
                content = response.read()
        # `URLError` is an `OSError`. A malformed URL is a `ValueError` or an `HTTPException`; so is a cut answer.
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise FileNotFoundError(f"The trained model {name!r} cannot be fetched from {url}: {error}. Connect to the "
                                    f"network, or set the environment variable {_VARIABLE} to a folder that holds "
                                    f"{name}/model.keras.") from error
        if _hash(content) != expected:
            raise FileNotFoundError(f"The file {url} is not the one of this version of tfp_glow: its SHA-256 is "
                                    f"{_hash(content)}, and must be {expected}.")
        temporary = path.with_name(f".partial.{os.getpid()}.{file}")
        temporary.write_bytes(content)
        os.replace(temporary, path)
    return home


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
