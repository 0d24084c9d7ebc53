# SPDX-License-Identifier: Apache-2.0
"""`ResidualMLP`: the coupling network of neural spline flows."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from tfp_glow._checks import check_activation, check_int
from tfp_glow._tracking import set_layer_attributes
from tfp_glow._types import PolicyLike, SeedLike, Shape
from tfp_glow.networks._container import Container
from tfp_glow.networks._context import Inputs, InputShape, concatenate_context, shape_with_context
from tfp_glow.networks._seeds import as_seed_generator


@keras.saving.register_keras_serializable("tfp_glow")
class ResidualMLP(keras.Layer):
    """Applies a residual network of dense layers to vectors.

    The network computes, with the activation `f`,

    ```
    h = dense([x, context])
    h = h + dense(f(dense(f(h)))) * sigmoid(dense(context))    # for each block
    output = dense(h)
    ```

    Without a context, the first layer receives `x` only, and the blocks have no factor. The second dense layer of each
    block starts near zero, and the output layer starts at zero. So the initial output is zero.

    Args:
      out_features: size of the output, an int of at least 1.
      width: size of the hidden layers, an int of at least 1. Default: 64.
      num_blocks: number of residual blocks, an int of at least 1. Default: 2.
      activation: name of a Keras activation, or a callable, for the hidden layers. Default: `"relu"`.
      seed: an int or a `keras.random.SeedGenerator`, for the initial kernels. Default: None, Keras's global seed.
      dtype: dtype or dtype policy of the layer. `"mixed_bfloat16"` computes in bfloat16 with float32 weights.
        Default: None, Keras's global policy.
      **kwargs: further arguments of `keras.Layer`.

    Input shape:
      `[batch, features]`. A coupling with a context passes a pair `[kept, context]` instead. `kept` is the unchanged
      part of the vectors, `[batch, features]`. `context` has the shape `[batch, size]`.

    Output shape:
      `[batch, out_features]`.

    Raises:
      ValueError: if `out_features`, `width` or `num_blocks` is not an integer of at least 1, or if Keras has no
        activation of the given name.

    References:
      Durkan, Bekasov, Murray and Papamakarios, *Neural spline flows*, 2019, section 5. The initial values and the
      context follow the authors' code.

    Example:
      >>> ResidualMLP(4, width=16)(keras.ops.zeros((3, 2))).shape
      TensorShape([3, 4])
    """

    def __init__(self, out_features: int, width: int = 64, num_blocks: int = 2, activation: str | Callable = "relu",
                 seed: SeedLike = None, dtype: PolicyLike = None, **kwargs: Any) -> None:
        super().__init__(dtype=dtype, **kwargs)
        self.out_features = check_int("out_features", out_features)
        self.width = check_int("width", width)
        self.num_blocks = check_int("num_blocks", num_blocks)
        self.activation = check_activation("activation", activation)
        generator = as_seed_generator(seed)
        self._glorot = keras.initializers.GlorotUniform(seed=generator)
        near_zero = keras.initializers.RandomUniform(-1e-3, 1e-3, seed=generator)
        self.dense_in = self._dense("dense_in", self._glorot)
        self.blocks = [
            Container(dense=self._dense(f"dense_{index}_0", self._glorot),
                      dense_1=self._dense(f"dense_{index}_1", near_zero))
            for index in range(self.num_blocks)]
        self.gates: list[keras.layers.Layer] = []
        self.dense_out = keras.layers.Dense(self.out_features, kernel_initializer="zeros", dtype=self.dtype_policy,
                                            name="dense_out")
        set_layer_attributes(self, [layer for block in self.blocks for layer in block])

    def _dense(self, name: str, initializer: keras.Initializer) -> keras.layers.Dense:
        return keras.layers.Dense(self.width, kernel_initializer=initializer, dtype=self.dtype_policy, name=name)

    def build(self, input_shape: InputShape) -> None:
        inputs = shape_with_context(input_shape)
        self.dense_in.build(inputs)
        for layer in (*(layer for block in self.blocks for layer in block), self.dense_out):
            layer.build((*inputs[:-1], self.width))
        if isinstance(input_shape[0], (list, tuple)):
            self.gates = [self._dense(f"gate_{index}", self._glorot) for index in range(self.num_blocks)]
            set_layer_attributes(self, self.gates)
            for gate in self.gates:
                gate.build(tuple(input_shape[1]))

    def call(self, inputs: Inputs) -> tf.Tensor:
        hidden = self.dense_in(concatenate_context(inputs))
        for index, (first, second) in enumerate(self.blocks):
            change = second(self.activation(first(self.activation(hidden))))
            if self.gates:
                change = change * ops.sigmoid(self.gates[index](inputs[1]))
            hidden = hidden + change
        return self.dense_out(hidden)

    def compute_output_shape(self, input_shape: InputShape) -> Shape:
        return (*shape_with_context(input_shape)[:-1], self.out_features)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "out_features": self.out_features, "width": self.width,
                "num_blocks": self.num_blocks, "activation": keras.activations.serialize(self.activation)}
