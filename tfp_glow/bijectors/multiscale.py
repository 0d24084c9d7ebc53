# SPDX-License-Identifier: Apache-2.0
"""The multi-scale architecture, as a recursion."""

import math

import tensorflow as tf

from tfp_glow._checks import check_conditions, check_int
from tfp_glow.bijectors.flow_bijector import FlowBijector
from tfp_glow.bijectors.masks import ChannelMask


class Multiscale(FlowBijector):
    """One level of a multi-scale flow: a body, part of whose output, usually half, goes on to the next level.

    With `h = body.inverse(y)` and `kept, changed = split(h)` on the channels:

    * inverse: `x = concat(flatten(changed), next_level.inverse(kept))`, flat;
    * forward: `y = body.forward(merge(next_level.forward(rest), changed))`.

    The log-det is the body's plus the next level's. Without a next level `x` is all of `h`, flattened. A learned prior
    of `changed` given `kept` is a coupling at the latent end of the body.

    Args:
      body: a `FlowBijector` over images, usually `Squeeze`, steps of flow and a split prior.
      next_level: a `Multiscale` over the kept channels of the body's latents, or None at the top.
      num_kept: how many of the first channels go on; half of them by default.
      validate_args: passed to `tfb.Bijector`.
      name: name of the bijector.

    Raises:
      ValueError: if `body` is not over images, `num_kept` is not between 0 and its channels, or `next_level` does not
        fit what is kept.

    Reference: Dinh, Sohl-Dickstein and Bengio, *Density estimation using Real NVP*, 2017, section 3.6.

    >>> from tfp_glow import bijectors as tfgb
    >>> top = Multiscale(tfgb.Squeeze((4, 4, 6)))
    >>> Multiscale(tfgb.Squeeze((8, 8, 3)), top).inverse(tf.zeros((5, 8, 8, 3))).shape
    TensorShape([5, 192])
    """

    def __init__(self, body, next_level=None, num_kept=None, validate_args=False, name="multiscale"):
        parameters = dict(locals())
        if not isinstance(body, FlowBijector) or len(body.latent_shape) != 3:
            raise ValueError(f"Argument `body` must be a FlowBijector over images; received {body!r}.")
        super().__init__(
            body.event_shape, (math.prod(body.latent_shape),), dtype=body.dtype, validate_args=validate_args,
            is_constant_jacobian=body.is_constant_jacobian and (next_level is None or next_level.is_constant_jacobian),
            parameters=parameters, name=name)
        self._body = self._add_child(body)
        self._next_level = None
        if next_level is not None:
            if num_kept is not None and check_int("num_kept", num_kept) >= body.latent_shape[-1]:
                raise ValueError(f"Argument `num_kept` must be less than the {body.latent_shape[-1]} channels of the "
                                 f"body's latents; received {num_kept}.")
            self._mask = self._no_dependency(ChannelMask(body.latent_shape, num_kept=num_kept))
            if getattr(next_level, "event_shape", None) != self._mask.kept_shape:
                raise ValueError(f"Argument `next_level` must be a FlowBijector over {self._mask.kept_shape}, the kept "
                                 f"part of the body's latents; received {next_level!r}.")
            self._next_level = self._add_child(next_level)

    @property
    def level_sizes(self):
        """Sizes of the levels' parts of the flat latent vector, from the first level to the top."""
        if self._next_level is None:
            return self.latent_shape
        return (self.latent_shape[0] - self._next_level.latent_shape[0], *self._next_level.level_sizes)

    def inverse_by_level(self, y, **conditions):
        """The inverse pass, taken apart: each level's latents, and what its body adds to the log-det.

        Args:
          y: images `[..., *event_shape]`.
          **conditions: as those of `inverse`.

        Returns:
          `(latents, log_dets)`, two lists from the first level to the top: latents `[..., level_sizes[i]]`, which put
          together are `inverse(y)`, and log-dets `[...]` in nats, whose sum is `inverse_log_det_jacobian(y, 3)`.

        Raises:
          ValueError: if `y` does not end in `event_shape`.
        """
        check_conditions(self, conditions)
        y = self._checked("y", y, self.event_shape)
        level, latents, log_dets = self, [], []
        while True:
            hidden, log_det = level._body._inverse_and_log_det(y, **conditions)
            log_dets.append(tf.broadcast_to(log_det, tf.shape(hidden)[:-3]))
            if level._next_level is None:
                return [*latents, _flatten(hidden)], log_dets
            y, changed = level._mask.split(hidden)
            latents.append(_flatten(changed))
            level = level._next_level

    def _inverse_and_log_det(self, y, **conditions):
        hidden, log_det = self._body._inverse_and_log_det(y, **conditions)
        if self._next_level is None:
            return _flatten(hidden), log_det
        kept, changed = self._mask.split(hidden)
        rest, more = self._next_level._inverse_and_log_det(kept, **conditions)
        return tf.concat([_flatten(changed), rest], axis=-1), log_det + more

    def _forward_and_log_det(self, x, **conditions):
        more = tf.zeros([], self.dtype)
        if self._next_level is None:
            hidden = _unflatten(x, self._body.latent_shape)
        else:
            rest_size = self._next_level.latent_shape[0]
            changed, rest = tf.split(x, [self.latent_shape[0] - rest_size, rest_size], axis=-1)
            kept, more = self._next_level._forward_and_log_det(rest, **conditions)
            hidden = self._mask.merge(kept, _unflatten(changed, (*kept.shape[-3:-1], self._mask.num_changed)))
        y, log_det = self._body._forward_and_log_det(hidden, **conditions)
        return y, log_det + more

    def _initialize(self, y, **conditions):
        hidden = self._body._initialize(y, **conditions)
        if self._next_level is None:
            return _flatten(hidden)
        kept, changed = self._mask.split(hidden)
        return tf.concat([_flatten(changed), self._next_level._initialize(kept, **conditions)], axis=-1)


def _flatten(image):
    size = math.prod(image.shape[-3:])
    return tf.reshape(image, tf.concat([tf.shape(image)[:-3], [size]], axis=0))


def _unflatten(vector, shape):
    return tf.reshape(vector, tf.concat([tf.shape(vector)[:-1], shape], axis=0))
