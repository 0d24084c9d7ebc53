# SPDX-License-Identifier: Apache-2.0
"""Class labels of class-conditional models: labels by name, labels of samples, and labels as conditions."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import tfp_glow
from tfp_glow._types import TensorLike

from ..data import ImageData, VectorData


def is_class_conditional(config: Mapping[str, Any]) -> bool:
    """Returns True if the model of a run is class-conditional: it models the density of an example given its label.

    Args:
      config: configuration of the run, a dict, as `trainers.runs.configuration.configure` returns.
    """
    return "label_names" in config


def condition_for(model: tfp_glow.FlowModel, labels: TensorLike | None) -> TensorLike | None:
    """Returns the argument `condition` of methods of a model, such as `model.log_prob`, for examples with labels.

    Args:
      model: a `tfp_glow.FlowModel`.
      labels: integers, the labels of the examples. None is allowed for a model that is not class-conditional.

    Returns:
      `labels` if the model is class-conditional; otherwise None.
    """
    return None if model.condition_spec is None else labels


def in_turn(model: tfp_glow.FlowModel, number: int) -> np.ndarray | None:
    """Returns labels that cycle through the classes of a model: `0, 1, ..., num_classes - 1, 0, 1, ...`.

    Args:
      model: a `tfp_glow.FlowModel`.
      number: int, number of labels.

    Returns:
      An int64 array `[number]`, or None if the model is not class-conditional.
    """
    num_classes = model.functions.condition.num_classes
    return None if num_classes is None else np.arange(number) % num_classes


def columns(model: tfp_glow.FlowModel, number: int) -> int | None:
    """Computes the number of columns of a grid of samples whose labels are `in_turn(model, number)`.

    The number of columns is a multiple of the number of classes, so each column shows one class. It is
    chosen so that the grid is about square.

    Args:
      model: a `tfp_glow.FlowModel`.
      number: int, number of images in the grid.

    Returns:
      An int, or None if the model is not class-conditional or has more than `number` classes.
    """
    num_classes = model.functions.condition.num_classes
    if num_classes is None or num_classes > number:
        return None
    return num_classes * max(1, round(math.sqrt(number) / num_classes))


def label_by_name(name: str, config: Mapping[str, Any], run: Any) -> int:
    """Returns the label of the class with a given name.

    Args:
      name: str, name of the class.
      config: configuration of the run, a dict, as `trainers.runs.configuration.configure` returns.
      run: the run directory, for error messages.

    Returns:
      An int in `[0, num_classes)`.

    Raises:
      ValueError: if the model of the run is not class-conditional or has no class of this name.
    """
    if not is_class_conditional(config):
        raise ValueError(f"label: is for class-conditional models; the model of {run} has no classes; got {name!r}")
    names = config["label_names"]
    if name not in names:
        raise ValueError(f"label: must be one of {_in_one_line(names)}; got {name!r}")
    return names.index(name)


def check_same(config: Mapping[str, Any], data: ImageData | VectorData, run: Any) -> None:
    """Checks that a data set has the classes on which the class-conditional model of a run was trained.

    Args:
      config: configuration of the run, a dict, as `trainers.runs.configuration.configure` returns.
      data: an `ImageData` or a `VectorData`.
      run: the run directory, for error messages.

    Raises:
      ValueError: if the model is class-conditional and the names of the classes, or their order, differ.
    """
    if is_class_conditional(config) and list(data.label_names or ()) != config["label_names"]:
        found = f"the classes {_in_one_line(data.label_names)}" if data.label_names else "no labels"
        raise ValueError(f"data: {data.name} has {found}; the model in {run} was trained on "
                         f"{_in_one_line(config['label_names'])}")


def _in_one_line(names: Sequence[str]) -> str:
    """Returns the names, separated by commas. Of more than 20 names, it returns 20 and the number of the others."""
    return ", ".join(names) if len(names) <= 20 else f"{', '.join(names[:20])} and {len(names) - 20} more"
