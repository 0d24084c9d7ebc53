# SPDX-License-Identifier: Apache-2.0
"""The moving average of the weights that an optimizer keeps, used in place of the weights."""

import contextlib
from collections.abc import Iterator

import keras


@contextlib.contextmanager
def averaged_weights(model: keras.Model) -> Iterator[None]:
    """Returns a context in which the model's weights are the moving average that its optimizer keeps.

    When the context ends, the model has its own weights again, bit for bit. Without a moving average, the context does
    nothing.

    Args:
      model: a compiled model.
    """
    # Keras's callback for this, SwapEMAWeights, swaps by addition and subtraction, which rounds the weights.
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
