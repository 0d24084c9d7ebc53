# SPDX-License-Identifier: Apache-2.0
"""`ChannelAutoregressive`: autoregression over the channels of an image."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfp_glow._checks import check_int, check_shape
from tfp_glow._compat_tensorflow import untracked
from tfp_glow._types import DTypeLike, ShapeLike
from tfp_glow.bijectors._conditioner import Conditioner
from tfp_glow.bijectors.flow_bijector import FlowBijector
from tfp_glow.transforms import ElementwiseTransform, check_transform


class ChannelAutoregressive(FlowBijector):
    """Keeps the first channels and transforms every other channel with parameters computed from the channels before it.

    With one network per channel `k >= num_kept`:

    * inverse: `x[..., k] = transform.inverse(y[..., k], network_k(y[..., :k]))`, in any order of the channels;
    * forward: `y[..., k] = transform.forward(x[..., k], network_k(y[..., :k]))`, one channel after the other.

    The log-determinant is the sum of the transform's log-determinants over all changed elements. A pass in either
    direction evaluates each network once, for all pixels of a channel together.

    Args:
      shape: event shape, `(height, width, channels)`.
      networks: a list or tuple of Keras layers, one per changed channel, in the order of the channels. The network of
        channel `k` maps `[batch, height, width, k]` to `[batch, height, width, transform.num_parameters]`. The
        constructor builds the networks that are not built.
      transform: an elementwise transform, such as `tfp_glow.transforms.LogisticMixture()` or
        `tfp_glow.transforms.Affine(...)`.
      num_kept: number of kept channels, an int from 1 to `channels - 1`. The other channels are changed.
      dtype: float32 (the default) or float64, of events. The networks may compute in another dtype, such as bfloat16.
      validate_args: a bool, passed to `tfb.Bijector`. The default is False.
      name: name of the bijector.

    Raises:
      ValueError: if `shape` does not have 3 positive sizes, `num_kept` is not an int of at least 1, `networks` does not
        have one network per changed channel, the output of a network does not have the shape that the transform
        requires, `transform` is no elementwise transform, or `dtype` is neither float32 nor float64.

    References:
      Reed et al., *Parallel multiscale autoregressive density estimation*, 2017, section 3, for groups of pixels that
      depend on earlier groups; Papamakarios, Pavlakou and Murray, *Masked autoregressive flow for density estimation*,
      2017, section 3.1, for autoregression as a bijector.

    Example:

    >>> networks = [keras.layers.Conv2D(2, 3, padding="same") for _ in range(3)]
    >>> transform = tfp_glow.transforms.Affine("tanh")
    >>> flow = tfp_glow.bijectors.ChannelAutoregressive((4, 4, 4), networks, transform, num_kept=1)
    >>> flow.inverse(tf.zeros((5, 4, 4, 4))).shape
    TensorShape([5, 4, 4, 4])
    """

    def __init__(self, shape: ShapeLike, networks: Sequence[keras.Layer], transform: ElementwiseTransform,
                 num_kept: int, dtype: DTypeLike = "float32", validate_args: bool = False,
                 name: str = "channel_autoregressive"):
        parameters = dict(locals())
        shape = check_shape("shape", shape, ranks=(3,))
        num_kept = check_int("num_kept", num_kept)
        num_changed = shape[-1] - num_kept
        if not isinstance(networks, (list, tuple)) or len(networks) != num_changed or not networks:
            raise ValueError("Argument `networks` must be a list or tuple of networks, one for each of the changed "
                             f"channels, {num_changed} of {shape[-1]}; received {networks!r}.")
        super().__init__(shape, dtype=dtype, validate_args=validate_args, parameters=parameters, name=name)
        self._transform, self._num_kept = check_transform(transform), num_kept
        output_shape = (*shape[:-1], transform.num_parameters)
        self._conditioners = untracked(self, [
            Conditioner(f"{name}_{k}", network, (*shape[:-1], k), None, output_shape, self.dtype)
            for k, network in enumerate(networks, start=num_kept)])
        self._networks = [self._add_network(network) for network in networks]

    @property
    def networks(self) -> tuple[keras.Layer, ...]:
        """The networks of the changed channels, a tuple in the order of the channels."""
        return tuple(self._networks)

    def _inverse_and_log_det(self, y: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        channels, log_det = [y[..., :self._num_kept]], 0.0
        for k, conditioner in enumerate(self._conditioners, start=self._num_kept):
            x, one = self._transform.inverse(y[..., k:k + 1], conditioner(y[..., :k], **conditions))
            channels.append(x)
            log_det += self._sum(one)
        return tf.concat(channels, axis=-1), log_det

    def _forward_and_log_det(self, x: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        y, log_det = x[..., :self._num_kept], 0.0
        for k, conditioner in enumerate(self._conditioners, start=self._num_kept):
            changed, one = self._transform.forward(x[..., k:k + 1], conditioner(y, **conditions))
            y = tf.concat([y, changed], axis=-1)
            log_det += self._sum(one)
        return y, log_det

    def _sum(self, log_det: tf.Tensor | None) -> tf.Tensor:
        return tf.zeros([], self.dtype) if log_det is None else tf.reduce_sum(log_det, axis=(-3, -2, -1))
