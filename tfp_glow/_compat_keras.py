# SPDX-License-Identifier: Apache-2.0
"""The private APIs of Keras that this package and its trainers use, each with its reason.

`tfp_glow._versions` checks that they exist.
"""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf
from keras.src.backend.common.global_state import get_global_attribute
from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter

__all__ = ["BuiltModel", "GradientSumOptimizer", "IndexVariable", "MovingAverageOptimizer", "WrappedVariable",
           "batches_of_arrays", "called_layer", "is_tracing_layers", "observe_attributes", "start_moving_average"]

PRIVATE_APIS = {
    "keras.Layer.__setattr__":
        "Keras tracks Keras layers and variables among the attributes of a layer. It is extended, so that it also "
        "tracks flows and TFP objects that contain flow bijectors.",
    "keras.src.backend.common.global_state":
        "Shows which layer Keras is calling, for a warning if this layer does not track a flow that it uses, and "
        "whether Keras builds a layer.",
    "keras.Model._maybe_symbolic_build":
        "`fit` would build the model from a batch of the data, which fails for batches that are spread over workers. "
        "`FlowModel` is built by its constructor.",
    "keras.src.trainers.data_adapters.array_data_adapter":
        "Makes the batches of arrays for `fit`, `evaluate` and `predict`, so that they can be read without the "
        "autotuning of tf.data.",
    "keras.Variable._initialize": "Assigns the `tf.Variable` that a Keras variable holds.",
    "keras.Variable._initialize_with_initializer":
        "Creates the `tf.Variable` that a Keras variable holds; overridden to use an existing one.",
    "keras.Variable._serialize_to_tensors":
        "Checkpoints of TensorFlow store indices as int32, as earlier versions did.",
    "keras.Variable._restore_from_tensors": "Assigns indices that a checkpoint of TensorFlow stored.",
    "keras.Variable._trackable_children": "Shows whether a checkpoint or a SavedModel is written.",
    "keras.Variable._copy_trackable_to_cpu": "Copies indices for a checkpoint that is written asynchronously.",
    "keras.Optimizer._all_reduce_sum_gradients": "Sums gradients over replicas; Keras does so only after clipping.",
    "keras.Optimizer._model_variables_moving_average": "The moving average of the weights.",
    "keras.Optimizer._trainable_variables": "The variables that the optimizer was built for.",
    "keras.Optimizer._update_model_variables_moving_average":
        "Starts the moving average of the weights in a step that is skipped; overridden for a momentum that grows.",
}


class BuiltModel(keras.Model):
    """Base of a Keras model whose constructor creates all variables.

    `fit` does not build the model from a batch of data. The constructor of a subclass sets `self.built = True`.
    """

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        pass


def batches_of_arrays(x: Any, y: Any = None, sample_weight: Any = None, **arguments: Any) -> tf.data.Dataset:
    """Returns the batches that Keras makes of arrays, in the same order, without the autotuning of tf.data.

    With autotuning, the end of an epoch often waits until the autotuner wakes up, which takes up to as long as the
    epoch, and at most a minute.

    Args:
      x: an array or a tuple of arrays, as for `keras.Model.fit`.
      y: an array, or None.
      sample_weight: an array, or None.
      **arguments: `batch_size`, `steps`, `shuffle` and `class_weight`, with the meaning that they have for Keras.
    """
    adapter = ArrayDataAdapter(x, y, sample_weight, **arguments)
    options = tf.data.Options()
    options.autotune.enabled = False
    batches = adapter.get_tf_dataset().apply(tf.data.experimental.assert_cardinality(adapter.num_batches))
    return batches.with_options(options)


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


class IndexVariable(keras.Variable):
    """An int64 Keras variable of indices, which TensorFlow's checkpoints store as int32.

    TensorFlow keeps int32 variables on the CPU, where XLA on a GPU cannot read them. It keeps int64 variables on the
    GPU. Checkpoints hold int32 because the variables of earlier versions were int32, and a checkpoint restores values
    of its own dtype only. A SavedModel holds int64, because its variable is a plain `tf.Variable`.

    Args:
      initializer: the initial value, a Keras initializer. Values must be below 2**31.
      **kwargs: further arguments of `keras.Variable`, except `dtype`.
    """

    def __init__(self, initializer: Any, **kwargs: Any):
        self._in_saved_model = False
        super().__init__(initializer, dtype="int64", **kwargs)

    def _trackable_children(self, save_type: str = "checkpoint", **kwargs: Any) -> Any:
        # Both kinds of files call this method once before they call `_serialize_to_tensors`.
        self._in_saved_model = save_type == "savedmodel"
        return super()._trackable_children(save_type, **kwargs)

    def _serialize_to_tensors(self) -> dict[str, Any]:
        in_saved_model, self._in_saved_model = self._in_saved_model, False
        if in_saved_model:
            return super()._serialize_to_tensors()
        return {"VARIABLE_VALUE": tf.cast(self.value, tf.int32)}

    def _restore_from_tensors(self, restored_tensors: Mapping[str, tf.Tensor]) -> Any:
        return super()._restore_from_tensors(
            {key: tf.cast(value, tf.int64) for key, value in restored_tensors.items()})

    def _copy_trackable_to_cpu(self, object_map: Any) -> None:
        super()._copy_trackable_to_cpu(object_map)
        object_map[self] = tf.Variable(tf.cast(object_map[self], tf.int32))


