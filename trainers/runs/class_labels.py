# SPDX-License-Identifier: Apache-2.0
"""The classes that a class-conditional run's model is conditioned on: by name, and in turn."""

import math

import numpy as np


def of_data(preset, data):
    """What a run's configuration says of classes: their names, if the preset is class-conditional; else nothing."""
    return {"label_names": list(data.label_names)} if preset.class_conditional else {}


def are_conditions(config):
    """Whether a run's model is conditioned on labels, by its configuration."""
    return "label_names" in config


def given(model, labels):
    """Labels as the `condition` of a model's queries: None for a model that takes none."""
    return None if model.condition_spec is None else labels


def in_turn(model, number):
    """Labels for so many samples, the classes in turn; None for a model without classes."""
    num_classes = model.functions.condition.num_classes
    return None if num_classes is None else np.arange(number) % num_classes


def columns(model, number):
    """Columns of a grid of so many images, classes in turn: each column has one class, where there are enough images.

    Returns:
      An int that makes the grid about square; None, for the grid's own choice, where there are no classes, or too many.
    """
    num_classes = model.functions.condition.num_classes
    if num_classes is None or num_classes > number:
        return None
    return num_classes * max(1, round(math.sqrt(number) / num_classes))


def named(name, config, run):
    """The label of a class by its name.

    Raises:
      ValueError: if the run's model has no classes, or none of this name.
    """
    if not are_conditions(config):
        raise ValueError(f"label: is for class-conditional models; that of {run} is not; got {name!r}")
    names = config["label_names"]
    if name not in names:
        raise ValueError(f"label: must be one of {shown(names)}; got {name!r}")
    return names.index(name)


def check_same(config, data, run):
    """Raises `ValueError` unless `data` has the classes that a class-conditional run was trained on."""
    if are_conditions(config) and list(data.label_names or ()) != config["label_names"]:
        have = f"the classes {shown(data.label_names)}" if data.label_names else "no labels"
        raise ValueError(f"data: {data.name} has {have}; the model in {run} was trained on "
                         f"{shown(config['label_names'])}")


def shown(names):
    """Names of classes in a line, the first of many."""
    return ", ".join(names) if len(names) <= 20 else f"{', '.join(names[:20])} and {len(names) - 20} more"
