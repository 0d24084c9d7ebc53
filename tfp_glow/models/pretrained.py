# SPDX-License-Identifier: Apache-2.0
"""Models that come trained."""

import pathlib

import keras

_HERE = pathlib.Path(__file__).resolve().parent
# Beside the package in a checkout; a package of its own where `pip install` put both.
_PLACES = (_HERE.parent / "pretrained", _HERE / "pretrained_runs")


def load_pretrained(name):
    """Loads a trained model that comes with the package.

    Args:
      name: name of the model; `"fashion_mnist_best"` is a `tfp_glow.pyramid` over Fashion-MNIST's 28x28 images.

    Returns:
      A `tfp_glow.FlowModel`, not compiled; its run directory, with configuration and history, is
      `tfp_glow.pretrained.directory(name)`, which `trainers.evaluate` and the others take as `--run_dir`.

    Raises:
      ValueError: if there is no such model.

    >>> model = tfp_glow.load_pretrained("fashion_mnist_best")
    >>> model.sample(2, temperature=0.9, seed=0).shape
    TensorShape([2, 28, 28, 1])
    """
    return keras.saving.load_model(directory(name) / "model.keras", compile=False)


def directory(name):
    """The run directory of a trained model that comes with the package, a `pathlib.Path`; raises as `load_pretrained`.
    """
    known = {path.parent.name: path.parent for place in _PLACES for path in place.glob("*/model.keras")}
    if not isinstance(name, str) or name not in known:
        raise ValueError(f"Argument `name` must be among the trained models, {sorted(known)}; received {name!r}.")
    return known[name]
