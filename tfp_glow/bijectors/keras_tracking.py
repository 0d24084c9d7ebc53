# SPDX-License-Identifier: Apache-2.0
"""Keras layers track flows: the variables of a flow that is an attribute of a Keras layer are variables of the layer.

Keras 3 tracks Keras layers and Keras variables among the attributes of a layer or model, and nothing else. TFP's
distributions and bijectors are `tf.Module`s, so Keras would neither train nor save their variables. After an assignment
`layer.flow = flow`, this module adds a `FlowVariables` to the layer if `flow` contains flow bijectors.
"""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfp_glow._compat_keras import observe_attributes
from tfp_glow._tracking import WrappedVariables
from tfp_glow.bijectors._single_pass import flow_bijectors_in


def keras_layers_in(modules: Iterable[tf.Module]) -> list[keras.layers.Layer]:
    """Returns the Keras layers with the parameters of all flow bijectors in distributions and bijectors."""
    flows = (flow for module in modules for flow in flow_bijectors_in(module))
    return list(dict.fromkeys(layer for flow in flows for layer in flow.keras_layers))


def plain_variables_in(modules: Sequence[tf.Module]) -> list[tf.Variable]:
    """Returns the `tf.Variable`s of distributions and bijectors that none of `keras_layers_in` holds."""
    held = {id(variable.value) for layer in keras_layers_in(modules) for variable in layer.variables}
    found = {id(variable): variable for module in modules for variable in module.variables}
    return [variable for key, variable in found.items() if key not in held]


class FlowVariables(keras.layers.Layer):
    """A Keras layer that holds all variables of distributions and bijectors. A call of the layer returns its inputs.

    Args:
      modules: distributions and bijectors, a sequence of `tf.Module`s.
      **kwargs: further arguments of `keras.layers.Layer`.
    """

    def __init__(self, modules: Sequence[tf.Module], **kwargs: Any):
        super().__init__(**kwargs)
        for index, layer in enumerate(keras_layers_in(modules)):
            setattr(self, f"layer_{index}", layer)
        plain = plain_variables_in(modules)
        if plain:
            self.plain_variables = WrappedVariables(plain, name="plain_variables")
        self.built = True

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return inputs


def _track_flows(layer: keras.layers.Layer, name: str, value: Any) -> None:
    """Adds the variables of the flows in a new attribute of a Keras layer to the layer."""
    modules = [module for module in _modules_in(value) if flow_bijectors_in(module)]
    if not any(module.variables for module in modules):
        return
    try:
        setattr(layer, f"_tfp_glow_{name}", FlowVariables(modules, name=f"variables_of_{name.strip('_')}"))
        is_tracked = _tracks(layer, modules)
    except ValueError:  # Keras raises it for a layer that is built.
        is_tracked = False
    if not is_tracked:
        warnings.warn(f"The Keras layer {layer.name!r} does not track the flow in its attribute {name!r}, because it "
                      "was built before, or because its class, such as keras.Sequential, tracks no attributes. Assign "
                      "flows in the constructor of a subclass of keras.Model or keras.Layer.", stacklevel=4)


def _tracks(layer: keras.layers.Layer, modules: Sequence[tf.Module]) -> bool:
    """Returns True if the variables of flows are variables of a Keras layer, or its constructor has not run yet."""
    try:
        tracked = {id(variable) for variable in layer.variables}
    except AttributeError:
        return True
    return all(id(v) in tracked for held in keras_layers_in(modules) for v in held.variables)


def _modules_in(value: Any) -> Iterator[tf.Module]:
    if isinstance(value, tf.Module):
        yield value
    elif isinstance(value, dict):
        for entry in value.values():
            yield from _modules_in(entry)
    elif isinstance(value, (list, tuple, set)):
        for entry in value:
            yield from _modules_in(entry)


def track_flows() -> None:
    """Makes all Keras layers and models track the flows among their attributes."""
    observe_attributes(_track_flows)
