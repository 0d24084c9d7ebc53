# SPDX-License-Identifier: Apache-2.0
"""Context managers that replace the weights of a model temporarily by their moving average."""

import contextlib
from collections.abc import Iterator

import keras

from .optimizers import RunOptimizer


@contextlib.contextmanager
def averaged_weights(model: keras.Model) -> Iterator[None]:
    """Sets the weights to their moving average during the body of a `with` statement.

    At the end of the body, the model has the weights from before it again, bit for bit. If the optimizer of the model
    keeps no moving average, the weights do not change.

    Args:
      model: a compiled Keras model.
    """
    # The callback SwapEMAWeights of Keras adds and subtracts the weights and their average, which rounds the weights.
    if not model.optimizer.use_ema:
        yield
        return
    own = [keras.ops.convert_to_numpy(v) for v in model.trainable_variables]
    model.optimizer.finalize_variable_values(model.trainable_variables)
    try:
        yield
    finally:
        for variable, value in zip(model.trainable_variables, own, strict=True):
            variable.assign(value)


@contextlib.contextmanager
def validated_weights(model: keras.Model) -> Iterator[None]:
    """Sets the weights during the body of a `with` statement to those of the validation: the average or the weights.

    Args:
      model: a compiled Keras model. If its optimizer is a `RunOptimizer` whose attribute `average_is_better` is False,
        the weights do not change.
    """
    optimizer = model.optimizer
    is_average = not isinstance(optimizer, RunOptimizer) or optimizer.average_is_better
    with averaged_weights(model) if is_average else contextlib.nullcontext():
        yield
