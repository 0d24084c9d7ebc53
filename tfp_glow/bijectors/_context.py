# SPDX-License-Identifier: Apache-2.0
"""Contexts of distributions and bijectors: their shape, and the keyword arguments that pass a context."""

from typing import Any

import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from tfp_glow._compat_tfp import Chain, Invert
from tfp_glow._types import Shape
from tfp_glow.bijectors._single_pass import is_transformed
from tfp_glow.bijectors.flow_bijector import FlowBijector


def context_shape_of(flow: tfd.Distribution | tfb.Bijector) -> Shape | None:
    """Returns the context shape of a distribution or bijector.

    All conditioned bijectors in it must have this context shape. A conditioned bijector is a `FlowBijector` whose
    `context_shape` is not None.

    Args:
      flow: a `tfd.Distribution` or a `tfb.Bijector`.

    Returns:
      A tuple of ints, or None if `flow` contains no conditioned bijector.

    Raises:
      ValueError: if the context shapes differ, or a conditioned bijector is inside a bijector or distribution other
        than flow bijectors, `tfb.Chain`, `tfb.Invert` and `tfd.TransformedDistribution`.
    """
    reached = _conditioned_bijectors(flow)
    shapes = {part.context_shape for part in reached}
    if len(shapes) > 1:
        raise ValueError("Conditioned bijectors of one distribution must have one context shape; received "
                         f"{', '.join(sorted(map(str, shapes)))}.")
    inside = {id(part) for outer in reached for part in (outer, *outer.submodules)}
    lost = [part.name for part in flow.submodules
            if isinstance(part, FlowBijector) and part.context_shape is not None and id(part) not in inside]
    if lost:
        raise ValueError("A conditioned bijector must be inside flow bijectors, tfb.Chain, tfb.Invert or "
                         "tfd.TransformedDistribution only, because no other composition passes a context on; "
                         f"received {lost[0]!r} in {flow!r}.")
    return shapes.pop() if shapes else None


def context_keywords(flow: tfd.Distribution | tfb.Bijector, context: Any) -> dict[str, Any]:
    """Returns the keyword arguments that pass a context to each `FlowBijector` in `flow` with a `context_shape`.

    Args:
      flow: a `tfd.Distribution` or a `tfb.Bijector`.
      context: a tensor `[..., *context_shape]`. It is passed on unchanged.

    Returns:
      A dict of keyword arguments for the methods of `flow`, such as `log_prob` or `inverse`. It is empty if no bijector
      has a context.

    Example:

    >>> coupling = tfp_glow.bijectors.AffineCoupling((4,), tfp_glow.networks.MLP(4), context_shape=(3,))
    >>> context_keywords(tfp.bijectors.Chain([tfp.bijectors.Exp(), coupling]), 7.0)
    {'affine_coupling': {'context': 7.0}}
    """
    if isinstance(flow, FlowBijector):
        return {} if flow.context_shape is None else {"context": context}
    if isinstance(flow, Invert):
        return context_keywords(flow.bijector, context)
    keywords = {name: context_keywords(part, context) for name, part in _named_parts(flow)}
    return {name: inner for name, inner in keywords.items() if inner}


def _conditioned_bijectors(flow: tf.Module) -> list[FlowBijector]:
    """Returns the outermost flow bijectors that have a context and that `context_keywords` passes it to."""
    if isinstance(flow, FlowBijector):
        return [flow] if flow.context_shape is not None else []
    parts = [flow.bijector] if isinstance(flow, Invert) else [part for _, part in _named_parts(flow)]
    return [bijector for part in parts for bijector in _conditioned_bijectors(part)]


def _named_parts(flow: tf.Module) -> list[tuple[str, tf.Module]]:
    """Returns pairs of a keyword of a composition and the part that receives the arguments under this keyword."""
    if isinstance(flow, Chain):
        return [(part.name, part) for part in flow.bijectors]
    if is_transformed(flow):
        return [("bijector_kwargs", flow.bijector), ("distribution_kwargs", flow.distribution)]
    return []
