# SPDX-License-Identifier: Apache-2.0
"""Trained models that come with the package."""

import pathlib

import keras

from tfp_glow.models.flow_model import FlowModel

_PACKAGE = pathlib.Path(__file__).resolve().parents[1]
# A checkout has the folder beside the package; an installed wheel has it as the package `tfp_glow.pretrained_runs`.
_PLACES = (_PACKAGE.parent / "pretrained", _PACKAGE / "pretrained_runs")


def load_pretrained(name: str) -> FlowModel:
    """Loads a trained model that comes with the package.

    Args:
      name: name of the model. `"fashion_mnist_best"` is a `tfp_glow.pyramid` of Fashion-MNIST's 28x28 images.

    Returns:
      A `tfp_glow.FlowModel`, not compiled. `tfp_glow.pretrained.directory(name)` is its run directory.

    Raises:
      ValueError: if there is no model of this name.

    Example:

    >>> model = tfp_glow.load_pretrained("fashion_mnist_best")
    >>> model.sample(2, temperature=0.9, seed=0).shape
    TensorShape([2, 28, 28, 1])
    """
    return keras.saving.load_model(directory(name) / "model.keras", compile=False)


def directory(name: str) -> pathlib.Path:
    """Returns the run directory of a trained model that comes with the package.

    It holds the model, its training configuration and its history. `trainers.evaluate`, `trainers.sample` and the other
    command lines take it as `--run_dir`.

    Args:
      name: name of the model, as for `load_pretrained`.

    Raises:
      ValueError: if there is no model of this name.

    Example:

    >>> tfp_glow.pretrained.directory("fashion_mnist_best").name
    'fashion_mnist_best'
    """
    known = {path.parent.name: path.parent for place in _PLACES for path in place.glob("*/model.keras")}
    if not isinstance(name, str) or name not in known:
        raise ValueError(f"Argument `name` must be one of the trained models, {sorted(known)}; received {name!r}.")
    return known[name]
