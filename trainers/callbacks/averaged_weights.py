# SPDX-License-Identifier: Apache-2.0
"""Callbacks that use the moving average of the weights for validation, and the weights themselves for training."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
import numpy as np

from ..optimization.averaged_weights import averaged_weights


class ValidateWithAveragedWeights(keras.callbacks.Callback):
    """Sets the weights to their moving average during validation, if the optimizer keeps a moving average."""

    def __init__(self) -> None:
        super().__init__()
        self._context: AbstractContextManager[None] = nullcontext()

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._context = averaged_weights(self.model)
        self._context.__enter__()

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        self._context.__exit__(None, None, None)


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
