# SPDX-License-Identifier: Apache-2.0
"""Pixels as a network likes them: whole levels between -1 and 1, and a mark for black."""

import keras
from keras import ops

from tfp_glow._checks import check_int


@keras.saving.register_keras_serializable("tfp_glow")
class PixelInputs(keras.Layer):
    """Rounds dequantised pixels down to their levels and scales those to [-1, 1].

    What uniform noise added is no information, so a network is better off without it. For conditioners of bijectors
    over pixels; no gradient goes back through it.

    Args:
      num_bits: bits of a pixel.
      mark_black: whether to add a channel for each, 1 where the level is 0 and 0 elsewhere: in many sets half of all
        pixels are black, and nothing like the next level.
      **kwargs: further arguments of `keras.Layer`.

    Inputs `[..., channels]` in pixel units `[0, 2**num_bits)`, outputs `[..., channels]`, or twice as many.

    Raises:
      ValueError: if `num_bits` is not a positive whole number, or `mark_black` no bool.

    >>> PixelInputs(num_bits=8, mark_black=True)(keras.ops.array([[0.7], [255.2]])).numpy().tolist()
    [[-1.0, 1.0], [1.0, 0.0]]
    """

    def __init__(self, num_bits=8, mark_black=False, **kwargs):
        super().__init__(**kwargs)
        self.num_bits, self.mark_black = check_int("num_bits", num_bits), mark_black
        if not isinstance(mark_black, bool):
            raise ValueError(f"Argument `mark_black` must be True or False; received {mark_black!r}.")

    def call(self, inputs):
        levels = ops.floor(inputs)
        scaled = levels * (2.0 / (2**self.num_bits - 1)) - 1.0
        if not self.mark_black:
            return ops.cast(scaled, self.compute_dtype)
        black = ops.cast(levels <= 0.0, scaled.dtype)
        return ops.cast(ops.concatenate([scaled, black], axis=-1), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] * (2 if self.mark_black else 1))

    def get_config(self):
        return {**super().get_config(), "num_bits": self.num_bits, "mark_black": self.mark_black}
