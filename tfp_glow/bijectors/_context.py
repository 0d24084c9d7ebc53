# SPDX-License-Identifier: Apache-2.0
"""The way of a context through TFP's compositions to the bijectors that want it."""

import tensorflow_probability as tfp

from tfp_glow.bijectors.flow_bijector import FlowBijector
from tfp_glow.bijectors._single_pass import is_transformed

tfb = tfp.bijectors

# What these are made of parts that are no composite tensors, as none of ours is.
_CHAIN, _INVERT = (kind.__bases__[0] for kind in (tfb.Chain, tfb.Invert))


def context_shape_of(flow):
    """Shape of the one context that all conditioned parts of a distribution or bijector share; None if there is none.

    Raises:
      ValueError: if they want contexts of several shapes, or one is where `context_keywords` does not come.
    """
    reached = list(_conditioned(flow))
    shapes = {part.context_shape for part in reached}
    if len(shapes) > 1:
        raise ValueError("Conditioned bijectors of one distribution must have one context shape; received "
                         f"{', '.join(map(str, sorted(shapes)))}.")
    inside = {id(part) for whole in reached for part in (whole, *whole.submodules)}
    lost = [part.name for part in flow.submodules
            if isinstance(part, FlowBijector) and part.context_shape is not None and id(part) not in inside]
    if lost:
        raise ValueError("A conditioned bijector must be in flow bijectors, tfb.Chain, tfb.Invert and tfd."
                         f"TransformedDistribution only, which hand a context on; received {lost[0]!r} in {flow!r}.")
    return shapes.pop() if shapes else None


def context_keywords(flow, context):
    """The keyword arguments by which `context` reaches all conditioned parts of a distribution or bijector.

    >>> coupling = tfp_glow.bijectors.AffineCoupling((4,), tfp_glow.networks.MLP(4), context_shape=(3,))
    >>> context_keywords(tfp.bijectors.Chain([tfp.bijectors.Exp(), coupling]), 7.0)
    {'affine_coupling': {'context': 7.0}}
    """
    if isinstance(flow, FlowBijector):
        return {} if flow.context_shape is None else {"context": context}
    if isinstance(flow, _INVERT):
        return context_keywords(flow.bijector, context)
    keywords = {name: context_keywords(part, context) for name, part in _parts(flow)}
    return {name: inner for name, inner in keywords.items() if inner}


def _conditioned(flow):
    """The outermost flow bijectors with a context that are reached."""
    if isinstance(flow, FlowBijector):
        return [flow] if flow.context_shape is not None else []
    parts = [flow.bijector] if isinstance(flow, _INVERT) else [part for _, part in _parts(flow)]
    return [found for part in parts for found in _conditioned(part)]


def _parts(flow):
    """The parts of a composition that hands keywords on, and each one's name there."""
    if isinstance(flow, _CHAIN):
        return [(part.name, part) for part in flow.bijectors]
    if is_transformed(flow):
        return [("bijector_kwargs", flow.bijector), ("distribution_kwargs", flow.distribution)]
    return []
