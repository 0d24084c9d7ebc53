# SPDX-License-Identifier: Apache-2.0
"""Fixed permutations of channels: a given one, reversal, and a random one."""

import keras
import numpy as np
import tensorflow as tf

from tfp_glow._checks import check_shape
from tfp_glow.bijectors.flow_bijector import FlowBijector


class Permute(FlowBijector):
    """Reorders the channels of every pixel, or the elements of a vector.

    * inverse: `x[..., j] = y[..., order[j]]`; forward: `y[..., order[j]] = x[..., j]`; log-det 0.

    The order is a variable that is not trained, so checkpoints keep it.

    Args:
      shape: event shape, `(height, width, channels)` or `(size,)`.
      order: a permutation of `range(shape[-1])`.
      dtype: float32 or float64, of events.
      validate_args: passed to `tfb.Bijector`.
      name: name of the bijector.

    Raises:
      ValueError: if an argument is not as said.

    >>> Permute((3,), order=[2, 0, 1]).inverse([10.0, 11.0, 12.0]).numpy().tolist()
    [12.0, 10.0, 11.0]
    """

    def __init__(self, shape, order, dtype="float32", validate_args=False, name="permute"):
        parameters = dict(locals())
        shape = check_shape("shape", shape, ranks=(1, 3))
        if np.ndim(order) != 1 or not np.array_equal(np.sort(order), np.arange(shape[-1])):
            raise ValueError(f"Argument `order` must be a permutation of range({shape[-1]}); received {order!r}.")
        super().__init__(shape, dtype=dtype, is_constant_jacobian=True, validate_args=validate_args,
                         parameters=parameters, name=name)
        order = np.asarray(order, "int32")
        self.order = self._add_parameter("order", shape[-1:], lambda shape, dtype=None: tf.constant(order, dtype),
                                         trainable=False, dtype="int32")

    _is_permutation = True

    def _inverse_and_log_det(self, y, **conditions):
        return tf.gather(y, self._read(self.order), axis=-1), tf.zeros([], self.dtype)

    def _forward_and_log_det(self, x, **conditions):
        back = tf.math.invert_permutation(self._read(self.order))
        return tf.gather(x, back, axis=-1), tf.zeros([], self.dtype)


class Shuffle(Permute):
    """A random permutation of the channels, drawn once.

    * inverse: `x[..., j] = y[..., order[j]]`; forward: `y[..., order[j]] = x[..., j]`; log-det 0.

    Args:
      shape, dtype, validate_args, name: as for `Permute`.
      seed: an int or `keras.random.SeedGenerator`, or None for Keras's global seed.

    Raises:
      ValueError: as `Permute`.

    Reference: Kingma and Dhariwal, *Glow*, 2018, section 6.1 (the "shuffle" of its comparison).

    >>> Shuffle((4, 4, 3), seed=1).inverse(tf.zeros((2, 4, 4, 3))).shape
    TensorShape([2, 4, 4, 3])
    """

    def __init__(self, shape, seed=None, dtype="float32", validate_args=False, name="shuffle"):
        parameters = dict(locals())
        size = check_shape("shape", shape, ranks=(1, 3))[-1]
        noise = keras.ops.convert_to_numpy(keras.random.uniform((size,), seed=seed, dtype="float32"))
        super().__init__(shape, np.argsort(noise, kind="stable"), dtype, validate_args, name)
        self._parameters = self._no_dependency(parameters)


class Reverse(FlowBijector):
    """Reverses the order of the channels of every pixel, or of the elements of a vector.

    * inverse and forward alike: `x[..., j] = y[..., C - 1 - j]`; log-det 0.

    Args:
      shape, dtype, validate_args, name: as for `Permute`.

    Raises:
      ValueError: as `Permute`.

    Reference: Dinh, Sohl-Dickstein and Bengio, *Density estimation using Real NVP*, 2017; Kingma and Dhariwal, *Glow*,
    2018, section 6.1.

    >>> Reverse((3,)).inverse([10.0, 11.0, 12.0]).numpy().tolist()
    [12.0, 11.0, 10.0]
    """

    def __init__(self, shape, dtype="float32", validate_args=False, name="reverse"):
        parameters = dict(locals())
        shape = check_shape("shape", shape, ranks=(1, 3))
        super().__init__(shape, dtype=dtype, is_constant_jacobian=True, validate_args=validate_args,
                         parameters=parameters, name=name)

    _is_permutation = True

    def _inverse_and_log_det(self, y, **conditions):
        return tf.reverse(y, axis=[-1]), tf.zeros([], self.dtype)

    _forward_and_log_det = _inverse_and_log_det
