# SPDX-License-Identifier: Apache-2.0
"""The invertible 1x1 convolution with a dense matrix."""

import tensorflow as tf

from tfp_glow.bijectors.channel_affine import Affine, ChannelAffine
from tfp_glow._checks import check_shape
from tfp_glow.bijectors.invertible_conv import constant, random_rotation


class DenseConv1x1(ChannelAffine):
    """Mixes the channels of every pixel by a learned matrix `W`, whose entries are the parameters.

    `W` starts as a random rotation. At every pixel:

    * inverse: `x = W y`, log-det `H * W * log |det W|`, in `O(C**3)` once a call;
    * forward: `y = W^-1 x`, log-det `-H * W * log |det W|`.

    Training may make `W` singular; `InvertibleConv1x1`, with a determinant that is the product of its parameters, is
    the cheaper and safer choice, and this one the comparison.

    Args:
      shape: event shape, `(height, width, channels)` or `(size,)`.
      seed: seed of the random rotation, an int, or None for Keras's global seed.
      dtype: float32 or float64, of events and parameters.
      validate_args: passed to `tfb.Bijector`.
      name: name of the bijector.

    Raises:
      ValueError: if `shape` or `dtype` is not as said.

    Reference: Kingma and Dhariwal, *Glow*, 2018, section 3.2, equation 9.

    >>> conv = DenseConv1x1((4, 4, 3), seed=1)
    >>> conv.inverse(tf.zeros((2, 4, 4, 3))).shape
    TensorShape([2, 4, 4, 3])
    """

    def __init__(self, shape, seed=None, dtype="float32", validate_args=False, name="dense_conv1x1"):
        parameters = dict(locals())
        shape = check_shape("shape", shape, ranks=(1, 3))
        super().__init__(shape, dtype=dtype, validate_args=validate_args, parameters=parameters, name=name)
        size = shape[-1]
        self.weight = self._add_parameter("weight", (size, size), constant(random_rotation(size, seed)))

    def _inverse_affine(self):
        weight = self._read(self.weight)
        # Pixels are rows: `x^T = y^T W^T`.
        return Affine(tf.linalg.matrix_transpose(weight), None, tf.linalg.slogdet(weight).log_abs_determinant)

    def _forward_affine(self):
        weight = self._read(self.weight)
        inverse = tf.linalg.inv(weight)
        return Affine(tf.linalg.matrix_transpose(inverse), None, -tf.linalg.slogdet(weight).log_abs_determinant)
