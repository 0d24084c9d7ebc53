# SPDX-License-Identifier: Apache-2.0
"""`MADE`: a dense network with masked kernels, in which each output depends on earlier inputs only."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from tfp_glow._checks import check_activation, check_int, check_ints
from tfp_glow._tracking import set_layer_attributes
from tfp_glow._types import PolicyLike, SeedLike, Shape
from tfp_glow.networks._context import Inputs, InputShape
from tfp_glow.networks._seeds import as_seed_generator


class MaskedDense(keras.Layer):
    """Multiplies the inputs by a masked kernel and adds a bias: `inputs @ (kernel * mask) + bias`.

    Args:
      mask: a boolean array `[inputs, outputs]`. Where the mask is False, the kernel has no effect.
      kernel_initializer: a Keras initializer of the kernel, or its name.
      **kwargs: further arguments of `keras.Layer`.
    """

    def __init__(self, mask: np.ndarray, kernel_initializer: keras.Initializer | str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mask = mask
        self.kernel = self.add_weight(name="kernel", shape=mask.shape, initializer=kernel_initializer)
        self.bias = self.add_weight(name="bias", shape=mask.shape[1:], initializer="zeros")
        self.built = True

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return ops.matmul(inputs, self.kernel * ops.convert_to_tensor(self.mask, dtype=inputs.dtype)) + self.bias


@keras.saving.register_keras_serializable("tfp_glow")
class MADE(keras.Layer):
    """Applies a masked autoregressive network: outputs `[..., i, :]` depend on inputs `[..., :i]` only.

    The masks follow from a degree per unit. With indices from 0, input `i` has the degree `i + 1`, and unit `k` of a
    hidden layer has the degree `1 + k % (size - 1)`. A hidden unit depends on units of the previous layer with the same
    or a lower degree. The outputs for input `i` depend on units of the last hidden layer with a degree below `i + 1`.
    The output layer starts at zero, so the initial output is zero.

    With a context, another dense layer without a bias maps the context to the first hidden layer, and all outputs
    depend on the context. Unit `k` then has the degree `k % size`: units of degree 0 depend on the context only.

    With the default `num_outputs=2`, `tfp_glow.bijectors.MaskedAutoregressive` and
    `tfp.bijectors.MaskedAutoregressiveFlow` accept the network. They use its outputs `[..., i, 0]` as the shift and
    `[..., i, 1]` as the log-scale of element `i`.

    Args:
      size: number of inputs, an int of at least 1.
      hidden_sizes: sizes of the hidden layers, a sequence of ints of at least 1. An empty sequence means no hidden
        layer. Default: `(64, 64)`.
      activation: name of a Keras activation, or a callable, for the hidden layers. Default: `"relu"`.
      num_outputs: number of outputs per input, an int of at least 1. Default: 2.
      seed: an int or a `keras.random.SeedGenerator`, for the initial kernels. Default: None, Keras's global seed.
      dtype: dtype or dtype policy of the layer. Default: None, Keras's global policy.
      context_size: size of the context, an int of at least 1. Default: None, no context.
      **kwargs: further arguments of `keras.Layer`.

    Input shape:
      `[..., size]`, with any batch shape. With a context, a pair `[x, context]` of tensors `[..., size]` and
      `[..., context_size]` with the same batch shape.

    Output shape:
      `[..., size, num_outputs]`.

    Raises:
      ValueError: if `size`, `num_outputs`, `context_size` or a hidden size is not an integer of at least 1, or if Keras
        has no activation of the given name.

    References:
      Germain, Gregor, Murray and Larochelle, *MADE: Masked autoencoder for distribution estimation*, 2015.
      Papamakarios, Pavlakou and Murray, *Masked autoregressive flow for density estimation*, 2017.

    Example:
      >>> MADE(3, hidden_sizes=(16, 16))(keras.ops.zeros((5, 3))).shape
      TensorShape([5, 3, 2])
    """

    def __init__(self, size: int, hidden_sizes: Sequence[int] = (64, 64), activation: str | Callable = "relu",
                 num_outputs: int = 2, seed: SeedLike = None, dtype: PolicyLike = None,
                 context_size: int | None = None, **kwargs: Any) -> None:
        super().__init__(dtype=dtype, **kwargs)
        self.size = check_int("size", size)
        self.num_outputs = check_int("num_outputs", num_outputs)
        self.context_size = None if context_size is None else check_int("context_size", context_size)
        self.hidden_sizes = check_ints("hidden_sizes", hidden_sizes)
        self.activation = check_activation("activation", activation)
        glorot = keras.initializers.GlorotUniform(seed=as_seed_generator(seed))
        self.dense = set_layer_attributes(self, [
            MaskedDense(mask, "zeros" if index == len(self.hidden_sizes) else glorot, dtype=self.dtype_policy,
                        name=f"dense_{index}")
            for index, mask in enumerate(made_masks(self.size, self.hidden_sizes, self.num_outputs,
                                                    context_size is not None))])
        if self.context_size is not None:
            self.dense_context = context_layer(
                self.dense[0], self.context_size, glorot if self.hidden_sizes else keras.initializers.Zeros())
        self.built = True

    def call(self, inputs: Inputs) -> tf.Tensor:
        x, context = inputs_and_context(inputs, self.size, self.context_size)
        hidden = ops.reshape(x, (-1, self.size))
        for index, dense in enumerate(self.dense):
            hidden = dense(self.activation(hidden) if index else hidden)
            if index == 0 and context is not None:
                hidden = hidden + self.dense_context(context)
        return ops.reshape(hidden, (*ops.shape(x), self.num_outputs))

    def compute_output_shape(self, input_shape: InputShape) -> Shape:
        shape = input_shape[0] if isinstance(input_shape[0], (list, tuple)) else input_shape
        return (*shape, self.num_outputs)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size, "hidden_sizes": list(self.hidden_sizes),
                "activation": keras.activations.serialize(self.activation), "num_outputs": self.num_outputs,
                "context_size": self.context_size}


def inputs_and_context(inputs: Inputs, size: int, context_size: int | None) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Returns the inputs of a MADE and its context, `[batch, context_size]`, or None for no context.

    Args:
      inputs: a tensor `[..., size]`, or with a context a pair `[x, context]`.
      size: number of inputs, an int.
      context_size: size of the context, an int, or None for no context.

    Raises:
      ValueError: if `inputs` is not a tensor, or with a context not a pair, of these sizes.
    """
    parts: list[Any] = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
    sizes = [size] if context_size is None else [size, context_size]
    if [part.shape[-1] for part in parts] != sizes:
        raise ValueError(f"Argument `inputs` must be {'a pair [x, context]' if len(sizes) > 1 else 'a tensor'} whose "
                         f"last axes have the sizes {sizes}; received shapes {[tuple(part.shape) for part in parts]}.")
    return parts[0], None if context_size is None else ops.reshape(parts[1], (-1, context_size))


