# SPDX-License-Identifier: Apache-2.0
"""`PixelInputs`: rounds pixel values to integers and scales them for a network."""

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from tfp_glow._checks import check_bool, check_int
from tfp_glow._types import Shape


@keras.saving.register_keras_serializable("tfp_glow")
class PixelInputs(keras.Layer):
    """Rounds pixel values down to integers and scales the integers to `[-1, 1]`.

    The layer computes `2 * floor(x) / (2**num_bits - 1) - 1`. Rounding down removes the dequantization noise, which
    carries no information. Use the layer at the input of a conditioner over pixel values. The layer has no gradient
    with respect to its input.

    Args:
      num_bits: bits per channel value, an int of at least 1. Values are in `[0, 2**num_bits)`. Default: 8.
      mark_black: a bool. If True, the layer appends one channel per input channel. The appended channel is 1 where the
        integer is 0, and 0 elsewhere. This helps if 0 marks a black background. Default: False.
      **kwargs: further arguments of `keras.Layer`.

    Input shape:
      `[..., channels]`.

    Output shape:
      `[..., channels]`, or `[..., 2 * channels]` if `mark_black` is True.

    Raises:
      ValueError: if `num_bits` is not an integer of at least 1, or if `mark_black` is not a bool.

    Example:
      >>> PixelInputs(num_bits=8, mark_black=True)(keras.ops.array([[0.7], [255.2]])).numpy().tolist()
      [[-1.0, 1.0], [1.0, 0.0]]
    """

    def __init__(self, num_bits: int = 8, mark_black: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_bits = check_int("num_bits", num_bits)
        self.mark_black = check_bool("mark_black", mark_black)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        integers = ops.floor(inputs)
        scaled = integers * (2.0 / (2**self.num_bits - 1)) - 1.0
        if not self.mark_black:
            return ops.cast(scaled, self.compute_dtype)
        black = ops.cast(integers <= 0.0, scaled.dtype)
        return ops.cast(ops.concatenate([scaled, black], axis=-1), self.compute_dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], input_shape[-1] * (2 if self.mark_black else 1))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_bits": self.num_bits, "mark_black": self.mark_black}
