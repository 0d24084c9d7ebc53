# SPDX-License-Identifier: Apache-2.0
"""RealNVP's coupling network."""

import keras
import numpy as np
from keras import ops

from tfp_glow._checks import check_number, check_int
from tfp_glow.networks._context import joined, joined_shape
from tfp_glow.networks.mlp import as_attributes, shared_seed
from tfp_glow.networks.scaled_tanh import ScaledTanh
from tfp_glow.networks.weight_norm import WeightNormConv2D


@keras.saving.register_keras_serializable("tfp_glow")
class ResNet(keras.Layer):
    """A residual network of weight-normalised convolutions, batch norm and ReLU, with skips from every block.

    Inputs `x` become `relu([bn(x), -bn(x)])`, a 3x3 convolution makes `width` channels of them, and each block adds
    `conv3x3(relu(bn(conv3x3(relu(bn(h))))))` to `h`. 1x1 convolutions of `h` before the first and after every block are
    summed, and normalised, rectified and convolved once more into `[shift, factor * tanh(raw)]`, for the elementwise
    rule `Affine("exp")`.

    Args:
      width: channels of the hidden layers.
      out_channels: channels of the output, an even number.
      num_blocks: how many residual blocks.
      mask: an array `[height, width, 1]` appended to the inputs, that says where a checkerboard has left them; the
        inputs are doubled then, as half of them are zero. None if there is no such mask.
      batch_norm: whether the network has batch norm; without it the convolutions have biases instead.
      factor: the first value of the learned factor.
      regularizer: a Keras regulariser of the convolutions' and the tanh's scales, or None.
      seed: an int or `keras.random.SeedGenerator` for the kernels, or None for Keras's global seed.
      dtype: dtype or policy of the layer (`"mixed_bfloat16"` computes in bfloat16 with float32 weights).
      **kwargs: further arguments of `keras.Layer`.

    Inputs `[batch, height, width, channels]`, or `[kept, context]` with a context `[batch, size]` for all pixels or
    `[batch, height, width, size]`; outputs `[batch, height, width, out_channels]`.

    Raises:
      ValueError: if a size is not a positive whole number, or `out_channels` is odd.

    Reference: Dinh, Sohl-Dickstein and Bengio, *Density estimation using Real NVP*, 2017, section 4.1, and the
    published code, whose initial values these are.

    >>> ResNet(width=8, out_channels=4, num_blocks=2)(keras.ops.zeros((1, 8, 8, 2))).shape
    TensorShape([1, 8, 8, 4])
    """

    def __init__(self, width, out_channels, num_blocks, mask=None, batch_norm=True, factor=1.0, regularizer=None,
                 seed=None, dtype=None, **kwargs):
        super().__init__(dtype=dtype, **kwargs)
        self.width, self.num_blocks = check_int("width", width), check_int("num_blocks", num_blocks)
        self.out_channels, self.batch_norm = check_int("out_channels", out_channels), batch_norm
        self.factor = check_number("factor", factor)
        if out_channels % 2:
            raise ValueError(f"Argument `out_channels` must be even; received {out_channels}.")
        numbers = np.asarray(mask)
        if mask is not None and (numbers.dtype.kind not in "bif" or numbers.ndim != 3 or numbers.shape[-1] != 1):
            raise ValueError(f"Argument `mask` must be an array [height, width, 1] of numbers; received {mask!r}.")
        self.mask = None if mask is None else numbers.astype("float32")
        self.regularizer = keras.regularizers.get(regularizer)
        self._uniform = keras.initializers.RandomUniform(-1.0, 1.0, seed=shared_seed(seed))
        self.norm_in = self._norm("norm_in")
        self.conv_in = self._conv(width, 3, "conv_in", use_scale=False)
        self.skips = [self._conv(width, 1, f"skip_{index}") for index in range(num_blocks + 1)]
        self.blocks = [
            (self._norm(f"norm_{index}_0"),
             self._conv(width, 3, f"conv_{index}_0", use_scale=False, use_bias=not batch_norm),
             self._norm(f"norm_{index}_1"), self._conv(width, 3, f"conv_{index}_1")) for index in range(num_blocks)]
        self.norm_out = self._norm("norm_out")
        self.conv_out = self._conv(out_channels, 1, "conv_out")
        as_attributes(self, [*self.skips, *(layer for block in self.blocks for layer in block)])
        self.scaled_tanh = ScaledTanh(factor, self.regularizer, self.dtype_policy, name="scaled_tanh")

    def _conv(self, filters, kernel_size, name, **kwargs):
        return WeightNormConv2D(filters, kernel_size, kernel_initializer=self._uniform, regularizer=self.regularizer,
                                dtype=self.dtype_policy, name=name, **kwargs)

    def _norm(self, name):
        if not self.batch_norm:
            return keras.layers.Identity(dtype=self.dtype_policy, name=name)
        return keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-4, scale=False, synchronized=True,
                                               dtype=self.dtype_policy, name=name)

    def build(self, input_shape):
        input_shape = joined_shape(input_shape)
        batch = input_shape[:-1]
        self.norm_in.build(input_shape)
        self.conv_in.build((*batch, 2 * input_shape[-1] + (self.mask is not None)))
        for layer in (*self.skips, *(layer for block in self.blocks for layer in block), self.norm_out, self.conv_out):
            layer.build((*batch, self.width))
        self.scaled_tanh.build((*batch, self.out_channels))

    def call(self, inputs, training=None):
        inputs = self.norm_in(joined(inputs), training=training)
        if self.mask is not None:
            inputs = 2.0 * inputs
        parts = [inputs, -inputs]
        if self.mask is not None:
            mask = ops.convert_to_tensor(self.mask, dtype=inputs.dtype)
            parts.append(ops.broadcast_to(mask, (*ops.shape(inputs)[:-1], 1)))
        hidden = self.conv_in(ops.relu(ops.concatenate(parts, axis=-1)))
        total = self.skips[0](hidden)
        for (norm_0, conv_0, norm_1, conv_1), skip in zip(self.blocks, self.skips[1:], strict=True):
            inner = conv_0(ops.relu(norm_0(hidden, training=training)))
            hidden = hidden + conv_1(ops.relu(norm_1(inner, training=training)))
            total = total + skip(hidden)
        return self.scaled_tanh(self.conv_out(ops.relu(self.norm_out(total, training=training))))

    def compute_output_shape(self, input_shape):
        return (*joined_shape(input_shape)[:-1], self.out_channels)

    def get_config(self):
        return {**super().get_config(), "width": self.width, "out_channels": self.out_channels,
                "num_blocks": self.num_blocks, "mask": None if self.mask is None else self.mask.tolist(),
                "batch_norm": self.batch_norm, "factor": self.factor,
                "regularizer": keras.regularizers.serialize(self.regularizer)}
