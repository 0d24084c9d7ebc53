# SPDX-License-Identifier: Apache-2.0
"""Class labels of class-conditional runs: by name, for samples, and as the condition of a model."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import tfp_glow
from tfp_glow._types import TensorLike
from trainers.data import ImageData, VectorData


def are_conditions(config: Mapping[str, Any]) -> bool:
    """Returns whether a run's configuration is that of a class-conditional model."""
    return "label_names" in config


def given(model: tfp_glow.FlowModel, labels: TensorLike) -> TensorLike | None:
    """Returns `labels` if the model has a condition, otherwise None: the `condition` argument of its methods."""
    return None if model.condition_spec is None else labels


def in_turn(model: tfp_glow.FlowModel, number: int) -> np.ndarray | None:
    """Returns the labels `0, 1, ..., num_classes - 1, 0, 1, ...` for samples of a class-conditional model.

    Args:
      model: the model.
      number: number of labels.

    Returns:
      An int64 array of shape `[number]`, or None if the model has no classes.
    """
    num_classes = model.functions.condition.num_classes
    return None if num_classes is None else np.arange(number) % num_classes


def columns(model: tfp_glow.FlowModel, number: int) -> int | None:
    """Returns the number of columns of a grid of samples with the labels of `in_turn`.

    It is a multiple of the number of classes, so that each column shows one class, and makes the grid about square.

    Args:
      model: the model.
      number: number of images in the grid.

    Returns:
      The number of columns, or None if the model has no classes or more classes than there are images.
    """
    num_classes = model.functions.condition.num_classes
    if num_classes is None or num_classes > number:
        return None
    return num_classes * max(1, round(math.sqrt(number) / num_classes))


def named(name: str, config: Mapping[str, Any], run: Any) -> int:
    """Returns the label of the class with a given name.

    Args:
      name: name of the class.
      config: the run's configuration.
      run: the run directory, for error messages.

    Raises:
      ValueError: if the run's model is not class-conditional or has no class of this name.
    """
    if not are_conditions(config):
        raise ValueError(f"label: is for class-conditional models; the model of {run} has no classes; got {name!r}")
    names = config["label_names"]
    if name not in names:
        raise ValueError(f"label: must be one of {_in_one_line(names)}; got {name!r}")
    return names.index(name)


def check_same(config: Mapping[str, Any], data: ImageData | VectorData, run: Any) -> None:
    """Checks that a data set has the classes that a class-conditional run was trained on.

    Args:
      config: the run's configuration.
      data: the data set.
      run: the run directory, for error messages.

    Raises:
      ValueError: if the run is class-conditional and the names of the classes differ.
    """
    if are_conditions(config) and list(data.label_names or ()) != config["label_names"]:
        found = f"the classes {_in_one_line(data.label_names)}" if data.label_names else "no labels"
        raise ValueError(f"data: {data.name} has {found}; the model in {run} was trained on "
                         f"{_in_one_line(config['label_names'])}")


def _in_one_line(names: Sequence[str]) -> str:
    """Returns up to 20 names, separated by commas, and the number of the other names."""
    return ", ".join(names) if len(names) <= 20 else f"{', '.join(names[:20])} and {len(names) - 20} more"
