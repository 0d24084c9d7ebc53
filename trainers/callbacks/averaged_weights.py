# SPDX-License-Identifier: Apache-2.0
"""Callbacks that use the moving average of the weights for validation, and the weights themselves for training."""

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ..optimization.averaged_weights import averaged_weights


class ValidateWithAveragedWeights(keras.callbacks.Callback):
    """Sets the weights to their moving average during validation, if the optimizer keeps a moving average.

    While the momentum of the average still grows, the average may be worse than the weights themselves. The callback
    then validates the weights as well, with the same noise. If they have fewer bits per dimension, their values replace
    those of the average in the logs of the epoch, and `optimizer.average_is_better` becomes False. Place it before the
    callbacks that use these logs or `validated_weights`.

    Args:
      validation_data: the batches of the validation split, the argument `validation_data` of `fit`.
    """

    def __init__(self, validation_data: tf.data.Dataset) -> None:
        super().__init__()
        self._validation_data = validation_data
        self._context: AbstractContextManager[None] = nullcontext()

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._context = averaged_weights(self.model)
        self._context.__enter__()

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        self._context.__exit__(None, None, None)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        optimizer = self.model.optimizer
        optimizer.average_is_better = True
        if optimizer.average_is_young():
            own = self.model.evaluate(self._validation_data, verbose=0, return_dict=True)
            averaged, bits = logs["val_bits_per_dim"], own["bits_per_dim"]
            if bits < averaged or (math.isfinite(bits) and not math.isfinite(averaged)):
                optimizer.average_is_better = False
                logs.update({f"val_{name}": value for name, value in own.items()})


class KeepTrainingWeights(keras.callbacks.Callback):
    """Restores the weights at the end of `fit`, where Keras overwrites them with their moving average.

    Without a moving average, it does nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self._weights: list[np.ndarray] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if epoch + 1 == self.params["epochs"] and self.model.optimizer.use_ema:
            self._weights = [v.numpy() for v in self.model.trainable_variables]

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self.model.optimizer.use_ema:
            for variable, value in zip(self.model.trainable_variables, self._weights, strict=True):
                variable.assign(value)
