# SPDX-License-Identifier: Apache-2.0
"""Functions that compute one pass of any `tfb.Bijector`, and the event shape of a composition of bijectors."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from tfp_glow._compat_tfp import Chain, Invert, TransformedDistribution
from tfp_glow.bijectors.flow_bijector import FlowBijector, checked_pass


def is_transformed(distribution: tfd.Distribution) -> bool:
    """Returns True if a distribution is a `tfd.TransformedDistribution`."""
    return isinstance(distribution, TransformedDistribution)


def forward_and_log_det(bijector: tfb.Bijector, x: tf.Tensor, event_ndims: int,
                        **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Maps latents to data by any bijector, in one pass if it is a `FlowBijector`.

    Args:
      bijector: a `tfb.Bijector`.
      x: latents, `[..., *latent_shape]`.
      event_ndims: number of axes of one event of `x`.
      **conditions: the context `context` and the training mode `training`, which only flow bijectors receive.

    Returns:
      `(y, log |det dy/dx|)`, tensors `[..., *event_shape]` and `[...]`. The log-determinant may also be a scalar if it
      is the same for every event.

    Example:

    >>> y, log_det = forward_and_log_det(tfp.bijectors.Scale(2.0), tf.ones(3), event_ndims=0)
    >>> y.numpy().tolist(), round(float(log_det), 4)
    ([2.0, 2.0, 2.0], 0.6931)
    """
    if isinstance(bijector, FlowBijector):
        return checked_pass(bijector, "forward", x, event_ndims, **conditions)
    if isinstance(bijector, Invert):
        return inverse_and_log_det(bijector.bijector, x, event_ndims, **conditions)
    x = tf.identity(x)  # TFP's cache keeps entries after weights change. A new tensor is a new key.
    return bijector.forward(x), bijector.forward_log_det_jacobian(x, event_ndims)


def inverse_and_log_det(bijector: tfb.Bijector, y: tf.Tensor, event_ndims: int,
                        **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Maps data to latents by any bijector, in one pass if it is a `FlowBijector`.

    Args:
      bijector: a `tfb.Bijector`.
      y: data, `[..., *event_shape]`.
      event_ndims: number of axes of one event of `y`.
      **conditions: the context `context` and the training mode `training`, which only flow bijectors receive.

    Returns:
      `(x, log |det dx/dy|)`, tensors `[..., *latent_shape]` and `[...]`. The log-determinant may also be a scalar if it
      is the same for every event.
    """
    if isinstance(bijector, FlowBijector):
        return checked_pass(bijector, "inverse", y, event_ndims, **conditions)
    if isinstance(bijector, Invert):
        return forward_and_log_det(bijector.bijector, y, event_ndims, **conditions)
    y = tf.identity(y)  # TFP's cache keeps entries after weights change. A new tensor is a new key.
    return bijector.inverse(y), bijector.inverse_log_det_jacobian(y, event_ndims)


def flow_bijectors_in(module: tf.Module) -> list[FlowBijector]:
    """Returns every `FlowBijector` in a bijector or distribution, including `module` itself if it is one."""
    return [part for part in (module, *module.submodules) if isinstance(part, FlowBijector)]


def event_shape_of(bijector: tfb.Bijector) -> tf.TensorShape | None:
    """Returns the event shape of a bijector on the data side, or None if it has no fixed event shape.

    The event shape is fixed for a `FlowBijector`, and for a `tfb.Invert` or `tfb.Chain` that contains one.
    """
    if isinstance(bijector, FlowBijector):
        return tf.TensorShape(bijector.event_shape)
    if isinstance(bijector, Invert):
        shape = event_shape_of(bijector.bijector)
        return None if shape is None else bijector.bijector.inverse_event_shape(shape)
    return chain_event_shape(bijector.bijectors) if isinstance(bijector, Chain) else None


def chain_event_shape(bijectors: Sequence[tfb.Bijector]) -> tf.TensorShape | None:
    """Returns the event shape of a composition of bijectors on the data side.

    Args:
      bijectors: the bijectors, listed from the data side as in `tfb.Chain`.

    Returns:
      A `tf.TensorShape`, or None if no bijector has a fixed event shape.
    """
    for index, bijector in enumerate(bijectors):
        shape = event_shape_of(bijector)
        if shape is not None:
            for outer in reversed(bijectors[:index]):
                shape = outer.forward_event_shape(shape)
            return shape
    return None
