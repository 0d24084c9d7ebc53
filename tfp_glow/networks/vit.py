# SPDX-License-Identifier: Apache-2.0
"""`ViT`: the coupling network of Jet, a vision transformer over the pixels or patches that it receives."""

import math
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from tfp_glow._checks import check_int
from tfp_glow._tracking import set_layer_attributes
from tfp_glow._types import PolicyLike, SeedLike, Shape
from tfp_glow.networks._seeds import as_seed_generator


class TransformerBlock(keras.Layer):
    """Applies self-attention and a two-layer perceptron to tokens, each to normalized inputs and around a shortcut.

    ```
    x = x + attention(layer_norm(x))
    x = x + dense(gelu(dense(layer_norm(x))))
    ```

    Args:
      width: number of channels of a token, an int of at least 1 that is divisible by `num_heads`.
      num_heads: number of attention heads, an int of at least 1.
      seed: a `keras.random.SeedGenerator` for the initial kernels.
      **kwargs: further arguments of `keras.Layer`.
    """

    def __init__(self, width: int, num_heads: int, seed: keras.random.SeedGenerator, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.width, self.num_heads = width, num_heads
        glorot = keras.initializers.GlorotUniform(seed=seed)
        # The kernels of queries, keys and values are side by side in one kernel. Twice the variance of Glorot's rule
        # for the joint kernel is the variance of his rule for each of the three.
        joint = keras.initializers.VarianceScaling(2.0, "fan_avg", "uniform", seed=seed)
        policy = self.dtype_policy
        self.norm_attention = keras.layers.LayerNormalization(epsilon=1e-6, dtype=policy, name="norm_attention")
        self.queries_keys_values = keras.layers.Dense(3 * width, kernel_initializer=joint, dtype=policy,
                                                      name="queries_keys_values")
        self.mix_heads = keras.layers.Dense(width, kernel_initializer=glorot, dtype=policy, name="mix_heads")
        self.norm_mlp = keras.layers.LayerNormalization(epsilon=1e-6, dtype=policy, name="norm_mlp")
        self.expand = keras.layers.Dense(4 * width, kernel_initializer=glorot, dtype=policy, name="expand")
        self.contract = keras.layers.Dense(width, kernel_initializer=glorot, dtype=policy, name="contract")

    def build(self, input_shape: Shape) -> None:
        for layer in (self.norm_attention, self.queries_keys_values, self.mix_heads, self.norm_mlp, self.expand):
            layer.build(input_shape)
        self.contract.build((*input_shape[:-1], 4 * self.width))

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        tokens = inputs + self.mix_heads(self._attend(self.queries_keys_values(self.norm_attention(inputs))))
        hidden = keras.activations.gelu(self.expand(self.norm_mlp(tokens)), approximate=True)
        return tokens + self.contract(hidden)

    def _attend(self, joint: tf.Tensor) -> tf.Tensor:
        """Computes `softmax(q k / sqrt(size)) v` per head, from queries, keys and values `[batch, n, 3 * width]`."""
        length, size = joint.shape[1], self.width // self.num_heads
        heads = ops.transpose(ops.reshape(joint, (-1, length, 3, self.num_heads, size)), (2, 0, 3, 1, 4))
        # The gradients of indexing and of a transposed copy would take longer than the rest of the attention.
        queries, keys, values = tf.unstack(heads)
        weights = ops.softmax(tf.matmul(queries * (1.0 / math.sqrt(size)), keys, transpose_b=True), axis=-1)
        mixed = ops.transpose(tf.matmul(weights, values), (0, 2, 1, 3))
        return ops.reshape(mixed, (-1, length, self.width))


@keras.saving.register_keras_serializable("tfp_glow")
class ViT(keras.Layer):
    """Applies a vision transformer: every input pixel, usually a patch of an image, is a token.

    For tokens `x`, `n` in number, the network computes

    ```
    h = dense(x) + place
    h = h + attention(layer_norm(h))                  # for each block
    h = h + dense(gelu(dense(layer_norm(h))))         # for each block
    output = dense(layer_norm(h))
    ```

    `place` is the position embedding, a learned tensor with one vector of hidden channels per token. Attention has
    `num_heads` heads, the perceptron in a block has `4 * width` hidden channels, and GELU is approximated with tanh.
    The last layer starts at zero, so the initial output is zero.

    The position embedding fixes the number of tokens: all inputs must have as many as the inputs that the network was
    built for.

    Args:
      width: number of channels of a token inside the network, an int of at least 1 that is divisible by `num_heads`.
      out_channels: number of output channels, an int of at least 1.
      num_blocks: number of transformer blocks, an int of at least 1.
      num_heads: number of attention heads, an int of at least 1. Default: 8.
      seed: an int or a `keras.random.SeedGenerator`, for the initial weights. Default: None, Keras's global seed.
      dtype: dtype or dtype policy of the layer. `"mixed_bfloat16"` computes in bfloat16 with float32 weights, except in
        the output layer, which computes in float32. Default: None, Keras's global policy.
      **kwargs: further arguments of `keras.Layer`.

    Input shape:
      `[batch, n, channels]`, or images `[batch, H, W, channels]` whose `n = H * W` pixels are the tokens.

    Output shape:
      `[batch, n, out_channels]` or `[batch, H, W, out_channels]`.

    Raises:
      ValueError: if `width`, `out_channels`, `num_blocks` or `num_heads` is not an integer of at least 1, or if `width`
        is not divisible by `num_heads`.

    References:
      Dosovitskiy et al., *An image is worth 16x16 words: Transformers for image recognition at scale*, 2021;
      Kolesnikov, Pinto and Tschannen, *Jet: A modern transformer-based normalizing flow*, 2024, section 2.

    Example:
      >>> ViT(width=16, out_channels=6, num_blocks=1, num_heads=2)(keras.ops.zeros((1, 4, 4, 3))).shape
      TensorShape([1, 4, 4, 6])
    """

    def __init__(self, width: int, out_channels: int, num_blocks: int, num_heads: int = 8, seed: SeedLike = None,
                 dtype: PolicyLike = None, **kwargs: Any) -> None:
        super().__init__(dtype=dtype, **kwargs)
        self.width, self.out_channels = check_int("width", width), check_int("out_channels", out_channels)
        self.num_blocks, self.num_heads = check_int("num_blocks", num_blocks), check_int("num_heads", num_heads)
        if self.width % self.num_heads:
            raise ValueError(f"Argument `width` must be divisible by `num_heads` = {num_heads}; received {width}.")
        generator, policy = as_seed_generator(seed), self.dtype_policy
        self._normal = keras.initializers.RandomNormal(stddev=1.0 / math.sqrt(self.width), seed=generator)
        self.embed = keras.layers.Dense(self.width, kernel_initializer=keras.initializers.GlorotUniform(seed=generator),
                                        dtype=policy, name="embed")
        self.blocks = set_layer_attributes(self, [
            TransformerBlock(self.width, self.num_heads, generator, dtype=policy, name=f"block_{index}")
            for index in range(self.num_blocks)])
        self.norm_out = keras.layers.LayerNormalization(epsilon=1e-6, dtype=policy, name="norm_out")
        self.head = keras.layers.Dense(self.out_channels, kernel_initializer="zeros", dtype=self.variable_dtype,
                                       name="head")

    def build(self, input_shape: Shape) -> None:
        self.place = self.add_weight(name="place", shape=(*input_shape[1:-1], self.width), initializer=self._normal)
        tokens = (None, math.prod(input_shape[1:-1]))
        self.embed.build((*tokens, input_shape[-1]))
        for layer in (*self.blocks, self.norm_out, self.head):
            layer.build((*tokens, self.width))

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        places = tuple(self.place.shape[:-1])
        tokens = ops.reshape(self.embed(inputs) + self.place, (-1, math.prod(places), self.width))
        for block in self.blocks:
            tokens = block(tokens)
        return ops.reshape(self.head(self.norm_out(tokens)), (-1, *places, self.out_channels))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.out_channels)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "width": self.width, "out_channels": self.out_channels,
                "num_blocks": self.num_blocks, "num_heads": self.num_heads}
