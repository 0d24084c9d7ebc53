# SPDX-License-Identifier: Apache-2.0
"""`MLP`: a dense network for couplings of vectors."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfp_glow._checks import check_activation, check_int, check_ints
from tfp_glow._tracking import set_layer_attributes
from tfp_glow._types import PolicyLike, SeedLike, Shape
from tfp_glow.networks._context import Inputs, InputShape, concatenate_context, shape_with_context
from tfp_glow.networks._seeds import as_seed_generator


@keras.saving.register_keras_serializable("tfp_glow")
class MLP(keras.Layer):
    """Applies dense layers to vectors.

    The output layer is linear and starts at zero, so the initial output is zero.

    Args:
      out_features: size of the output, an int of at least 1. An `AffineCoupling` that changes `n` elements requires
        `out_features=2 * n`: `n` shifts and `n` scales.
      hidden_sizes: sizes of the hidden layers, a sequence of ints of at least 1. An empty sequence means no hidden
        layer. Default: `(64, 64)`.
      activation: name of a Keras activation, or a callable, for the hidden layers. Default: `"relu"`.
      seed: an int or a `keras.random.SeedGenerator`, for the initial kernels. Default: None, Keras's global seed.
      dtype: dtype or dtype policy of the layer. `"mixed_bfloat16"` computes in bfloat16 with float32 weights.
        Default: None, Keras's global policy.
      **kwargs: further arguments of `keras.Layer`.

    Input shape:
      `[batch, features]`. A coupling with a context passes a pair `[kept, context]` instead. `kept` is the unchanged
      part of the vectors, `[batch, features]`. `context` has the shape `[batch, size]`. The network concatenates the
      two.

    Output shape:
      `[batch, out_features]`.

    Raises:
      ValueError: if `out_features` or a hidden size is not an integer of at least 1, or if Keras has no activation of
        the given name.

    References:
      Dinh, Krueger and Bengio, *NICE: Non-linear independent components estimation*, 2015, section 5.1.

    Example:
      >>> MLP(4, hidden_sizes=(16, 16))(keras.ops.zeros((3, 2))).shape
      TensorShape([3, 4])
    """

    def __init__(self, out_features: int, hidden_sizes: Sequence[int] = (64, 64), activation: str | Callable = "relu",
                 seed: SeedLike = None, dtype: PolicyLike = None, **kwargs: Any) -> None:
        super().__init__(dtype=dtype, **kwargs)
        self.out_features = check_int("out_features", out_features)
        self.hidden_sizes = check_ints("hidden_sizes", hidden_sizes)
        self.activation = check_activation("activation", activation)
        glorot = keras.initializers.GlorotUniform(seed=as_seed_generator(seed))
        self.hidden = set_layer_attributes(self, [
            keras.layers.Dense(size, self.activation, kernel_initializer=glorot, dtype=self.dtype_policy,
                               name=f"hidden_{index}") for index, size in enumerate(self.hidden_sizes)])
        self.out = keras.layers.Dense(self.out_features, kernel_initializer="zeros", dtype=self.dtype_policy,
                                      name="out")

    def build(self, input_shape: InputShape) -> None:
        input_shape = shape_with_context(input_shape)
        for layer in (*self.hidden, self.out):
            layer.build(input_shape)
            input_shape = layer.compute_output_shape(input_shape)

    def call(self, inputs: Inputs) -> tf.Tensor:
        outputs = concatenate_context(inputs)
        for layer in self.hidden:
            outputs = layer(outputs)
        return self.out(outputs)

    def compute_output_shape(self, input_shape: InputShape) -> Shape:
        return (*shape_with_context(input_shape)[:-1], self.out_features)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "out_features": self.out_features, "hidden_sizes": list(self.hidden_sizes),
                "activation": keras.activations.serialize(self.activation)}