class GradientSumOptimizer:
    """Optimizer mixin that sums gradients over replicas before the optimizer clips them.

    A Keras optimizer clips the gradients of each replica and then sums them over replicas. With this mixin,
    `global_clipnorm` bounds the norm of the gradient of the whole batch, for any number of replicas.

    List the mixin before the Keras class: `class MyAdam(GradientSumOptimizer, keras.optimizers.Adam)`.
    """

    _trainable_variables: Any

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
        """Sums the gradients over all replicas and updates the variables with the sums.

        Args:
          grads: gradients of the loss of this replica, one per variable, not clipped.
          trainable_variables: the variables to update, in the order of `grads`. Default None: the variables that
            `build` received.
        """
        variables = list(self._trainable_variables if trainable_variables is None else trainable_variables)
        self.apply_sums(self.sum_over_replicas(grads, variables), variables)

    def sum_over_replicas(self, grads: Iterable[Any], variables: Sequence[Any]) -> list[Any]:
        """Sums each gradient over all replicas.

        Args:
          grads: gradients of this replica, one per variable.
          variables: the variables that the gradients belong to, in the same order.

        Returns:
          A list with the sum of each gradient. Every replica receives the same sums.
        """
        summed = super()._all_reduce_sum_gradients(list(zip(grads, variables, strict=True)))  # type: ignore[misc]
        return [grad for grad, _ in summed]

    def apply_sums(self, grads: Sequence[Any], variables: Sequence[Any]) -> None:
        """Clips the sums of gradients and updates the variables with them.

        Args:
          grads: the gradients that `sum_over_replicas` returned, one per variable.
          variables: the variables to update, in the order of `grads`.
        """
        super().apply(grads, variables)  # type: ignore[misc]

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> Any:
        return grads_and_vars


class MovingAverageOptimizer:
    """Optimizer mixin whose moving average of the weights has a momentum that depends on the step.

    A subclass defines the method `moving_average_momentum`. List the mixin before the Keras class.
    """

    use_ema: bool
    _model_variables_moving_average: Any

    def moving_average_momentum(self) -> Any:
        """Returns the momentum of this step, a float32 scalar in [0, 1]."""
        raise NotImplementedError

    def _update_model_variables_moving_average(self, trainable_variables: Any) -> None:
        if not self.use_ema:
            return
        momentum = self.moving_average_momentum()
        for variable, average in zip(trainable_variables, self._model_variables_moving_average, strict=True):
            factor = tf.cast(momentum, variable.dtype)
            average.assign(factor * average + (1 - factor) * variable)


def start_moving_average(optimizer: keras.optimizers.Optimizer) -> None:
    """Sets the moving average of each weight to the weight.

    Call it only while `optimizer.iterations` is 0. In later steps it would be a usual update of the moving average.

    Args:
      optimizer: a Keras optimizer that keeps a moving average, built.
    """
    optimizer._update_model_variables_moving_average(optimizer._trainable_variables)


def observe_attributes(observer: Callable[[keras.layers.Layer, str, Any], None]) -> None:
    """Calls a function after each assignment of an attribute of any Keras layer or model.

    Args:
      observer: a function `observer(layer, name, value)`. It replaces the function of an earlier call.
    """
    assign = getattr(keras.Layer.__setattr__, "before_observation", keras.Layer.__setattr__)

    @functools.wraps(assign)
    def assign_and_observe(self: keras.layers.Layer, name: str, value: Any) -> None:
        assign(self, name, value)
        observer(self, name, value)

    assign_and_observe.before_observation = assign  # type: ignore[attr-defined]
    keras.Layer.__setattr__ = assign_and_observe


def called_layer() -> keras.layers.Layer | None:
    """Returns the outermost Keras layer whose call is running, or None if Keras calls no layer."""
    context = get_global_attribute("current_call_ctx")
    return None if context is None else context.entry_layer


def is_tracing_layers() -> bool:
    """Returns True while Keras calls or builds a layer."""
    # The name of a layer in a call or in its method `build` is on the stack of name scopes.
    return bool(get_global_attribute("name_scope_stack"))
