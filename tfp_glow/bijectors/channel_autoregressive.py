# SPDX-License-Identifier: Apache-2.0
"""Autoregression over the channels of an image: each is changed in the light of those before it."""

import tensorflow as tf

from tfp_glow._checks import check_int, check_shape
from tfp_glow.bijectors._conditioner import Conditioner
from tfp_glow.transforms.elementwise import check_rule
from tfp_glow.bijectors.flow_bijector import FlowBijector


class ChannelAutoregressive(FlowBijector):
    """Keeps the first channels and changes each of the others by a rule whose parameters follow from all before it.

    With networks for the channels `k` from `num_kept` on:

    * inverse: `x[..., k] = rule.inverse(y[..., k], network_k(y[..., :k]))`, all channels side by side;
    * forward: `y[..., k] = rule.forward(x[..., k], network_k(y[..., :k]))`, one channel after the other.

    The log-det is the sum of the rule's. Each network is evaluated once in either direction; a channel is changed at
    all pixels together, given its predecessors at all pixels.

    Args:
      shape: event shape, `(height, width, channels)`.
      networks: Keras layers, one for each changed channel: that of channel `k` maps `[batch, height, width, k]` to
        `[batch, height, width, rule.num_parameters]`. Built here if they are not.
      rule: an elementwise rule, such as `tfp_glow.bijectors.LogisticMixture()` or `Affine(...)`.
      num_kept: how many channels are kept, at least 1; the others are as many as `networks`.
      dtype: float32 or float64, of events; the networks may compute in another.
      validate_args: passed to `tfb.Bijector`.
      name: name of the bijector.

    Raises:
      ValueError: if an argument is not as said, or a network's output shape is not what the rule needs.

    Reference: Reed et al., *Parallel multiscale autoregressive density estimation*, 2017, section 3, for groups of
    pixels given those before; Papamakarios, Pavlakou and Murray, *Masked autoregressive flow*, 2017, for the bijector.

    >>> networks = [keras.layers.Conv2D(2, 3, padding="same") for _ in range(3)]
    >>> ChannelAutoregressive((4, 4, 4), networks, Affine("tanh"), num_kept=1).inverse(tf.zeros((5, 4, 4, 4))).shape
    TensorShape([5, 4, 4, 4])
    """

    def __init__(self, shape, networks, rule, num_kept, dtype="float32", validate_args=False,
                 name="channel_autoregressive"):
        parameters = dict(locals())
        shape = check_shape("shape", shape, ranks=(3,))
        check_int("num_kept", num_kept)
        networks = list(networks) if isinstance(networks, (list, tuple)) else networks
        if not isinstance(networks, list) or len(networks) != shape[-1] - num_kept or not networks:
            raise ValueError(f"Argument `networks` must be a sequence of networks, one for each of the changed "
                             f"channels, {shape[-1] - num_kept} of {shape[-1]}; received {networks!r}.")
        super().__init__(shape, dtype=dtype, validate_args=validate_args, parameters=parameters, name=name)
        self._rule, self._num_kept = check_rule(rule), num_kept
        self._conditioners = self._no_dependency([
            Conditioner(f"{name}_{k}", network, (*shape[:-1], k), None, (*shape[:-1], rule.num_parameters), self.dtype)
            for k, network in enumerate(networks, start=num_kept)])
        self._networks = [self._add_network(network) for network in networks]

    @property
    def networks(self):
        """The networks, from that of the first changed channel to that of the last."""
        return tuple(self._networks)

    def _inverse_and_log_det(self, y, **conditions):
        parts, log_det = [y[..., :self._num_kept]], 0.0
        for k, conditioner in enumerate(self._conditioners, start=self._num_kept):
            x, log_scale = self._rule.inverse(y[..., k:k + 1], conditioner(y[..., :k], **conditions))
            parts.append(x)
            log_det += self._sum(log_scale)
        return tf.concat(parts, axis=-1), log_det

    def _forward_and_log_det(self, x, **conditions):
        y, log_det = x[..., :self._num_kept], 0.0
        for k, conditioner in enumerate(self._conditioners, start=self._num_kept):
            changed, log_scale = self._rule.forward(x[..., k:k + 1], conditioner(y, **conditions))
            y = tf.concat([y, changed], axis=-1)
            log_det += self._sum(log_scale)
        return y, log_det

    def _sum(self, log_scale):
        return tf.zeros([], self.dtype) if log_scale is None else tf.reduce_sum(log_scale, axis=(-3, -2, -1))
