# SPDX-License-Identifier: Apache-2.0
"""The latents and the log-determinant of each level of a flow."""

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow
from tfp_glow._types import TensorLike
from tfp_glow.bijectors import Multiscale, Steps
from tfp_glow.bijectors._single_pass import inverse_and_log_det


def decompose_by_level(
        model: tfp_glow.FlowModel, events: TensorLike, seed: Sequence[int | tf.Tensor],
        labels: TensorLike | None = None,
        noise: TensorLike | None = None) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    """Computes the latents and the log-determinant of each level of a flow.

    A multi-scale flow maps an event of `D` values to latents level by level. If `log_det_i` is the log-determinant of
    part `i` of this map, in nats, and `z` are all latents, the bits per dimension of an event are
    `(-log p_base(z) - sum_i log_det_i) / (D log 2)`.

    Args:
      model: a `tfp_glow.FlowModel` whose distribution has a bijector.
      events: `[batch, *event_shape]`. The dequantization noise of training is added to integers.
      seed: two integers, the random seed of the noise.
      labels: integers `[batch]`, required by a class-conditional model. Other models ignore them. Default None.
      noise: uniform noise in [0, 1), floats of the shape of `events`, which must be integers. Default None: noise from
        `seed`.

    Returns:
      A pair `(latents, log_dets)` of dicts. For a multi-scale flow, `latents` has the keys `"level 1"`, `"level 2"`,
      ... and, for the last level, `"top"`. Its values are tensors `[batch, size]`. `log_dets` has the same keys. Its
      values are tensors `[batch]` that hold `log_det_i / (D log 2)`. It may have two more keys: `"pixels"` for the
      bijectors between the event and level 1, and `"dequantizer"` for variational noise. For a flow without levels,
      each dict has the key `"flow"` instead of the levels.
    """
    dequantization, event_ndims = model.functions.dequantization, len(model.event_shape)
    events = tf.convert_to_tensor(events)
    points, log_q = dequantization(events, seed) if noise is None else dequantization.with_noise(events, noise)
    condition = () if model.condition_spec is None else (labels,)
    keywords = model.functions.condition.keywords(*condition).get("bijector_kwargs", {})
    log_dets = {} if dequantization.flow is None else {"dequantizer": -log_q}
    bijector = model.distribution.bijector
    *outer, last = bijector.bijectors if isinstance(bijector, Steps) else (bijector,)
    if isinstance(last, Multiscale):
        if outer:
            points, log_dets["pixels"] = _inverse_in_order(outer, points, event_ndims, keywords)
        level_latents, level_log_dets = last.inverse_by_level(points, **keywords)
        names = [f"level {i}" for i in range(1, len(level_latents))] + ["top"]
        latents = dict(zip(names, level_latents, strict=True))
        log_dets |= zip(names, level_log_dets, strict=True)
    else:
        latents = {}
        latents["flow"], log_dets["flow"] = inverse_and_log_det(bijector, points, event_ndims, **keywords)
    batch_shape, nats_per_bit_per_dim = tf.shape(events)[:1], math.prod(model.event_shape) * math.log(2.0)
    return latents, {name: tf.broadcast_to(log_det, batch_shape) / nats_per_bit_per_dim
                     for name, log_det in log_dets.items()}


def parameter_levels(model: tfp_glow.FlowModel) -> list[str]:
    """Returns the name of the level of each trainable variable.

    Args:
      model: a `tfp_glow.FlowModel` whose distribution has a bijector.

    Returns:
      A list of strings in the order of `model.trainable_variables`: `"level 1"`, `"level 2"`, ... and, for the last
      level, `"top"`; `"base"` for the base distribution and `"dequantizer"` for variational noise. For a flow without
      levels, it is `"flow"` instead of the levels. Variables outside of all these have the name `"other"`.
    """
    bijector = model.distribution.bijector
    last = bijector.bijectors[-1] if isinstance(bijector, Steps) else bijector
    parts = {"base": model.distribution.distribution, "dequantizer": model.dequantizer, "flow": bijector}
    level, number = (last, 1) if isinstance(last, Multiscale) else (None, 0)
    while level is not None:
        rest = level.parameters["next_level"]
        parts["top" if rest is None else f"level {number}"] = level.parameters["body"]
        level, number = rest, number + 1
    # In this order, a level replaces the name `flow` of the whole bijector.
    names = {id(v): name for name, part in parts.items() if part is not None for v in part.variables}
    return [names.get(id(v.value), "other") for v in model.trainable_variables]


def _inverse_in_order(bijectors: Sequence[tfp.bijectors.Bijector], points: tf.Tensor, event_ndims: int,
                      keywords: dict[str, Any]) -> tuple[tf.Tensor, tf.Tensor]:
    """Applies the inverses of several bijectors one after the other and sums their log-determinants."""
    total = 0.0
    for bijector in bijectors:
        points, log_det = inverse_and_log_det(bijector, points, event_ndims, **keywords)
        total += log_det
    return points, total
