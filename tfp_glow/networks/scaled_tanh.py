# SPDX-License-Identifier: Apache-2.0
"""RealNVP's log-scale: a learned factor times a hyperbolic tangent."""

import keras
from keras import ops

from tfp_glow._checks import check_number


@keras.saving.register_keras_serializable("tfp_glow")
class ScaledTanh(keras.Layer):
    """Bounds the second half of the channels: `[shift, raw]` becomes `[shift, factor * tanh(raw)]`.

    `factor` is one learned number, so a coupling's log-scale is bounded, but not by 1. The output fits
    the elementwise rule `Affine("exp")`.

    Args:
      factor: what the factor is before training.
      regularizer: a Keras regulariser of the factor, or None.
      dtype: dtype or policy of the layer.
      **kwargs: further arguments of `keras.Layer`.

    Inputs and outputs `[..., 2 * channels]`.

    Reference: Dinh, Sohl-Dickstein and Bengio, *Density estimation using Real NVP*, 2017, section 4.1.

    >>> ScaledTanh(factor=0.5)(keras.ops.ones((1, 2)))[0, 0].numpy().item()
    1.0
    """

    def __init__(self, factor=1.0, regularizer=None, dtype=None, **kwargs):
        super().__init__(dtype=dtype, **kwargs)
        self.initial_factor = check_number("factor", factor)
        self.regularizer = keras.regularizers.get(regularizer)

    def build(self, input_shape):
        start = keras.initializers.Constant(self.initial_factor)
        self.factor = self.add_weight(name="factor", shape=(), initializer=start, regularizer=self.regularizer)

    def call(self, inputs):
        shift, raw = ops.split(inputs, 2, axis=-1)
        return ops.concatenate([shift, self.factor * ops.tanh(raw)], axis=-1)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {**super().get_config(), "factor": self.initial_factor,
                "regularizer": keras.regularizers.serialize(self.regularizer)}
