# SPDX-License-Identifier: Apache-2.0
"""The private APIs of Keras that this package and its trainers use, each with its reason.

Checked with Keras 3.15.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import keras
import tensorflow as tf

__all__ = ["BuiltModel", "GradientSumOptimizer", "WrappedVariable"]

PRIVATE_APIS = {
    "keras.Model._maybe_symbolic_build":
        "`fit` would build the model from a batch of the data, which fails for batches that are spread over workers. "
        "`FlowModel` is built by its constructor.",
    "keras.Variable._initialize": "Assigns the `tf.Variable` that a Keras variable holds.",
    "keras.Variable._initialize_with_initializer":
        "Creates the `tf.Variable` that a Keras variable holds; overridden to use an existing one.",
    "keras.Optimizer._all_reduce_sum_gradients": "Sums gradients over replicas; Keras does so only after clipping.",
    "keras.Optimizer._trainable_variables": "The variables that the optimizer was built for.",
    "keras.Optimizer._update_model_variables_moving_average":
        "Starts the moving average of the weights in a step that is skipped.",
}


class BuiltModel(keras.Model):
    """A Keras model that is built by its constructor, so that `fit` does not build it from a batch."""

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        pass


class WrappedVariable(keras.Variable):
    """A Keras variable that holds an existing `tf.Variable` instead of a new one."""

    def __init__(self, variable: tf.Variable):
        self._existing = variable
        name = variable.name.split(":")[0].replace("/", "_")
        super().__init__(lambda shape, dtype: None, tuple(variable.shape), variable.dtype.name,
                         trainable=variable.trainable, autocast=False, name=name)

    def _initialize_with_initializer(self, initializer: Any) -> None:
        self._initialize(self._existing)


class GradientSumOptimizer:
    """Optimizer mixin whose `apply` receives gradients that are already summed over replicas.

    Mix it in before a `keras.optimizers.Optimizer`.
    """

    _trainable_variables: Any
    _update_model_variables_moving_average: Any

    def sum_over_replicas(self, grads: Iterable[tf.Tensor], variables: Sequence[Any]) -> list[tf.Tensor]:
        """Returns the sums over all replicas of the gradients of `variables`."""
        summed = super()._all_reduce_sum_gradients(list(zip(grads, variables, strict=True)))  # type: ignore[misc]
        return [grad for grad, _ in summed]

    def optimized_variables(self) -> list[Any]:
        """Returns the variables that the optimizer was built for."""
        return list(self._trainable_variables)

    def start_moving_average(self) -> None:
        """Sets the moving average of the weights to the current weights, in the optimizer's first step."""
        self._update_model_variables_moving_average(self._trainable_variables)

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> Any:
        return grads_and_vars
