# SPDX-License-Identifier: Apache-2.0
"""How every variable is found exactly once by Keras, by TensorFlow Probability and by TensorFlow's checkpoints.

The three search in different ways:

* Keras collects the variables of layers, and layers from attributes of layers and models.
* `tf.Module`, and with it TFP, collects `tf.Variable`s from attributes; it does not look into Keras variables.
* TensorFlow's checkpoints follow attributes, except lists in the attributes of a Keras layer.

Flow bijectors are `tf.Module`s whose parameters are Keras variables, so each search needs help. All of it is here.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Generic, TypeVar

import keras
import tensorflow as tf

from tfp_glow._compat_keras import WrappedVariable
from tfp_glow._compat_tensorflow import untracked

T = TypeVar("T")


class Hidden(Generic[T]):
    """Holds a value in an attribute where none of the three searches finds its variables.

    `Repeat` hides its template step, whose variables are no parameters. `FlowModel` hides its distribution, whose
    variables it collects as Keras layers.
    """

    def __init__(self, value: T):
        self.value = value


class ParameterLayer(keras.layers.Layer):
    """The Keras layer that holds the parameters of one flow bijector. Calling it returns its inputs."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.built = True

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return inputs

    def add_parameter(self, name: str, **kwargs: Any) -> keras.Variable:
        """Creates a variable as `add_weight` does, as an attribute, so that TensorFlow's checkpoints find it."""
        variable = self.add_weight(name=name, autocast=False, **kwargs)
        setattr(self, name, variable)
        return variable


class WrappedVariables(keras.layers.Layer):
    """A Keras layer whose weights are existing `tf.Variable`s: training or loading one changes the other."""

    def __init__(self, variables: Iterable[tf.Variable], **kwargs: Any):
        super().__init__(**kwargs)
        for index, variable in enumerate(variables):
            setattr(self, f"variable_{index}", WrappedVariable(variable))
        self.built = True

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return inputs


class VariableList(tf.Module):
    """Keras variables in an attribute that TensorFlow's checkpoints follow, for a Keras layer or model."""

    def __init__(self, variables: Iterable[keras.Variable]):
        super().__init__()
        self.listed = list(variables)


def show_variables(module: tf.Module, variables: Iterable[keras.Variable]) -> None:
    """Makes `module.variables` list the `tf.Variable`s in Keras variables.

    Checkpoints find these variables through their layers, so the list is untracked.
    """
    shown = [*getattr(module, "_tf_variables", ()), *(variable.value for variable in variables)]
    module._tf_variables = untracked(module, shown)


def set_layer_attributes(owner: keras.layers.Layer, layers: Sequence[keras.layers.Layer]) -> list[keras.layers.Layer]:
    """Makes each layer of a list an attribute of `owner` under the layer's name, and returns the list.

    TensorFlow's checkpoints then find the variables of these layers.
    """
    for layer in layers:
        setattr(owner, layer.name, layer)
    return list(layers)
