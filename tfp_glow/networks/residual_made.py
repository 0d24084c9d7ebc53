# SPDX-License-Identifier: Apache-2.0
"""`ResidualMADE`: a masked autoregressive network with residual blocks, for autoregressive neural spline flows."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from tfp_glow._checks import check_activation, check_int
from tfp_glow._tracking import set_layer_attributes
from tfp_glow._types import PolicyLike, SeedLike, Shape
from tfp_glow.networks._container import Container
from tfp_glow.networks._context import Inputs, InputShape
from tfp_glow.networks._seeds import as_seed_generator
from tfp_glow.networks.made import MaskedDense, context_layer, inputs_and_context, made_masks


@keras.saving.register_keras_serializable("tfp_glow")
class ResidualMADE(keras.Layer):
    """Applies a masked residual network: outputs `[..., i, :]` depend on inputs `[..., :i]` and on the context only.

    The network computes, with the activation `f`,

    ```
    h = dense(x) + dense(context)
    h = h + dense(f(dense(f(h)))) * sigmoid(dense(context))    # for each block
    output = dense(h)
    ```

    Without a context, there are no layers of the context. The kernels of all other layers are masked; the masks are
    those of `MADE`, and all hidden layers have the same degrees. The second dense layer of each block starts near zero,
    and the output layer starts at zero. So the initial output is zero.

    Args:
      size: number of inputs, an int of at least 1.
      width: size of the hidden layers, an int of at least 1. Default: 64.
      num_blocks: number of residual blocks, an int of at least 1. Default: 2.
      activation: name of a Keras activation, or a callable, for the hidden layers. Default: `"relu"`.
      num_outputs: number of outputs per input, an int of at least 1. Default: 2.
      context_size: size of the context, an int of at least 1. Default: None, no context.
      seed: an int or a `keras.random.SeedGenerator`, for the initial kernels. Default: None, Keras's global seed.
      dtype: dtype or dtype policy of the layer. Default: None, Keras's global policy.
      **kwargs: further arguments of `keras.Layer`.

    Input shape:
      `[..., size]`, with any batch shape. With a context, a pair `[x, context]` of tensors `[..., size]` and
      `[..., context_size]` with the same batch shape.

    Output shape:
      `[..., size, num_outputs]`.

    Raises:
      ValueError: if an argument is not an integer of at least 1 as described above, or if Keras has no activation of
        the given name.

    References:
      Germain, Gregor, Murray and Larochelle, *MADE: Masked autoencoder for distribution estimation*, 2015; Nash and
      Durkan, *Autoregressive energy machines*, 2019, for the residual blocks; Durkan, Bekasov, Murray and Papamakarios,
      *Neural spline flows*, 2019, section 5.

    Example:
      >>> ResidualMADE(3, width=16)(keras.ops.zeros((5, 3))).shape
      TensorShape([5, 3, 2])
    """

    def __init__(self, size: int, width: int = 64, num_blocks: int = 2, activation: str | Callable = "relu",
                 num_outputs: int = 2, context_size: int | None = None, seed: SeedLike = None,
                 dtype: PolicyLike = None, **kwargs: Any) -> None:
        super().__init__(dtype=dtype, **kwargs)
        self.size = check_int("size", size)
        self.width = check_int("width", width)
        self.num_blocks = check_int("num_blocks", num_blocks)
        self.activation = check_activation("activation", activation)
        self.num_outputs = check_int("num_outputs", num_outputs)
        self.context_size = None if context_size is None else check_int("context_size", context_size)
        generator = as_seed_generator(seed)
        glorot = keras.initializers.GlorotUniform(seed=generator)
        near_zero = keras.initializers.RandomUniform(-1e-3, 1e-3, seed=generator)
        first, inner, last = made_masks(
            self.size, (self.width,) * 2, self.num_outputs, self.context_size is not None)

        def dense(name: str, mask: Any, initializer: keras.Initializer | str) -> MaskedDense:
            return MaskedDense(mask, initializer, dtype=self.dtype_policy, name=name)

        self.dense_in = dense("dense_in", first, glorot)
        self.blocks = [Container(masked_dense=dense(f"dense_{index}_0", inner, glorot),
                                 masked_dense_1=dense(f"dense_{index}_1", inner, near_zero))
                       for index in range(self.num_blocks)]
        set_layer_attributes(self, [layer for block in self.blocks for layer in block])
        self.dense_out = dense("dense_out", last, "zeros")
        self.gates: list[keras.layers.Layer] = []
        if self.context_size is not None:
            self.dense_context = context_layer(self.dense_in, self.context_size, glorot)
            self.gates = set_layer_attributes(self, [
                keras.layers.Dense(self.width, kernel_initializer=glorot, dtype=self.dtype_policy, name=f"gate_{index}")
                for index in range(self.num_blocks)])
            for gate in self.gates:
                gate.build((None, self.context_size))
        self.built = True

    def call(self, inputs: Inputs) -> tf.Tensor:
        x, context = inputs_and_context(inputs, self.size, self.context_size)
        hidden = self.dense_in(ops.reshape(x, (-1, self.size)))
        if context is not None:
            hidden = hidden + self.dense_context(context)
        for index, (first, second) in enumerate(self.blocks):
            change = second(self.activation(first(self.activation(hidden))))
            if context is not None:
                change = change * ops.sigmoid(self.gates[index](context))
            hidden = hidden + change
        return ops.reshape(self.dense_out(hidden), (*ops.shape(x), self.num_outputs))

    def compute_output_shape(self, input_shape: InputShape) -> Shape:
        shape = input_shape[0] if isinstance(input_shape[0], (list, tuple)) else input_shape
        return (*shape, self.num_outputs)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size, "width": self.width, "num_blocks": self.num_blocks,
                "activation": keras.activations.serialize(self.activation), "num_outputs": self.num_outputs,
                "context_size": self.context_size}
