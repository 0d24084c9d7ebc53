# SPDX-License-Identifier: Apache-2.0
"""Makes Keras see the plain `tf.Variable`s of a distribution, and TensorFlow's checkpoints all of Keras's variables."""

import keras
import tensorflow as tf


class VariableList(tf.Module):
    """Keras variables where TensorFlow's checkpoints find them: those look past lists in a Keras layer's attributes."""

    def __init__(self, variables):
        super().__init__()
        self.listed = list(variables)


class AdoptedVariables(keras.layers.Layer):
    """A Keras layer whose weights *are* the given `tf.Variable`s: training or loading one changes the other."""

    def __init__(self, variables, **kwargs):
        super().__init__(**kwargs)
        for index, variable in enumerate(variables):
            setattr(self, f"variable_{index}", _AdoptedVariable(variable))
        self.built = True

    def call(self, inputs):
        return inputs


class _AdoptedVariable(keras.Variable):
    # Keras makes a `tf.Variable` of its own in `_initialize_with_initializer`. That hook is private to Keras 3 (pinned
    # by this package's requirements); overriding it here is the only way to lend it an existing one.

    def __init__(self, variable):
        self._adopted = variable
        name = variable.name.split(":")[0].replace("/", "_")
        super().__init__(lambda shape, dtype: None, tuple(variable.shape), variable.dtype.name,
                         trainable=variable.trainable, autocast=False, name=name)

    def _initialize_with_initializer(self, initializer):
        self._initialize(self._adopted)
