# SPDX-License-Identifier: Apache-2.0
"""`given`: a conditional flow with a fixed context, for places where TFP passes no further arguments."""

from typing import Any

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfp_glow._types import TensorLike
from tfp_glow.bijectors import BindContext, FlowBijector
from tfp_glow.bijectors._single_pass import is_transformed


def given(distribution: tfd.TransformedDistribution, context: TensorLike,
          name: str | None = None) -> tfd.TransformedDistribution:
    """Returns the density p(y | context) of a conditional flow as a distribution that requires no context.

    A conditional flow requires its context in each call, as `bijector_kwargs={"context": ...}`. TFP's joint
    distributions, mixtures and Markov chains do not pass it. In a joint distribution, `lambda c: tfp_glow.given(flow,
    c)` is a flow whose context is another variable.

    The flow and the result share their parameters. Gradients with respect to the context exist.

    Args:
      distribution: a flow with a context, such as `tfp_glow.nsf(2, context_shape=(3,))` or
        `tfp_glow.glow(image_shape, num_classes=10)`.
      context: numbers `[..., *context_shape]`; for classes, one-hot labels.
      name: name of the distribution, a string. None (the default) means the name of the flow and `_given`.

    Returns:
      A `tfd.TransformedDistribution` with the event shape of the flow and the batch shape of the context.

    Raises:
      ValueError: if `distribution` is no flow with a context, or if `context` has another shape.

    Example:

    >>> flow = tfp_glow.realnvp_vector(2, num_couplings=2, hidden_sizes=(16,), context_shape=(3,))
    >>> posterior = tfp_glow.given(flow, [0.0, 1.0, 2.0])
    >>> posterior.log_prob(tf.zeros((5, 2))).shape, posterior.sample(4).shape
    (TensorShape([5]), TensorShape([4, 2]))
    >>> joint = tfp.distributions.JointDistributionNamed({
    ...     "c": tfp.distributions.MultivariateNormalDiag(tf.zeros(3)), "y": lambda c: tfp_glow.given(flow, c)})
    >>> joint.log_prob(joint.sample(6)).shape
    TensorShape([6])
    """
    bijector: Any = distribution.bijector if is_transformed(distribution) else None
    if not isinstance(bijector, FlowBijector) or bijector.context_shape is None:
        raise ValueError("Argument `distribution` must be a flow with a `context_shape` or with `num_classes`; "
                         f"received {distribution!r}.")
    bound = BindContext(bijector, context)
    context, rank = tf.convert_to_tensor(context), len(bijector.context_shape)
    base = distribution.distribution
    if context.shape.rank != rank:
        static = context.shape[:-rank]
        base = tfd.BatchBroadcast(base, static if static.is_fully_defined() else tf.shape(context)[:-rank])
    return tfd.TransformedDistribution(base, bound, name=name or f"{distribution.name}_given")
