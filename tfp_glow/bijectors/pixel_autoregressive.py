# SPDX-License-Identifier: Apache-2.0
"""`PixelAutoregressive`: autoregression over groups of channels with one large network per group."""

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
from tfp_glow.transforms.elementwise import joined_parameters


class PixelAutoregressive(FlowBijector):
    """Keeps the first channels and transforms groups of the others, each group by features of the channels before it.

    In the pyramid flow, a group has the color channels of a pixel of each 2x2 block. For a group that starts at channel
    `i`, its network computes `features = network(y[..., :i])`, once for all channels of the group. The head of channel
    `k` of the group computes the parameters of the transform from the features and from all earlier channels:

    * inverse: `x[..., k] = transform.inverse(y[..., k], head([y[..., :k], features]))`, in any order;
    * forward: `y[..., k] = transform.forward(x[..., k], head([y[..., :k], features]))`, one channel after the other.

    The log-determinant is the sum of the transform's log-determinants over all changed elements. A pass in either
    direction evaluates each network and each head once. `ChannelAutoregressive` has a network per channel and no heads.

    Args:
      shape: event shape, `(height, width, channels)`.
      networks: a list or tuple of Keras layers, one per group, in the order of the channels. The network of a group
        that starts at channel `i` maps `[batch, height, width, i]` to features `[batch, height, width, size]` of any
        size.
      heads: a list or tuple with a list of Keras layers for each group, one per channel. The head of channel `k` of a
        group maps `[kept, features]`, where `kept` is `[batch, height, width, k]`, to
        `[batch, height, width, transform.num_parameters]`, such as `tfp_glow.networks.PixelHead`. The constructor
        builds networks and heads that are not built.
      transform: an elementwise transform, such as `tfp_glow.transforms.LogisticMixture()`.
      num_kept: number of kept channels, an int of at least 1. `heads` has one layer for each other channel.
      dtype: float32 (the default) or float64, of events. The networks may compute in another dtype, such as bfloat16.
      validate_args: a bool, passed to `tfb.Bijector`. The default is False.
      name: name of the bijector.

    Raises:
      ValueError: if `shape` does not have 3 positive sizes, `num_kept` is not an int of at least 1, `networks` and
        `heads` do not have one entry per group, `heads` does not have one layer per changed channel, the output of a
        head does not have the shape that the transform requires, `transform` is no elementwise transform, or `dtype`
        is neither float32 nor float64.

    References:
      Reed et al., *Parallel multiscale autoregressive density estimation*, 2017, section 3, for groups of pixels that
      depend on earlier groups; Salimans et al., *PixelCNN++*, 2017, section 2.2, for channels that depend on earlier
      channels of their pixel without a large network of their own.

    Example:

    >>> networks = [tfp_glow.networks.PlacedResNet(8, None, num_blocks=1)]
    >>> heads = [[tfp_glow.networks.PixelHead(2) for _ in range(3)]]
    >>> transform = tfp_glow.transforms.Affine("tanh")
    >>> flow = tfp_glow.bijectors.PixelAutoregressive((4, 4, 6), networks, heads, transform, num_kept=3)
    >>> flow.inverse(tf.zeros((5, 4, 4, 6))).shape
    TensorShape([5, 4, 4, 6])
    """

    def __init__(self, shape: ShapeLike, networks: Sequence[keras.Layer], heads: Sequence[Sequence[keras.Layer]],
                 transform: ElementwiseTransform, num_kept: int, dtype: DTypeLike = "float32",
                 validate_args: bool = False, name: str = "pixel_autoregressive"):
        parameters = dict(locals())
        shape = check_shape("shape", shape, ranks=(3,))
        num_kept = check_int("num_kept", num_kept)
        if not isinstance(networks, (list, tuple)) or not networks:
            raise ValueError(f"Argument `networks` must be a list or tuple of networks; received {networks!r}.")
        if not isinstance(heads, (list, tuple)) or len(heads) != len(networks) or not all(
                isinstance(group, (list, tuple)) and group for group in heads):
            raise ValueError(f"Argument `heads` must have a list of layers for each of the {len(networks)} networks; "
                             f"received {heads!r}.")
        if sum(map(len, heads)) != shape[-1] - num_kept:
            raise ValueError("Argument `heads` must have one layer for each of the changed channels, "
                             f"{shape[-1] - num_kept} of {shape[-1]}; received {sum(map(len, heads))}.")
        super().__init__(shape, dtype=dtype, validate_args=validate_args, parameters=parameters, name=name)
        self._transform, self._num_kept = check_transform(transform), num_kept
        self._groups = untracked(self, self._conditioners(networks, heads))
        self._networks = [self._add_network(layer) for layers in ((n, *h) for n, h in zip(networks, heads, strict=True))
                          for layer in layers]

    def _conditioners(self, networks: Sequence[keras.Layer], heads: Sequence[Sequence[keras.Layer]]) -> list[Any]:
        """Returns for each group its first channel, its network's conditioner and its heads' conditioners."""
        groups, start, pixels = [], self._num_kept, self.event_shape[:-1]
        for network, layers in zip(networks, heads, strict=True):
            features = tuple(network.compute_output_shape((None, *pixels, start)))[1:]
            of_network = Conditioner(f"{self.name}_{start}", network, (*pixels, start), None, features, self.dtype)
            of_heads = [
                Conditioner(f"{self.name}_{start + k}", head, (*pixels, start + k), features,
                            (*pixels, self._transform.num_parameters), self.dtype) for k, head in enumerate(layers)]
            groups.append((start, of_network, of_heads))
            start += len(layers)
        return groups

    def _inverse_and_log_det(self, y: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        raws = []
        for start, network, heads in self._groups:
            features = network(y[..., :start], **conditions)
            raws += [head(y[..., :k], **{**conditions, "context": features}) for k, head in enumerate(heads, start)]
        kept, changed = y[..., :self._num_kept], y[..., self._num_kept:]
        x, log_det = self._transform.inverse(changed, joined_parameters(self._transform, raws))  # Once for all.
        return tf.concat([kept, x], axis=-1), self._sum(log_det)

    def _forward_and_log_det(self, x: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        y, log_det = x[..., :self._num_kept], 0.0
        for start, network, heads in self._groups:
            features = network(y, **conditions)
            for k, head in enumerate(heads, start=start):
                raw = head(y, **{**conditions, "context": features})
                changed, one = self._transform.forward(x[..., k:k + 1], raw)
                y = tf.concat([y, changed], axis=-1)
                log_det += self._sum(one)
        return y, log_det

    def _sum(self, log_det: tf.Tensor | None) -> tf.Tensor:
        return tf.zeros([], self.dtype) if log_det is None else tf.reduce_sum(log_det, axis=(-3, -2, -1))
