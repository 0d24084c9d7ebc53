# SPDX-License-Identifier: Apache-2.0
"""`Multiscale`: one level of the multi-scale architecture of RealNVP and Glow."""

import math
from typing import Any, Optional

import tensorflow as tf

from tfp_glow._checks import check_int
from tfp_glow._compat_tensorflow import untracked
from tfp_glow._types import Shape, TensorLike
from tfp_glow.bijectors.flow_bijector import FlowBijector
from tfp_glow.bijectors.masks import ChannelMask


class Multiscale(FlowBijector):
    """Maps images to flat latents by one level of a multi-scale flow and, for some channels, by the next level.

    * inverse: `hidden = body.inverse(y)`. The first `num_kept` channels of `hidden` are `kept`, the others are
      `factored`. `x = concat([flatten(factored), next_level.inverse(kept)])`.
    * forward: `x` is split into these two parts again. The first part is reshaped to `factored`. The next level maps
      the second part to `kept`. `y = body.forward(concat([kept, factored]))` over the channels.

    The log-determinant is the sum of the log-determinants of the body and of the next level. Without a next level,
    `x = flatten(body.inverse(y))`. If the last bijector of the body is a coupling that changes `factored` given `kept`,
    this coupling acts as a learned prior of `factored`.

    Args:
      body: a `FlowBijector` over images whose latents are images, usually `Steps` of a `Squeeze`, steps of flow and a
        coupling.
      next_level: a `Multiscale` whose event shape is the shape of `kept`. None (the default) makes this level the last.
      num_kept: number of channels of the body's latents that the next level receives, an int from 1 to the number of
        channels minus 1. None (the default) means half of the channels, rounded down. Ignored without a next level.
      validate_args: a bool, passed to `tfb.Bijector`. The default is False.
      name: name of the bijector.

    Raises:
      ValueError: if `body` is no `FlowBijector` with images as latents, `num_kept` is out of its range, or `next_level`
        is no `Multiscale` whose event shape is the shape of the kept channels.

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
                                 f"{self._mask.kept_shape}, the shape of the kept channels of the body's latents; "
                                 f"received {next_level!r}.")
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
          **conditions: `context`, a tensor `[..., *context_shape]`, if the flow requires one; and `training`, a bool.

        Returns:
          `(latents, log_dets)`: two lists with one tensor per level, from the first level to the last. `latents[i]` is
          `[..., level_sizes[i]]`, and the concatenation of `latents` is `inverse(y)`. `log_dets[i]` is the
          log-determinant of the body of level `i`, `[...]`, in nats. The sum of `log_dets` is
          `inverse_log_det_jacobian(y, 3)`.

        Raises:
          ValueError: if the shape of `y` does not end in `event_shape`, a keyword is neither `context` nor `training`,
            `context` is missing or does not have the shape above, or `context` is given although the flow has no
            `context_shape`.
        """
        y = self._checked("y", y, self.event_shape)
        conditions = self._checked_conditions(conditions, y.shape[:-len(self.event_shape)])
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
