# SPDX-License-Identifier: Apache-2.0
"""A flow taken apart by level: the latents of each, and what each adds to the log-determinant."""

import math

import tensorflow as tf

from tfp_glow.bijectors import Multiscale, Steps
from tfp_glow.bijectors._single_pass import inverse_and_log_det


def by_level(model, events, seed, labels=None):
    """Latents and log-determinants of events, level by level.

    They make up the bits per dimension: those of the latents under the base distribution less the sum of the log-dets.

    Args:
      model: a `FlowModel` whose distribution has a bijector.
      events: `[B, *event_shape]`; whole numbers get noise, as when the model is trained.
      seed: a pair of whole numbers, for that noise.
      labels: int `[B]`, for a model that is conditioned on them; not looked at otherwise.

    Returns:
      `(latents, log_dets)`, two dicts by name: latents `[B, size]` of `"level 1"`, ... and `"top"`; log-dets `[B]` in
      bits per dimension of these, of `"pixels"`, the map that comes before, and of `"dequantizer"`, if there is one. A
      flow without levels is all `"flow"`, in both.
    """
    functions, event_ndims = model.functions, len(model.event_shape)
    points, log_q = functions.dequantization(tf.convert_to_tensor(events), seed)
    condition = () if model.condition_spec is None else (labels,)
    keywords = functions.condition.keywords(*condition).get("bijector_kwargs", {})
    log_dets = {} if functions.dequantization.flow is None else {"dequantizer": -log_q}
    bijector = model.distribution.bijector
    parts = bijector.bijectors if isinstance(bijector, Steps) else (bijector,)
    if isinstance(parts[-1], Multiscale):
        if len(parts) > 1:
            points, log_dets["pixels"] = _inverse(parts[:-1], points, event_ndims, keywords)
        latents, by_body = parts[-1].inverse_by_level(points, **keywords)
        names = [f"level {i}" for i in range(1, len(latents))] + ["top"]
        latents, more = dict(zip(names, latents, strict=True)), dict(zip(names, by_body, strict=True))
    else:
        latents, log_det = inverse_and_log_det(bijector, points, event_ndims, **keywords)
        latents, more = {"flow": latents}, {"flow": log_det}
    number, dims = tf.shape(events)[:1], math.prod(model.event_shape)
    return latents, {name: tf.broadcast_to(log_det, number) / (dims * math.log(2.0))
                     for name, log_det in {**log_dets, **more}.items()}


def _inverse(bijectors, points, event_ndims, keywords):
    """One after the other; all leave the rank of an event as it is."""
    total = 0.0
    for bijector in bijectors:
        points, log_det = inverse_and_log_det(bijector, points, event_ndims, **keywords)
        total += log_det
    return points, total
