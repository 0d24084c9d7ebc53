# SPDX-License-Identifier: Apache-2.0
"""Tracking of variables: lets Keras, TensorFlow Probability and TensorFlow's checkpoints find each variable once.

These libraries search for variables in different ways:

* Keras collects the variables of layers, and layers from attributes of layers and models.
* `tf.Module`, and with it TFP, collects `tf.Variable`s from attributes. It does not find the `tf.Variable` that a Keras
  variable holds.
* TensorFlow's checkpoints follow attributes, except lists in the attributes of a Keras layer.

Flow bijectors are `tf.Module`s whose parameters are Keras variables. This module holds the code that makes them visible
to each search.
"""

import weakref
from collections.abc import Iterable, Sequence
from typing import Any, Generic, TypeVar

import keras
import numpy as np
import tensorflow as tf

from tfp_glow._compat_keras import IndexVariable, WrappedVariable
from tfp_glow._compat_tensorflow import untracked

T = TypeVar("T")
# Two Keras variables for one `tf.Variable` would be two parameters for an optimizer.
_WRAPPED: weakref.WeakValueDictionary[int, WrappedVariable] = weakref.WeakValueDictionary()


class Hidden(Generic[T]):
    """Holds a value so that Keras, `tf.Module` and TensorFlow's checkpoints do not find the variables in it.

    `Repeat` hides its template step, whose variables are no parameters. `FlowModel` hides its distribution, because it
    tracks the Keras layers of the distribution instead.

    Args:
      value: any object, such as a bijector or a tuple of distributions.

    Attributes:
      value: the same object.
    """

    def __init__(self, value: T):
        self.value = value


class ParameterLayer(keras.layers.Layer):
    """A Keras layer that holds the parameters of one flow bijector. A call of the layer returns its inputs."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.built = True

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return inputs

    def add_parameter(self, name: str, **kwargs: Any) -> keras.Variable:
        """Creates a variable and sets it as an attribute of the layer, so that TensorFlow's checkpoints find it.

        Args:
          name: name of the variable and of the attribute.
          **kwargs: further arguments of `keras.Layer.add_weight`.

        Returns:
          The new Keras variable.
        """
        variable = self.add_weight(name=name, autocast=False, **kwargs)
        setattr(self, name, variable)
        return variable

    def add_indices(self, name: str, indices: np.ndarray) -> keras.Variable:
        """Creates an `IndexVariable` that is not trained, and sets it as an attribute of the layer.

        Args:
          name: name of the variable and of the attribute.
          indices: the initial value, an array of ints.

        Returns:
          The new Keras variable.
        """
        with keras.name_scope(self.name, caller=self):
            variable = IndexVariable(lambda shape, dtype: tf.constant(indices, dtype), shape=np.shape(indices),
                                     trainable=False, autocast=False, name=name)
        setattr(self, name, variable)
        return variable


class WrappedVariables(keras.layers.Layer):
    """A Keras layer whose weights are existing `tf.Variable`s. Training or loading the layer changes the variables.

    Args:
      variables: the `tf.Variable`s.
      **kwargs: further arguments of `keras.layers.Layer`.
    """

    def __init__(self, variables: Iterable[tf.Variable], **kwargs: Any):
        super().__init__(**kwargs)
        for index, variable in enumerate(variables):
            setattr(self, f"variable_{index}", _wrapped(variable))
        self.built = True

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return inputs


def _wrapped(variable: tf.Variable) -> WrappedVariable:
    """Returns the Keras variable that holds a `tf.Variable`, the same one in each call."""
    wrapped = _WRAPPED.get(id(variable))
    if wrapped is None:
        wrapped = _WRAPPED[id(variable)] = WrappedVariable(variable)
    return wrapped


class VariableList(tf.Module):
    """A list of Keras variables that TensorFlow's checkpoints find if it is an attribute of a Keras layer or model.

    Checkpoints do not follow a plain list in such an attribute.

    Args:
      variables: the Keras variables.
    """

    def __init__(self, variables: Iterable[keras.Variable]):
        super().__init__()
        self.listed = list(variables)


def show_variables(module: tf.Module, variables: Iterable[keras.Variable]) -> None:
    """Adds the `tf.Variable`s that Keras variables hold to `module.variables`.

    Checkpoints do not save these variables a second time: they find them as attributes of Keras layers.

    Args:
      module: a `tf.Module`, such as a bijector.
      variables: the Keras variables.
    """
    shown = [*getattr(module, "_tf_variables", ()), *(variable.value for variable in variables)]
    module._tf_variables = untracked(module, shown)


def set_layer_attributes(owner: keras.layers.Layer, layers: Sequence[keras.layers.Layer]) -> list[keras.layers.Layer]:
    """Sets each layer as an attribute of `owner`, so that TensorFlow's checkpoints find the variables of the layers.

    Args:
      owner: the Keras layer that contains the other layers.
      layers: the other layers. The name of each one becomes the name of the attribute, so names must differ.

    Returns:
      The layers as a list.
    """
    for layer in layers:
        setattr(owner, layer.name, layer)
    return list(layers)
