# SPDX-License-Identifier: Apache-2.0
"""The latents of each level of a flow, and the contribution of each level to the log-determinant."""

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
        labels: TensorLike | None = None) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    """Splits the latents and the log-determinant of a flow by level.

    The bits per dimension of the events are the bits per dimension of all latents under the base distribution, minus
    the sum of all log-determinants.

    Args:
      model: a model whose distribution has a bijector.
      events: events `[batch, *event_shape]`. Integers get the dequantization noise of training.
      seed: two integers, the random seed of that noise.
      labels: integer labels `[batch]` for a conditional model; other models ignore them.

    Returns:
      A pair `(latents, log_dets)` of dicts. `latents` maps `"level 1"`, `"level 2"`, ..., `"top"` to arrays
      `[batch, size]`. `log_dets` maps the same names to arrays `[batch]` in bits per dimension. It also has the key
      `"pixels"` for the bijectors before level 1, and `"dequantizer"` for variational dequantization, if there are any.
      For a flow without levels, both dicts have the key `"flow"` instead of the levels.
    """
    dequantization, event_ndims = model.functions.dequantization, len(model.event_shape)
    points, log_q = dequantization(tf.convert_to_tensor(events), seed)
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


def _inverse_in_order(bijectors: Sequence[tfp.bijectors.Bijector], points: tf.Tensor, event_ndims: int,
                      keywords: dict[str, Any]) -> tuple[tf.Tensor, tf.Tensor]:
    """Applies the inverses of bijectors that keep the rank of an event, and returns the sum of the log-dets."""
    total = 0.0
    for bijector in bijectors:
        points, log_det = inverse_and_log_det(bijector, points, event_ndims, **keywords)
        total += log_det
    return points, total
