# SPDX-License-Identifier: Apache-2.0
"""One pass through any bijector, ours or another's, and the walk that sets data-dependent parameters."""

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.bijectors.flow_bijector import FlowBijector

tfb, tfd = tfp.bijectors, tfp.distributions

# TFP's compositions of parts that are not composite tensors, as none of ours is, are objects of their first base class.
_CHAIN, _INVERT, _BLOCKWISE = (kind.__bases__[0] for kind in (tfb.Chain, tfb.Invert, tfb.Blockwise))
_TRANSFORMED, _MIXTURE = (kind.__bases__[0] for kind in (tfd.TransformedDistribution, tfd.Mixture))
_WRAPPERS = tuple(kind.__bases__[0] for kind in (tfd.Independent, tfd.Sample, tfd.BatchReshape, tfd.Masked))


def is_transformed(distribution):
    """Whether a distribution is another one seen through a bijector."""
    return isinstance(distribution, _TRANSFORMED)


def forward_and_log_det(bijector, x, event_ndims, **conditions):
    """Runs any bijector from latent to image: `(y, log_det)`, by one pass if it is a `FlowBijector`.

    `event_ndims` is the rank of one event of `x`. `conditions` reach flow bijectors only.
    """
    if isinstance(bijector, FlowBijector):
        return bijector._forward_and_log_det(x, **conditions)
    if isinstance(bijector, _INVERT):
        return inverse_and_log_det(bijector.bijector, x, event_ndims, **conditions)
    x = tf.identity(x)  # A key of its own in TFP's cache, whose entries outlive a change of weights.
    return bijector.forward(x), bijector.forward_log_det_jacobian(x, event_ndims)


def inverse_and_log_det(bijector, y, event_ndims, **conditions):
    """Runs any bijector from image to latent: `(x, log_det)`, by one pass if it is a `FlowBijector`.

    `event_ndims` is the rank of one event of `y`. `conditions` reach flow bijectors only.
    """
    if isinstance(bijector, FlowBijector):
        return bijector._inverse_and_log_det(y, **conditions)
    if isinstance(bijector, _INVERT):
        return forward_and_log_det(bijector.bijector, y, event_ndims, **conditions)
    y = tf.identity(y)  # As above.
    return bijector.inverse(y), bijector.inverse_log_det_jacobian(y, event_ndims)


def flow_bijectors_in(thing):
    """Every `FlowBijector` in a bijector or distribution, itself among them if it is one."""
    return [part for part in (thing, *thing.submodules) if isinstance(part, FlowBijector)]


def event_shape_of(bijector):
    """Shape of one event on the image side, where a `FlowBijector` in `bijector` tells it; None otherwise.

    Looks into `tfb.Invert` and `tfb.Chain`.
    """
    if isinstance(bijector, FlowBijector):
        return tf.TensorShape(bijector.event_shape)
    if isinstance(bijector, _INVERT):
        shape = event_shape_of(bijector.bijector)
        return None if shape is None else bijector.bijector.inverse_event_shape(shape)
    return event_shape_of_chain(bijector.bijectors) if isinstance(bijector, _CHAIN) else None


def event_shape_of_chain(bijectors):
    """As `event_shape_of`, of bijectors one after the other, listed from the image side."""
    for index, bijector in enumerate(bijectors):
        shape = event_shape_of(bijector)
        if shape is not None:
            for outer in reversed(bijectors[:index]):
                shape = outer.forward_event_shape(shape)
            return shape
    return None


def initialize(flow, batch, **conditions):
    """Sets data-dependent parameters from one batch by walking the flow once from image to latent, eagerly.

    Every `ActNorm` on the way (in networks too) starts such that its output has mean 0 and standard deviation 1 in
    every channel. One that has been set before, or restored from a checkpoint, is left as it is.

    Args:
      flow: a `tfb.Bijector` or a `tfd.Distribution`. The walk goes through `tfb.Chain`, `tfb.Blockwise`, nested
        transformed distributions, the components of a `tfd.Mixture` (each gets the whole batch), and `tfd.Independent`,
        `Sample`, `BatchReshape` and `Masked`; other bijectors and distributions have nothing to set.
      batch: a float batch of data, `[batch, *event_shape]`.
      **conditions: `context`, if the flow's networks need one.

    Returns:
      The batch's latents; of a mixture, the batch.

    Raises:
      ValueError: if `flow` is neither, or `batch` has not the event shape of the flow, or is not finite; or if some
        part of the flow is where the walk does not come, in a `tfb.Invert` say, and has yet to be set.

    >>> flow = tfp_glow.bijectors.ActNorm((3,))
    >>> latents = tfp_glow.initialize(flow, tf.random.normal((100, 3), mean=5.0))
    """
    if not isinstance(flow, (tfb.Bijector, tfd.Distribution)):
        raise ValueError(f"Argument `flow` must be a tfb.Bijector or a tfd.Distribution; received {flow!r}.")
    latents = walk(flow, batch, **conditions)
    left = [part.name for part in flow_bijectors_in(flow) if not part.is_initialized]
    if left:
        raise ValueError("Argument `flow` must have its data-dependent parameters where a walk from image to latent "
                         f"comes by; received {flow.name!r}, in which {', '.join(map(repr, left[:3]))} could not be "
                         "set. Initialize those by themselves before.")
    return latents


def walk(flow, batch, **conditions):
    """What `initialize` does, of a part of a flow: returns the batch's latents, and tells nobody what it left out."""
    if isinstance(flow, FlowBijector):
        batch = flow._checked("batch", batch, flow.event_shape)
        if not bool(tf.reduce_all(tf.math.is_finite(batch))):
            raise ValueError(f"{flow.name}: argument `batch` must be finite; received NaN or infinity.")
        return flow._initialize(batch, **conditions)
    if isinstance(flow, _CHAIN):
        for bijector in flow.bijectors:
            batch = walk(bijector, batch, **conditions)
        return batch
    if isinstance(flow, _BLOCKWISE):
        blocks = tf.split(batch, flow.inverse_block_sizes, axis=-1)
        return tf.concat([walk(b, block, **conditions) for b, block in zip(flow.bijectors, blocks, strict=True)], -1)
    if isinstance(flow, _INVERT):
        return inverse_and_log_det(flow, batch, flow.inverse_min_event_ndims, **conditions)[0]
    if isinstance(flow, tfb.Bijector):
        return flow.inverse(batch)
    if isinstance(flow, _TRANSFORMED):
        batch = walk(flow.bijector, batch, **conditions)
    if isinstance(flow, (_TRANSFORMED, *_WRAPPERS)):
        return walk(flow.distribution, batch, **conditions)
    for component in flow.components if isinstance(flow, _MIXTURE) else ():
        walk(component, batch, **conditions)
    return batch
