# SPDX-License-Identifier: Apache-2.0
"""`Steps`: a composition of bijectors that computes value and log-determinant in one pass."""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf
from tensorflow_probability import bijectors as tfb

from tfp_glow._compat_tensorflow import untracked
from tfp_glow._types import Shape
from tfp_glow.bijectors._single_pass import (
    chain_event_shape,
    flow_bijectors_in,
    forward_and_log_det,
    inverse_and_log_det,
)
from tfp_glow.bijectors.channel_affine import ChannelAffine, FoldedChannelAffine
from tfp_glow.bijectors.flow_bijector import FlowBijector
from tfp_glow.bijectors.initialization import initialize_part


class Steps(FlowBijector):
    """Composes bijectors, listed from the data side as in `tfb.Chain`.

    With `bijectors = [f1, ..., fn]`:

    * forward: `y = f1(f2(... fn(x)))`;
    * inverse: `x = fn^-1(... f1^-1(y))`;
    * the log-determinant is the sum of the log-determinants of the bijectors.

    `Steps` differs from `tfb.Chain` in two points. It computes value and log-determinant in one pass. It applies
    neighboring bijectors that are affine in the channels, such as `ActNorm` and `InvertibleConv1x1`, as one matrix.

    Args:
      bijectors: a non-empty list or tuple of `tfb.Bijector`s over one tensor. At least one must be a `FlowBijector`, or
        a `tfb.Invert` or `tfb.Chain` that contains a `FlowBijector`, because it defines the event shape.
      validate_args: a bool, passed to `tfb.Bijector`. The default is False.
      name: name of the bijector.

    Raises:
      ValueError: if `bijectors` violates its description above, or the shapes of neighboring bijectors do not match.

    Example:

    >>> steps = tfp_glow.bijectors.Steps([tfp_glow.bijectors.ActNorm((4,)), tfp.bijectors.Tanh()])
    >>> steps.inverse(tf.zeros((3, 4))).shape
    TensorShape([3, 4])
    """

    def __init__(self, bijectors: Sequence[tfb.Bijector], validate_args: bool = False, name: str = "steps"):
        parameters = dict(locals())
        bijectors = list(bijectors) if isinstance(bijectors, (list, tuple)) else bijectors
        if not isinstance(bijectors, list) or not bijectors or not all(isinstance(b, tfb.Bijector) for b in bijectors):
            raise ValueError(f"Argument `bijectors` must be a non-empty sequence of bijectors; received {bijectors!r}.")
        event_shape = chain_event_shape(bijectors)
        if event_shape is None:
            raise ValueError("Argument `bijectors` must contain at least one FlowBijector, possibly inside tfb.Invert "
                             "or tfb.Chain, because it defines the event shape (use tfb.Chain otherwise); received "
                             f"{[b.name for b in bijectors]}.")
        stages = _stages(bijectors, event_shape)
        known = next(part for b in bijectors for part in flow_bijectors_in(b))
        super().__init__(
            stages[0].event_shape, stages[-1].latent_shape, dtype=known.dtype, validate_args=validate_args,
            parameters=parameters, is_constant_jacobian=all(b.is_constant_jacobian for b in bijectors), name=name)
        self._bijectors = [self._add_child(bijector) for bijector in bijectors]
        self._stages = untracked(self, _fold_neighbors(stages))

    @property
    def bijectors(self) -> tuple[tfb.Bijector, ...]:
        """The bijectors, a tuple, listed from the data side."""
        return tuple(self._bijectors)

    def _forward_and_log_det(self, x: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        log_det = tf.zeros([], self.dtype)
        for stage in reversed(self._stages):
            x, one = forward_and_log_det(stage.bijector, x, len(stage.latent_shape), **conditions)
            log_det += one
        return x, log_det

    def _inverse_and_log_det(self, y: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        log_det = tf.zeros([], self.dtype)
        for stage in self._stages:
            y, one = inverse_and_log_det(stage.bijector, y, len(stage.event_shape), **conditions)
            log_det += one
        return y, log_det

    def _initialize(self, y: tf.Tensor, **conditions: Any) -> tf.Tensor:
        for bijector in self._bijectors:
            y = initialize_part(bijector, y, **conditions)
        return y

    def _inverse_vjp(self, x: tf.Tensor, dx: tf.Tensor, dlog_det: tf.Tensor,
                     **conditions: Any) -> tuple[tf.Tensor, tf.Tensor, dict[str, tf.Tensor]]:
        if not all(isinstance(stage.bijector, FlowBijector) for stage in self._stages):
            return super()._inverse_vjp(x, dx, dlog_det, **conditions)
        d_sources: dict[str, tf.Tensor] = {}
        for stage in reversed(self._stages):
            x, dx, d_stage = stage.bijector._inverse_vjp(x, dx, dlog_det, **conditions)
            for key, d in d_stage.items():
                d_sources[key] = d + d_sources[key] if key in d_sources else d
        return x, dx, d_sources

    def _sources(self, context: Any = None, training: Any = None) -> dict[str, tf.Tensor]:
        sources: dict[str, tf.Tensor] = {}
        for stage in self._stages:
            is_flow = isinstance(stage.bijector, FlowBijector)
            for part in [stage.bijector] if is_flow else flow_bijectors_in(stage.bijector):
                sources.update(part._sources(context=context, training=training))
        return sources

    def _prepared(self) -> "Steps":
        return Steps([stage.bijector._prepared() if isinstance(stage.bijector, FlowBijector) else stage.bijector
                      for stage in self._stages], name=self.name)


class _Stage(NamedTuple):
    bijector: tfb.Bijector
    event_shape: Shape
    latent_shape: Shape


def _stages(bijectors: list[tfb.Bijector], shape: tf.TensorShape) -> list[_Stage]:
    """Returns each bijector with its event shape and latent shape. `shape` is the event shape of the first one."""
    stages = []
    for bijector in bijectors:
        latent_shape = bijector.inverse_event_shape(shape)
        stages.append(_Stage(bijector, tuple(shape), tuple(latent_shape)))
        shape = latent_shape
    return stages


def _fold_neighbors(stages: list[_Stage]) -> list[_Stage]:
    """Replaces each group of two or more neighboring `ChannelAffine` bijectors by one `FoldedChannelAffine`."""
    folded = []
    for is_affine, group in itertools.groupby(stages, lambda stage: isinstance(stage.bijector, ChannelAffine)):
        run = list(group)
        if is_affine and len(run) > 1:
            bijector = FoldedChannelAffine([stage.bijector for stage in run])
            run = [_Stage(bijector, run[0].event_shape, run[-1].latent_shape)]
        folded += run
    return folded
