# SPDX-License-Identifier: Apache-2.0
"""`ResNet`: the coupling network of RealNVP."""

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from keras import ops

from tfp_glow._checks import check_bool, check_int, check_number
from tfp_glow._tracking import set_layer_attributes
from tfp_glow._types import PolicyLike, SeedLike, Shape
from tfp_glow.networks._container import Container
from tfp_glow.networks._context import Inputs, InputShape, concatenate_context, shape_with_context
from tfp_glow.networks._seeds import as_seed_generator
from tfp_glow.networks.scaled_tanh import ScaledTanh
from tfp_glow.networks.weight_norm import WeightNormConv2D


@keras.saving.register_keras_serializable("tfp_glow")
class ResNet(keras.Layer):
    """Applies a residual network of weight-normalized convolutions, with a skip connection from each block to the end.

    The network computes

    ```
    h = conv3x3(relu([bn(x), -bn(x)]))
    total = conv1x1(h)
    h = h + conv3x3(relu(bn(conv3x3(relu(bn(h))))))    # for each block
    total = total + conv1x1(h)                         # for each block
    shift, raw = conv1x1(relu(bn(total)))
    output = [shift, factor * tanh(raw)]
    ```

    where `bn` is batch normalization and `factor` is a learned scalar. `[a, b]` concatenates along the channels, and
    `shift, raw = ...` splits the channels into halves. The elementwise transform `tfp_glow.transforms.Affine("exp")`
    uses the halves of the output as shift and log-scale.

    Args:
      width: number of hidden channels, an int of at least 1. It is not the width of the image.
      out_channels: number of output channels, an even int of at least 2.
      num_blocks: number of residual blocks, an int of at least 1.
      mask: an array `[H, W, 1]` of numbers, for a coupling with a checkerboard mask: 1 at the kept pixels and 0 at the
        changed pixels. With a mask, the network multiplies `bn(x)` by 2, since half of the pixels of `x` are zero. It
        also appends the mask to the input channels of the first convolution. Default: None, no mask.
      batch_norm: a bool. If False, the network has no batch normalization, and the first convolution of each block
        has a bias. Default: True.
      factor: initial value of the learned `factor`, a number. Default: 1.0.
      regularizer: a Keras regularizer of the learned scales of the convolutions and of `factor`, or its name or config.
        Default: None, no regularization.
      seed: an int or a `keras.random.SeedGenerator`, for the initial kernels. Default: None, Keras's global seed.
      dtype: dtype or dtype policy of the layer. `"mixed_bfloat16"` computes in bfloat16 with float32 weights.
        Default: None, Keras's global policy.
      **kwargs: further arguments of `keras.Layer`.

    Input shape:
      `[batch, H, W, channels]`, for images of height `H` and width `W`. A coupling with a context passes a pair
      `[kept, context]` instead. `kept` is the unchanged part of the images, `[batch, H, W, channels]`. `context` has
      the shape `[batch, size]` or `[batch, H, W, size]`. The network repeats a context `[batch, size]` at every pixel
      and appends the context to the channels.

    Output shape:
      `[batch, H, W, out_channels]`.

    Raises:
      ValueError: if `width`, `out_channels` or `num_blocks` is not an integer of at least 1, or `out_channels` is odd.
      ValueError: if `mask` is not an array `[H, W, 1]` of numbers.
      ValueError: if `batch_norm` is not a bool, or if `factor` is not a real number.

    References:
      Dinh, Sohl-Dickstein and Bengio, *Density estimation using Real NVP*, 2017, section 4.1. The initial values are
      from the authors' code.

    Example:
      >>> ResNet(width=8, out_channels=4, num_blocks=2)(keras.ops.zeros((1, 8, 8, 2))).shape
      TensorShape([1, 8, 8, 4])
    """

    def __init__(self, width: int, out_channels: int, num_blocks: int, mask: npt.ArrayLike | None = None,
                 batch_norm: bool = True, factor: float = 1.0,
                 regularizer: keras.Regularizer | str | dict | None = None, seed: SeedLike = None,
                 dtype: PolicyLike = None, **kwargs: Any) -> None:
        super().__init__(dtype=dtype, **kwargs)
        self.width = check_int("width", width)
        self.num_blocks = check_int("num_blocks", num_blocks)
        self.out_channels = check_int("out_channels", out_channels)
        if self.out_channels % 2:
            raise ValueError(f"Argument `out_channels` must be even; received {out_channels}.")
        self.batch_norm = check_bool("batch_norm", batch_norm)
        self.factor = check_number("factor", factor)
        self.mask = None if mask is None else _check_mask(mask)
        self.regularizer = keras.regularizers.get(regularizer)
        self._uniform = keras.initializers.RandomUniform(-1.0, 1.0, seed=as_seed_generator(seed))
        self.norm_in = self._norm("norm_in")
        self.conv_in = self._conv(self.width, 3, "conv_in", use_scale=False)
        self.skips = [self._conv(self.width, 1, f"skip_{index}") for index in range(self.num_blocks + 1)]
        self.blocks = [
            Container(
                batch_normalization=self._norm(f"norm_{index}_0"),
                weight_norm_conv2d=self._conv(
                    self.width, 3, f"conv_{index}_0", use_scale=False, use_bias=not self.batch_norm),
                batch_normalization_1=self._norm(f"norm_{index}_1"),
                weight_norm_conv2d_1=self._conv(self.width, 3, f"conv_{index}_1"))
            for index in range(self.num_blocks)]
        self.norm_out = self._norm("norm_out")
        self.conv_out = self._conv(self.out_channels, 1, "conv_out")
        set_layer_attributes(self, [*self.skips, *(layer for block in self.blocks for layer in block)])
        self.scaled_tanh = ScaledTanh(self.factor, self.regularizer, self.dtype_policy, name="scaled_tanh")

    def _conv(self, filters: int, kernel_size: int, name: str, **kwargs: Any) -> WeightNormConv2D:
        return WeightNormConv2D(filters, kernel_size, kernel_initializer=self._uniform, regularizer=self.regularizer,
                                dtype=self.dtype_policy, name=name, **kwargs)

    def _norm(self, name: str) -> keras.Layer:
        if not self.batch_norm:
            return keras.layers.Identity(dtype=self.dtype_policy, name=name)
        return keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-4, scale=False, synchronized=True,
                                               dtype=self.dtype_policy, name=name)

    def build(self, input_shape: InputShape) -> None:
        *batch, channels = shape_with_context(input_shape)
        self.norm_in.build((*batch, channels))
        self.conv_in.build((*batch, 2 * channels + (self.mask is not None)))
        for layer in (*self.skips, *(layer for block in self.blocks for layer in block), self.norm_out, self.conv_out):
            layer.build((*batch, self.width))
        self.scaled_tanh.build((*batch, self.out_channels))

    def call(self, inputs: Inputs, training: bool | None = None) -> tf.Tensor:
        normalized = self.norm_in(concatenate_context(inputs), training=training)
        if self.mask is not None:
            normalized = 2.0 * normalized
        features = [normalized, -normalized]
        if self.mask is not None:
            mask = ops.convert_to_tensor(self.mask, dtype=normalized.dtype)
            features.append(ops.broadcast_to(mask, (*ops.shape(normalized)[:-1], 1)))
        hidden = self.conv_in(ops.relu(ops.concatenate(features, axis=-1)))
        total = self.skips[0](hidden)
        for (norm_0, conv_0, norm_1, conv_1), skip in zip(self.blocks, self.skips[1:], strict=True):
            inner = conv_0(ops.relu(norm_0(hidden, training=training)))
            hidden = hidden + conv_1(ops.relu(norm_1(inner, training=training)))
            total = total + skip(hidden)
        return self.scaled_tanh(self.conv_out(ops.relu(self.norm_out(total, training=training))))

    def compute_output_shape(self, input_shape: InputShape) -> Shape:
        return (*shape_with_context(input_shape)[:-1], self.out_channels)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "width": self.width, "out_channels": self.out_channels,
                "num_blocks": self.num_blocks, "mask": None if self.mask is None else self.mask.tolist(),
                "batch_norm": self.batch_norm, "factor": self.factor,
                "regularizer": keras.regularizers.serialize(self.regularizer)}


def _check_mask(mask: npt.ArrayLike) -> np.ndarray:
    """Returns `mask` as a float32 array, or raises `ValueError` unless it is an array `[height, width, 1]`."""
    array = np.asarray(mask)
    if array.dtype.kind not in "bif" or array.ndim != 3 or array.shape[-1] != 1:
        raise ValueError(f"Argument `mask` must be an array [height, width, 1] of numbers; received {mask!r}.")
    return array.astype("float32")
