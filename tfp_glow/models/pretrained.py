# SPDX-License-Identifier: Apache-2.0
"""Loading of the trained models that come with the package."""

import pathlib

import keras

from tfp_glow.models.flow_model import FlowModel

_PACKAGE = pathlib.Path(__file__).resolve().parents[1]
# The folder is beside the package in a checkout, and inside the package in an installed wheel.
_PLACES = (_PACKAGE.parent / "pretrained", _PACKAGE / "pretrained_runs")


def load_pretrained(name: str) -> FlowModel:
    """Loads a trained model that comes with the package.

    Args:
      name: name of the model. There is one: `"fashion_mnist_best"`, a `tfp_glow.pyramid` trained on the 28x28 gray
        images of Fashion-MNIST.

    Returns:
      A `tfp_glow.FlowModel`, not compiled. `tfp_glow.pretrained.directory(name)` returns the directory of its training
      run.

    Raises:
      ValueError: if the package has no trained model of this name.

    Example:

    >>> model = tfp_glow.load_pretrained("fashion_mnist_best")
    >>> model.sample(2, temperature=0.9, seed=0).shape
    TensorShape([2, 28, 28, 1])
    """
    return keras.saving.load_model(directory(name) / "model.keras", compile=False)


def directory(name: str) -> pathlib.Path:
    """Returns the directory of the training run of a trained model that comes with the package.

    The directory holds the model, the training configuration and the training history. The command lines
    `trainers.evaluate`, `trainers.sample` and others accept the directory as `--run_dir`.

    Args:
      name: name of the model: `"fashion_mnist_best"`.

    Returns:
      The directory, a `pathlib.Path`.

    Raises:
      ValueError: if the package has no trained model of this name.

    Example:

    >>> tfp_glow.pretrained.directory("fashion_mnist_best").name
    'fashion_mnist_best'
    """
    known = {path.parent.name: path.parent for place in _PLACES for path in place.glob("*/model.keras")}
    if not isinstance(name, str) or name not in known:
        raise ValueError(f"Argument `name` must be one of the trained models, {sorted(known)}; received {name!r}.")
    return known[name]
