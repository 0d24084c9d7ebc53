# SPDX-License-Identifier: Apache-2.0
"""The private APIs of Keras that this package and its trainers use, each with its reason.

Tested with Keras 3.15.
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
    """Base of a Keras model whose constructor creates all variables.

    `fit` does not build the model from a batch of data. The constructor of a subclass sets `self.built = True`.
    """

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        pass


class WrappedVariable(keras.Variable):
    """A Keras variable that holds an existing `tf.Variable` instead of a new one.

    Args:
      variable: the `tf.Variable`. It defines the shape, the dtype, the name and whether the Keras variable is
        trainable.
    """

    def __init__(self, variable: tf.Variable):
        self._existing = variable
        name = variable.name.split(":")[0].replace("/", "_")
        super().__init__(lambda shape, dtype: None, tuple(variable.shape), variable.dtype.name,
                         trainable=variable.trainable, autocast=False, name=name)

    def _initialize_with_initializer(self, initializer: Any) -> None:
        self._initialize(self._existing)


class GradientSumOptimizer:
    """Optimizer mixin that lets a subclass sum gradients over replicas before the optimizer clips them.

    A Keras optimizer clips the gradients of each replica and then sums them over replicas. With this mixin
    `Optimizer.apply` does not sum gradients. The method `apply` of the subclass calls `sum_over_replicas` and passes
    the sums to `super().apply`.

    List the mixin before the Keras class: `class MyAdam(GradientSumOptimizer, keras.optimizers.Adam)`.
    """

    _trainable_variables: Any
    _update_model_variables_moving_average: Any

    def sum_over_replicas(self, grads: Iterable[tf.Tensor], variables: Sequence[Any]) -> list[tf.Tensor]:
        """Sums each gradient over all replicas.

        Args:
          grads: gradients of this replica, one per variable.
          variables: the variables that the gradients belong to, in the same order.

        Returns:
          A list with the sum of each gradient. Every replica receives the same sums.
        """
        summed = super()._all_reduce_sum_gradients(list(zip(grads, variables, strict=True)))  # type: ignore[misc]
        return [grad for grad, _ in summed]

    def optimized_variables(self) -> list[Any]:
        """Returns the variables that the optimizer updates: those that its method `build` received."""
        return list(self._trainable_variables)

    def start_moving_average(self) -> None:
        """Sets the moving average of each weight to the weight.

        Call it only while `iterations` is 0. In later steps it would be a usual update of the moving average.
        """
        self._update_model_variables_moving_average(self._trainable_variables)

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> Any:
        return grads_and_vars
