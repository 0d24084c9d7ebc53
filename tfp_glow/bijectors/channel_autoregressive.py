# SPDX-License-Identifier: Apache-2.0
"""`ChannelAutoregressive`: autoregression over groups of channels of an image."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfp_glow._checks import check_int, check_ints, check_shape
from tfp_glow._compat_tensorflow import untracked
from tfp_glow._types import DTypeLike, ShapeLike
from tfp_glow.bijectors._conditioner import Conditioner
from tfp_glow.bijectors.flow_bijector import FlowBijector
from tfp_glow.transforms import ElementwiseTransform, check_transform
from tfp_glow.transforms.elementwise import joined_parameters


class ChannelAutoregressive(FlowBijector):
    """Keeps the first channels and transforms groups of the others with parameters computed from the channels before.

    With one network per group of channels `i:j`, where `i >= num_kept`:

    * inverse: `x[..., i:j] = transform.inverse(y[..., i:j], network(y[..., :i]))`, in any order of the groups;
    * forward: `y[..., i:j] = transform.forward(x[..., i:j], network(y[..., :i]))`, one group after the other.

    So each group is a coupling that keeps all channels before it. The log-determinant is the sum of the transform's
    log-determinants over all changed elements. A pass in either direction evaluates each network once, for all pixels
    together.

    Args:
      shape: event shape, `(height, width, channels)`.
      networks: a list or tuple of Keras layers, one per group, in the order of the channels. The network of a group of
        `n` channels that starts at channel `i` maps `[batch, height, width, i]` to
        `[batch, height, width, transform.num_parameters * n]`. The constructor builds the networks that are not built.
      transform: an elementwise transform, such as `tfp_glow.transforms.LogisticMixture()` or
        `tfp_glow.transforms.Affine(...)`.
      num_kept: number of kept channels, an int from 1 to `channels - 1`. The other channels are changed.
      group_sizes: numbers of channels of the groups, a sequence of ints whose sum is the number of changed channels.
        None (the default) makes each changed channel a group.
      dtype: float32 (the default) or float64, of events. The networks may compute in another dtype, such as bfloat16.
      validate_args: a bool, passed to `tfb.Bijector`. The default is False.
      name: name of the bijector.

    Raises:
      ValueError: if `shape` does not have 3 positive sizes, `num_kept` is not an int from 1 to `channels - 1`,
        `group_sizes` do not sum to the number of changed channels, `networks` does not have one network per group, the
        output of a network does not have the shape that the transform requires, `transform` is no elementwise
        transform, or `dtype` is neither float32 nor float64.

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
                 name: str = "channel_autoregressive", group_sizes: Sequence[int] | None = None):
        parameters = dict(locals())
        shape = check_shape("shape", shape, ranks=(3,))
        num_kept = check_int("num_kept", num_kept)
        num_changed = shape[-1] - num_kept
        sizes = (1,) * num_changed if group_sizes is None else check_ints("group_sizes", group_sizes)
        if num_changed < 1 or sum(sizes) != num_changed:
            raise ValueError("Argument `group_sizes` must sum to the number of changed channels, which is at least 1; "
                             f"received {group_sizes!r} for {shape[-1]} channels with num_kept={num_kept}.")
        if not isinstance(networks, (list, tuple)) or len(networks) != len(sizes):
            raise ValueError("Argument `networks` must be a list or tuple of networks, one for each of the "
                             f"{len(sizes)} groups of changed channels; received {networks!r}.")
        super().__init__(shape, dtype=dtype, validate_args=validate_args, parameters=parameters, name=name)
        self._transform = check_transform(transform)
        self._starts = untracked(self, [num_kept + sum(sizes[:k]) for k in range(len(sizes))])
        self._sizes = untracked(self, list(sizes))
        self._conditioners = untracked(self, [
            Conditioner(f"{name}_{start}", network, (*shape[:-1], start), None,
                        (*shape[:-1], size * transform.num_parameters), self.dtype)
            for network, start, size in zip(networks, self._starts, sizes, strict=True)])
        self._networks = [self._add_network(network) for network in networks]

    @property
    def networks(self) -> tuple[keras.Layer, ...]:
        """The networks of the groups of changed channels, a tuple in the order of the channels."""
        return tuple(self._networks)

    def _inverse_and_log_det(self, y: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        raws = [conditioner(y[..., :start], **conditions)
                for conditioner, start in zip(self._conditioners, self._starts, strict=True)]
        kept, changed = y[..., :self._starts[0]], y[..., self._starts[0]:]
        x, log_det = self._transform.inverse(changed, joined_parameters(self._transform, raws))  # Once for all.
        return tf.concat([kept, x], axis=-1), self._sum(log_det)

    def _forward_and_log_det(self, x: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        y, log_det = x[..., :self._starts[0]], 0.0
        for conditioner, start, size in zip(self._conditioners, self._starts, self._sizes, strict=True):
            changed, one = self._transform.forward(x[..., start:start + size], conditioner(y, **conditions))
            y = tf.concat([y, changed], axis=-1)
            log_det += self._sum(one)
        return y, log_det

    def _sum(self, log_det: tf.Tensor | None) -> tf.Tensor:
        return tf.zeros([], self.dtype) if log_det is None else tf.reduce_sum(log_det, axis=(-3, -2, -1))
