# SPDX-License-Identifier: Apache-2.0
"""`Permute`, `Shuffle` and `Reverse`: fixed permutations of channels."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfp_glow._checks import check_order, check_shape
from tfp_glow._compat_tfp import permutation
from tfp_glow._types import DTypeLike, SeedLike, ShapeLike
from tfp_glow.bijectors.flow_bijector import FlowBijector


@permutation
class Permute(FlowBijector):
    """Reorders the channels of every pixel, or the elements of a vector, by a fixed permutation.

    * inverse: `x[..., j] = y[..., order[j]]`;
    * forward: `y[..., order[j]] = x[..., j]`.

    The log-determinant is 0. The order is a variable that is not trained, so checkpoints store it.

    Args:
      shape: event shape, `(height, width, channels)` or `(size,)`.
      order: a sequence of ints, a permutation of `range(shape[-1])`. Latent channel `j` is data channel `order[j]`.
      dtype: float32 (the default) or float64, of events.
      validate_args: a bool, passed to `tfb.Bijector`. The default is False.
      name: name of the bijector.
      parameters: dict of the arguments of a subclass's constructor, for the method `copy`. The default is None.

    Raises:
      ValueError: if `shape` has neither 1 nor 3 positive sizes, `order` is no permutation of the channels, or `dtype`
        is neither float32 nor float64.

    Example:

    >>> tfp_glow.bijectors.Permute((3,), order=[2, 0, 1]).inverse([10.0, 11.0, 12.0]).numpy().tolist()
    [12.0, 10.0, 11.0]
    """

    def __init__(self, shape: ShapeLike, order: Sequence[int] | np.ndarray, dtype: DTypeLike = "float32",
                 validate_args: bool = False, name: str = "permute", parameters: dict[str, Any] | None = None):
        parameters = {**locals(), "parameters": None} if parameters is None else parameters
        shape = check_shape("shape", shape, ranks=(1, 3))
        order = check_order("order", order, shape[-1])
        super().__init__(shape, dtype=dtype, is_constant_jacobian=True, validate_args=validate_args,
                         parameters=parameters, name=name)
        self.order = self._add_indices("order", order)

    def _inverse_and_log_det(self, y: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.gather(y, self._read(self.order), axis=-1), tf.zeros([], self.dtype)

    def _forward_and_log_det(self, x: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        inverse_order = tf.math.invert_permutation(self._read(self.order))
        return tf.gather(x, inverse_order, axis=-1), tf.zeros([], self.dtype)


class Shuffle(Permute):
    """Reorders the channels of every pixel, or the elements of a vector, by a random permutation that stays fixed.

    With a random permutation `order` of the channel indices:

    * inverse: `x[..., j] = y[..., order[j]]`;
    * forward: `y[..., order[j]] = x[..., j]`.

    The log-determinant is 0. The constructor draws `order`, and checkpoints store it.

    Args:
      shape: event shape, `(height, width, channels)` or `(size,)`.
      seed: an int or a `keras.random.SeedGenerator` for the order. None (the default) means Keras's global seed.
      dtype: float32 (the default) or float64, of events.
      validate_args: a bool, passed to `tfb.Bijector`. The default is False.
      name: name of the bijector.

    Raises:
      ValueError: if `shape` has neither 1 nor 3 positive sizes, or `dtype` is neither float32 nor float64.

    References:
      Kingma and Dhariwal, *Glow*, 2018: the fixed random permutation of the experiments on "gains using invertible 1x1
      convolution".

    Example:

    >>> tfp_glow.bijectors.Shuffle((4, 4, 3), seed=1).inverse(tf.zeros((2, 4, 4, 3))).shape
    TensorShape([2, 4, 4, 3])
    """

    def __init__(self, shape: ShapeLike, seed: SeedLike = None, dtype: DTypeLike = "float32",
                 validate_args: bool = False, name: str = "shuffle"):
        parameters = dict(locals())
        size = check_shape("shape", shape, ranks=(1, 3))[-1]
        noise = keras.ops.convert_to_numpy(keras.random.uniform((size,), seed=seed, dtype="float32"))
        super().__init__(shape, np.argsort(noise, kind="stable"), dtype, validate_args, name, parameters)


@permutation
class Reverse(FlowBijector):
    """Reverses the order of the channels of every pixel, or of the elements of a vector.

    With `C` channels (or vector elements):

    * inverse: `x[..., j] = y[..., C - 1 - j]`;
    * forward: `y[..., j] = x[..., C - 1 - j]`.

    The log-determinant is 0.

    Args:
      shape: event shape, `(height, width, channels)` or `(size,)`.
      dtype: float32 (the default) or float64, of events.
      validate_args: a bool, passed to `tfb.Bijector`. The default is False.
      name: name of the bijector.

    Raises:
      ValueError: if `shape` has neither 1 nor 3 positive sizes, or `dtype` is neither float32 nor float64.

    References:
      Dinh, Sohl-Dickstein and Bengio, *Density estimation using Real NVP*, 2017, with the published code; Kingma and
      Dhariwal, *Glow*, 2018, section 3.2.

    Example:

    >>> tfp_glow.bijectors.Reverse((3,)).inverse([10.0, 11.0, 12.0]).numpy().tolist()
    [12.0, 11.0, 10.0]
    """

    def __init__(self, shape: ShapeLike, dtype: DTypeLike = "float32", validate_args: bool = False,
                 name: str = "reverse"):
        parameters = dict(locals())
        shape = check_shape("shape", shape, ranks=(1, 3))
        super().__init__(shape, dtype=dtype, is_constant_jacobian=True, validate_args=validate_args,
                         parameters=parameters, name=name)

    def _inverse_and_log_det(self, y: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.reverse(y, axis=[-1]), tf.zeros([], self.dtype)

    def _forward_and_log_det(self, x: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.reverse(x, axis=[-1]), tf.zeros([], self.dtype)
