# SPDX-License-Identifier: Apache-2.0
"""The invertible 1x1 convolution, in the LU parametrisation."""

import keras
import numpy as np
import tensorflow as tf

from tfp_glow.bijectors.channel_affine import Affine, ChannelAffine
from tfp_glow._checks import check_shape


class InvertibleConv1x1(ChannelAffine):
    """Mixes the channels of every pixel by a learned invertible matrix `W`.

    `W = P L (U + diag(sign * exp(log_abs)))` with a fixed permutation `P` and fixed signs, both from a random
    rotation, a unit lower triangular `L` and a strictly upper triangular `U`. `L`, `log_abs` and `U` are the parts
    below, on and above the diagonal of one parameter, `packed`. At every pixel:

    * inverse: `x = W y`, log-det `H * W * sum(log_abs)`;
    * forward: `y = W^-1 x`, log-det `-H * W * sum(log_abs)`, by two triangular solves once a call, not per pixel.

    Args:
      shape: event shape, `(height, width, channels)` or `(size,)`.
      seed: seed of the random rotation, an int, or None for Keras's global seed.
      dtype: float32 or float64, of events and parameters.
      validate_args: passed to `tfb.Bijector`.
      name: name of the bijector.

    Raises:
      ValueError: if `shape` or `dtype` is not as said.

    Reference: Kingma and Dhariwal, *Glow*, 2018, section 3.2.

    >>> conv = InvertibleConv1x1((4, 4, 3), seed=1)
    >>> conv.inverse(tf.zeros((2, 4, 4, 3))).shape
    TensorShape([2, 4, 4, 3])
    """

    def __init__(self, shape, seed=None, dtype="float32", validate_args=False, name="invertible_conv1x1"):
        parameters = dict(locals())
        shape = check_shape("shape", shape, ranks=(1, 3))
        super().__init__(shape, dtype=dtype, validate_args=validate_args, parameters=parameters, name=name)
        size = shape[-1]
        permutation, lower, upper, diagonal = _random_rotation_lu(size, seed)
        packed = np.tril(lower, -1) + np.triu(upper, 1) + np.diag(np.log(np.abs(diagonal)))
        self.packed = self._add_parameter("packed", (size, size), constant(packed))
        self.sign = self._add_parameter("sign", (size,), constant(np.sign(diagonal)), trainable=False)
        self.permutation = self._add_parameter("permutation", (size, size), constant(permutation), trainable=False)

    def _factors(self):
        """`L`, `U + diag(sign * exp(log_abs))` and `sum(log_abs)`."""
        packed = self._read(self.packed)
        log_abs = tf.linalg.diag_part(packed)
        lower = tf.linalg.set_diag(tf.linalg.band_part(packed, -1, 0), tf.ones_like(log_abs))
        diagonal = self._read(self.sign) * tf.exp(log_abs)
        upper = tf.linalg.set_diag(tf.linalg.band_part(packed, 0, -1), diagonal)
        return lower, upper, tf.reduce_sum(log_abs, axis=-1)

    def _inverse_affine(self):
        lower, upper, log_det = self._factors()
        weight = self._read(self.permutation) @ (lower @ upper)
        # Pixels are rows: `x^T = y^T W^T`.
        return Affine(tf.linalg.matrix_transpose(weight), None, log_det)

    def _forward_affine(self):
        lower, upper, log_det = self._factors()
        unpermute = tf.linalg.matrix_transpose(self._read(self.permutation))
        inverse = tf.linalg.triangular_solve(
            upper, tf.linalg.triangular_solve(lower, unpermute, lower=True), lower=False)
        return Affine(tf.linalg.matrix_transpose(inverse), None, -log_det)


def random_rotation(size, seed):
    """A random rotation, a NumPy array in float64."""
    noise = keras.random.normal((size, size), seed=seed, dtype="float32")
    return np.linalg.qr(keras.ops.convert_to_numpy(noise).astype(np.float64))[0]


def _random_rotation_lu(size, seed):
    """NumPy arrays `P, L, U, diag(U)` of a random rotation, in float64."""
    with tf.init_scope():
        packed, order = (t.numpy() for t in tf.linalg.lu(tf.constant(random_rotation(size, seed))))
    permutation = np.eye(size)[:, order]
    return permutation, np.tril(packed, -1) + np.eye(size), np.triu(packed), np.diag(packed)


def constant(value):
    """An initialiser that gives `value`."""
    return lambda shape, dtype=None: keras.ops.convert_to_tensor(value, dtype=dtype)
