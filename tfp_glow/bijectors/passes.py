# SPDX-License-Identifier: Apache-2.0
"""One pass through any bijector, ours or another's, and the walk that sets data-dependent parameters."""

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.bijectors.flow_bijector import FlowBijector

tfb, tfd = tfp.bijectors, tfp.distributions

# `tfb.Chain(...)`, `tfb.Invert(...)` and `tfd.TransformedDistribution(...)` of parts that are not composite tensors, as
# none of ours is, make an object of their first base class.
_CHAIN = tfb.Chain.__bases__[0]
_INVERT = tfb.Invert.__bases__[0]
_TRANSFORMED = tfd.TransformedDistribution.__bases__[0]


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


def initialize(flow, batch, **conditions):
    """Sets data-dependent parameters from one batch by walking the flow once from image to latent, eagerly.

    Every `ActNorm` on the way (in networks too) starts such that its output has mean 0 and standard deviation 1 in
    every channel. One that has been set before, or restored from a checkpoint, is left as it is.

    Args:
      flow: a `tfb.Bijector` or a `tfd.Distribution`; `tfb.Chain`s and nested transformed distributions are walked
        too, other bijectors and distributions have nothing to set.
      batch: a float batch of data, `[batch, *event_shape]`.
      **conditions: `context`, if the flow's networks need one.

    Returns:
      The batch's latents.

    Raises:
      ValueError: if `flow` is neither, or `batch` has not the event shape of the flow, or is not finite.

    >>> flow = tfp_glow.bijectors.ActNorm((3,))
    >>> latents = tfp_glow.initialize(flow, tf.random.normal((100, 3), mean=5.0))
    """
    if is_transformed(flow):
        return initialize(flow.distribution, initialize(flow.bijector, batch, **conditions), **conditions)
    if isinstance(flow, tfd.Distribution):
        return batch
    if isinstance(flow, _CHAIN):
        for bijector in flow.bijectors:
            batch = initialize(bijector, batch, **conditions)
        return batch
    if not isinstance(flow, tfb.Bijector):
        raise ValueError(f"Argument `flow` must be a tfb.Bijector or a tfd.Distribution; received {flow!r}.")
    if not isinstance(flow, FlowBijector):
        return flow.inverse(batch)
    batch = flow._checked("batch", batch, flow.event_shape)
    if not bool(tf.reduce_all(tf.math.is_finite(batch))):
        raise ValueError(f"{flow.name}: argument `batch` must be finite; received NaN or infinity.")
    return flow._initialize(batch, **conditions)
