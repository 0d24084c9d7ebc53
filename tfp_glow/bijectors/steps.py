# SPDX-License-Identifier: Apache-2.0
"""`Steps`: bijectors one after the other, in one pass."""

import itertools
from typing import NamedTuple

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.bijectors.channel_affine import ChannelAffine, FoldedAffine
from tfp_glow.bijectors.flow_bijector import FlowBijector
from tfp_glow.bijectors._single_pass import (event_shape_of_chain, flow_bijectors_in, forward_and_log_det, inverse_and_log_det, walk)

tfb = tfp.bijectors


class Steps(FlowBijector):
    """Bijectors one after the other, listed from the image side as in `tfb.Chain`.

    With `bijectors = [f1, ..., fn]`:

    * forward: `y = f1(f2(... fn(x)))`; inverse: `x = fn^-1(... f1^-1(y))`;
    * the log-det is the sum of the parts'.

    Unlike `tfb.Chain` it takes one pass a direction, goes on through data-dependent initialisation, and applies
    neighbours that are affine in the channels (`ActNorm`, `InvertibleConv1x1`, ...) as one matrix. Any
    `tfb.Bijector` over one tensor may be a part, if one of them is a `FlowBijector`, or a `tfb.Invert` or `tfb.Chain`
    with one inside: that tells the shape of events.

    Args:
      bijectors: a non-empty sequence of `tfb.Bijector`s.
      validate_args: passed to `tfb.Bijector`.
      name: name of the bijector.

    Raises:
      ValueError: if `bijectors` is empty, holds something else, or neighbours' shapes do not fit.

    >>> Steps([tfp_glow.bijectors.ActNorm((4,)), tfp.bijectors.Tanh()]).inverse(tf.zeros((3, 4))).shape
    TensorShape([3, 4])
    """

    def __init__(self, bijectors, validate_args=False, name="steps"):
        parameters = dict(locals())
        bijectors = list(bijectors) if isinstance(bijectors, (list, tuple)) else bijectors
        if not isinstance(bijectors, list) or not bijectors or not all(isinstance(b, tfb.Bijector) for b in bijectors):
            raise ValueError(f"Argument `bijectors` must be a non-empty sequence of bijectors; received {bijectors!r}.")
        event_shape = event_shape_of_chain(bijectors)
        if event_shape is None:
            raise ValueError("Argument `bijectors` must hold at least one FlowBijector, which knows its event shape, "
                             "perhaps in a tfb.Invert or tfb.Chain (use tfb.Chain for others); received "
                             f"{[b.name for b in bijectors]}.")
        stages = _stages(bijectors, event_shape)
        known = next(part for b in bijectors for part in flow_bijectors_in(b))
        super().__init__(
            stages[0].event_shape, stages[-1].latent_shape, dtype=known.dtype, validate_args=validate_args,
            parameters=parameters, is_constant_jacobian=all(b.is_constant_jacobian for b in bijectors), name=name)
        self._bijectors = [self._add_child(b) for b in bijectors]
        self._stages = self._no_dependency(_fold_neighbours(stages))

    @property
    def bijectors(self):
        """The parts, from the image side."""
        return tuple(self._bijectors)

    def _forward_and_log_det(self, x, **conditions):
        log_det = tf.zeros([], self.dtype)
        for stage in reversed(self._stages):
            x, one = forward_and_log_det(stage.bijector, x, len(stage.latent_shape), **conditions)
            log_det += one
        return x, log_det

    def _inverse_and_log_det(self, y, **conditions):
        log_det = tf.zeros([], self.dtype)
        for stage in self._stages:
            y, one = inverse_and_log_det(stage.bijector, y, len(stage.event_shape), **conditions)
            log_det += one
        return y, log_det

    def _initialize(self, y, **conditions):
        for bijector in self._bijectors:
            y = walk(bijector, y, **conditions)
        return y

    def _inverse_vjp(self, x, dx, dlog_det, **conditions):
        if not all(isinstance(stage.bijector, FlowBijector) for stage in self._stages):
            return super()._inverse_vjp(x, dx, dlog_det, **conditions)
        d_sources = {}
        for stage in reversed(self._stages):
            x, dx, d_own = stage.bijector._inverse_vjp(x, dx, dlog_det, **conditions)
            for key, d in d_own.items():
                d_sources[key] = d + d_sources[key] if key in d_sources else d
        return x, dx, d_sources

    def _sources(self, **conditions):
        sources = {}
        for stage in self._stages:
            ours = isinstance(stage.bijector, FlowBijector)
            for part in [stage.bijector] if ours else flow_bijectors_in(stage.bijector):
                sources.update(part._sources(**conditions))
        return sources

    def _affine_stages(self):
        return [affine for stage in self._stages if isinstance(stage.bijector, FlowBijector)
                for affine in stage.bijector._affine_stages()]


class _Stage(NamedTuple):
    bijector: tfb.Bijector
    event_shape: tuple
    latent_shape: tuple


def _stages(bijectors, shape):
    """Each bijector with its shapes, worked out from that of an event on the image side."""
    stages = []
    for bijector in bijectors:
        latent_shape = bijector.inverse_event_shape(shape)
        stages.append(_Stage(bijector, tuple(shape), tuple(latent_shape)))
        shape = latent_shape
    return stages


def _fold_neighbours(stages):
    """Replaces each run of two or more channel-affine bijectors by one that multiplies their matrices."""
    folded = []
    for is_affine, run in itertools.groupby(stages, lambda stage: isinstance(stage.bijector, ChannelAffine)):
        run = list(run)
        if is_affine and len(run) > 1:
            bijector = FoldedAffine([stage.bijector for stage in run])
            run = [_Stage(bijector, run[0].event_shape, run[-1].latent_shape)]
        folded += run
    return folded
