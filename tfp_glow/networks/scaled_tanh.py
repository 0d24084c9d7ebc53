# SPDX-License-Identifier: Apache-2.0
"""`ScaledTanh`: a learned factor times a hyperbolic tangent, which bounds the log-scale of RealNVP."""

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from tfp_glow._checks import check_number
from tfp_glow._types import PolicyLike, Shape


@keras.saving.register_keras_serializable("tfp_glow")
class ScaledTanh(keras.Layer):
    """Bounds the second half of the channels: maps `[shift, raw]` to `[shift, factor * tanh(raw)]`.

    `shift` and `raw` are the first and the second half of the channels. `factor` is one learned scalar. In the
    output, the second half is between `-factor` and `factor`. The elementwise transform
    `tfp_glow.transforms.Affine("exp")` uses the halves of the output as shift and log-scale.

    Args:
      factor: initial value of the learned `factor`, a number. Default: 1.0.
      regularizer: a Keras regularizer of `factor`, or its name or config. Default: None, no regularization.
      dtype: dtype or dtype policy of the layer. Default: None, Keras's global policy.
      **kwargs: further arguments of `keras.Layer`.

    Input shape:
      `[..., 2 * channels]`.

    Output shape:
      `[..., 2 * channels]`.

    Raises:
      ValueError: if `factor` is not a real number.

    References:
      Dinh, Sohl-Dickstein and Bengio, *Density estimation using Real NVP*, 2017, section 4.1.

    Example:
      >>> ScaledTanh(factor=0.5)(keras.ops.array([[1.0, 100.0]])).numpy().tolist()
      [[1.0, 0.5]]
    """

    def __init__(self, factor: float = 1.0, regularizer: keras.Regularizer | str | dict | None = None,
                 dtype: PolicyLike = None, **kwargs: Any) -> None:
        super().__init__(dtype=dtype, **kwargs)
        self.initial_factor = check_number("factor", factor)
        self.regularizer = keras.regularizers.get(regularizer)

    def build(self, input_shape: Shape) -> None:
        initializer = keras.initializers.Constant(self.initial_factor)
        self.factor = self.add_weight(name="factor", shape=(), initializer=initializer, regularizer=self.regularizer)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        shift, raw = ops.split(inputs, 2, axis=-1)
        return ops.concatenate([shift, self.factor * ops.tanh(raw)], axis=-1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "factor": self.initial_factor,
                "regularizer": keras.regularizers.serialize(self.regularizer)}