def context_layer(first: MaskedDense, context_size: int, initializer: keras.Initializer) -> keras.layers.Dense:
    """Returns the dense layer that maps a context to the outputs of the first layer of a MADE."""
    layer = keras.layers.Dense(first.bias.shape[0], use_bias=False, kernel_initializer=initializer,
                               dtype=first.dtype_policy, name="dense_context")
    layer.build((None, context_size))
    return layer


def made_masks(size: int, hidden_sizes: Sequence[int], num_outputs: int, has_context: bool = False) -> list[np.ndarray]:
    """Returns the boolean mask `[inputs, outputs]` of each dense layer, computed from the degrees of the units.

    Args:
      size: number of inputs, an int.
      hidden_sizes: sizes of the hidden layers, ints.
      num_outputs: number of outputs per input, an int.
      has_context: a bool. True adds hidden units of degree 0, which depend on the context only. Default: False.
    """
    degrees = [np.arange(1, size + 1)]
    degrees += [np.arange(hidden) % size if has_context else 1 + np.arange(hidden) % max(1, size - 1)
                for hidden in hidden_sizes]
    masks = [before[:, np.newaxis] <= after for before, after in zip(degrees, degrees[1:], strict=False)]
    return [*masks, degrees[-1][:, np.newaxis] < np.repeat(degrees[0], num_outputs)]
