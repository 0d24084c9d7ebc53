# SPDX-License-Identifier: Apache-2.0
"""A network that looks at an image for couplings that are conditioned on it."""

import keras
from keras import ops

from tfp_glow._checks import check_int
from tfp_glow.networks.conv_layers import NormalizedConv2D
from tfp_glow.networks.mlp import shared_seed


@keras.saving.register_keras_serializable("tfp_glow")
class ImageFeatures(keras.Layer):
    """Centres an image of whole numbers, `2 * (x + 1/2) / num_levels - 1`, and looks around every pixel of it.

    The looking is done by two 3x3 convolutions with actnorm and ReLU.

    Args:
      width: channels of the hidden layer and of the output.
      num_levels: how many levels a pixel can take, from 0.
      seed: an int or `keras.random.SeedGenerator` for the kernels, or None for Keras's global seed.
      dtype: dtype or policy of the layer.
      **kwargs: further arguments of `keras.Layer`.

    Inputs `[batch, height, width, channels]`, in pixel units; outputs the same with `width` channels.

    Raises:
      ValueError: if `width` or `num_levels` is not a positive whole number.

    >>> ImageFeatures(width=16)(keras.ops.zeros((1, 8, 8, 3))).shape
    TensorShape([1, 8, 8, 16])
    """

    def __init__(self, width, num_levels=256, seed=None, dtype=None, **kwargs):
        super().__init__(dtype=dtype, **kwargs)
        self.width, self.num_levels = check_int("width", width), check_int("num_levels", num_levels)
        normal = keras.initializers.RandomNormal(stddev=0.05, seed=shared_seed(seed))
        self.conv_in = NormalizedConv2D(width, 3, normal, dtype=self.dtype_policy, name="conv_in")
        self.conv_out = NormalizedConv2D(width, 3, normal, dtype=self.dtype_policy, name="conv_out")

    def build(self, input_shape):
        self.conv_in.build(input_shape)
        self.conv_out.build((*input_shape[:-1], self.width))

    def call(self, inputs):
        return ops.relu(self.conv_out(ops.relu(self.conv_in(self._centred(inputs)))))

    def initialize(self, inputs):
        """Sets the actnorms from a batch of images; those set before stay."""
        hidden = ops.relu(self.conv_in.initialize(self._centred(inputs)))
        self.conv_out.initialize(hidden)

    def _centred(self, inputs):
        return (inputs + 0.5) * (2.0 / self.num_levels) - 1.0

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.width)

    def get_config(self):
        return {**super().get_config(), "width": self.width, "num_levels": self.num_levels}
