# SPDX-License-Identifier: Apache-2.0
"""`Multiscale`: the multi-scale architecture of RealNVP and Glow, as a recursion over levels."""

import math
from typing import Any, Optional

import tensorflow as tf

from tfp_glow._checks import check_int
from tfp_glow._compat_tensorflow import untracked
from tfp_glow._types import Shape, TensorLike
from tfp_glow.bijectors.flow_bijector import FlowBijector
from tfp_glow.bijectors.masks import ChannelMask


class Multiscale(FlowBijector):
    """One level of a multi-scale flow: a body, and a next level for part of the channels of its latents.

    With `split` and `merge` over the channels:

    * inverse: `kept, changed = split(body.inverse(y))`, `x = concat(flatten(changed), next_level.inverse(kept))`;
    * forward: `changed, rest = split(x)`, `y = body.forward(merge(next_level.forward(rest), unflatten(changed)))`.

    The log-determinant is the sum of those of the body and of the next level. Latents are flat vectors. Without a next
    level, `x = flatten(body.inverse(y))`. For a learned prior of `changed` given `kept`, end the body with a coupling.

    Args:
      body: a `FlowBijector` over images, usually `Steps` of a `Squeeze`, steps of flow and a coupling.
      next_level: a `Multiscale` over the kept channels of the body's latents. None (the default) makes this level the
        last.
      num_kept: number of channels, the first ones, that the next level receives, an int. None (the default) means half
        of them, rounded down. Ignored without a next level.
      validate_args: passed to `tfb.Bijector`.
      name: name of the bijector.

    Raises:
      ValueError: if `body` is no `FlowBijector` with images as latents, `num_kept` is not between 0 and the number of
        channels, or the event shape of `next_level` is not that of the kept channels.

    References:
      Dinh, Sohl-Dickstein and Bengio, *Density estimation using Real NVP*, 2017, section 3.6.

    Example:

    >>> top = tfp_glow.bijectors.Multiscale(tfp_glow.bijectors.Squeeze((4, 4, 6)))
    >>> flow = tfp_glow.bijectors.Multiscale(tfp_glow.bijectors.Squeeze((8, 8, 3)), next_level=top)
    >>> flow.inverse(tf.zeros((5, 8, 8, 3))).shape
    TensorShape([5, 192])
    """

    def __init__(self, body: FlowBijector, next_level: Optional["Multiscale"] = None, num_kept: int | None = None,
                 validate_args: bool = False, name: str = "multiscale"):
        parameters = dict(locals())
        if not isinstance(body, FlowBijector) or len(body.latent_shape) != 3:
            raise ValueError(f"Argument `body` must be a FlowBijector with images as latents; received {body!r}.")
        super().__init__(
            body.event_shape, (math.prod(body.latent_shape),), dtype=body.dtype, validate_args=validate_args,
            is_constant_jacobian=body.is_constant_jacobian and (next_level is None or next_level.is_constant_jacobian),
            parameters=parameters, name=name)
        self._body = self._add_child(body)
        self._next_level: Multiscale | None = None
        if next_level is not None:
            if num_kept is not None:
                num_kept = check_int("num_kept", num_kept)
                if num_kept >= body.latent_shape[-1]:
                    raise ValueError(f"Argument `num_kept` must be less than the {body.latent_shape[-1]} channels of "
                                     f"the body's latents; received {num_kept}.")
            self._mask = untracked(self, ChannelMask(body.latent_shape, num_kept=num_kept))
            if getattr(next_level, "event_shape", None) != self._mask.kept_shape:
                raise ValueError("Argument `next_level` must be a Multiscale with the event shape "
                                 f"{self._mask.kept_shape}, that of the kept channels of the body's latents; received "
                                 f"{next_level!r}.")
            self._next_level = self._add_child(next_level)

    @property
    def level_sizes(self) -> Shape:
        """Number of latents of each level, a tuple of ints, from the first level to the last."""
        if self._next_level is None:
            return self.latent_shape
        return (self.latent_shape[0] - self._next_level.latent_shape[0], *self._next_level.level_sizes)

    def inverse_by_level(self, y: TensorLike, **conditions: Any) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """Maps data to latents and returns the latents and the log-determinant of each level.

        Args:
          y: images, `[..., *event_shape]`.
          **conditions: `context` and `training`, as for `inverse`.

        Returns:
          `(latents, log_dets)`: two lists with one tensor per level, from the first level to the last. The latents,
          `[..., level_sizes[i]]`, are `inverse(y)` when they are concatenated. The log-determinants of the bodies,
          `[...]`, in nats, add up to `inverse_log_det_jacobian(y, 3)`.

        Raises:
          ValueError: if the shape of `y` does not end in `event_shape`, or a condition is unknown or does not apply.
        """
        self._check_conditions(conditions)
        y = self._checked("y", y, self.event_shape)
        level = self
        latents: list[tf.Tensor] = []
        log_dets: list[tf.Tensor] = []
        while True:
            hidden, log_det = level._body._inverse_and_log_det(y, **conditions)
            log_dets.append(tf.broadcast_to(log_det, tf.shape(hidden)[:-3]))
            if level._next_level is None:
                return [*latents, _flatten(hidden)], log_dets
            y, changed = level._mask.split(hidden)
            latents.append(_flatten(changed))
            level = level._next_level

    def _inverse_and_log_det(self, y: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        hidden, log_det = self._body._inverse_and_log_det(y, **conditions)
        if self._next_level is None:
            return _flatten(hidden), log_det
        kept, changed = self._mask.split(hidden)
        rest, rest_log_det = self._next_level._inverse_and_log_det(kept, **conditions)
        return tf.concat([_flatten(changed), rest], axis=-1), log_det + rest_log_det

    def _forward_and_log_det(self, x: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        rest_log_det = tf.zeros([], self.dtype)
        if self._next_level is None:
            hidden = _unflatten(x, self._body.latent_shape)
        else:
            rest_size = self._next_level.latent_shape[0]
            changed, rest = tf.split(x, [self.latent_shape[0] - rest_size, rest_size], axis=-1)
            kept, rest_log_det = self._next_level._forward_and_log_det(rest, **conditions)
            hidden = self._mask.merge(kept, _unflatten(changed, (*kept.shape[-3:-1], self._mask.num_changed)))
        y, log_det = self._body._forward_and_log_det(hidden, **conditions)
        return y, log_det + rest_log_det

    def _initialize(self, y: tf.Tensor, **conditions: Any) -> tf.Tensor:
        hidden = self._body._initialize(y, **conditions)
        if self._next_level is None:
            return _flatten(hidden)
        kept, changed = self._mask.split(hidden)
        return tf.concat([_flatten(changed), self._next_level._initialize(kept, **conditions)], axis=-1)


def _flatten(image: tf.Tensor) -> tf.Tensor:
    size = math.prod(image.shape[-3:])
    return tf.reshape(image, tf.concat([tf.shape(image)[:-3], [size]], axis=0))


def _unflatten(vector: tf.Tensor, shape: Shape) -> tf.Tensor:
    return tf.reshape(vector, tf.concat([tf.shape(vector)[:-1], shape], axis=0))
