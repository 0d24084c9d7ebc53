# SPDX-License-Identifier: Apache-2.0
"""Data-dependent initialization: sets parameters from one batch of data."""

from typing import Any

import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from tfp_glow._compat_tfp import WRAPPERS, Blockwise, Chain, Invert, Mixture, TransformedDistribution
from tfp_glow._types import TensorLike
from tfp_glow.bijectors._conditioner import check_context
from tfp_glow.bijectors._single_pass import event_shape_of, flow_bijectors_in, inverse_and_log_det
from tfp_glow.bijectors.flow_bijector import CONDITIONS, FlowBijector


def initialize(flow: tfb.Bijector | tfd.Distribution, batch: TensorLike, **conditions: Any) -> tf.Tensor:
    """Sets the data-dependent parameters of a flow from one batch, in one eager pass from data to latents.

    Sets each `ActNorm`, and each actnorm layer inside a conditioner, so that its output has mean 0 and standard
    deviation 1 in every channel. Sets the running statistics of each `BatchNorm` to the mean and the variance of its
    input. Parameters that are already set, or were restored from a checkpoint, do not change.

    Args:
      flow: a `tfb.Bijector` or a `tfd.Distribution`. The pass goes through flow bijectors, `tfb.Chain`,
        `tfb.Blockwise`, nested `tfd.TransformedDistribution`s, the components of a `tfd.Mixture` (each receives the
        whole batch), and `tfd.Independent`, `tfd.Sample`, `tfd.BatchReshape` and `tfd.Masked`. Other bijectors and
        distributions have no data-dependent parameters.
      batch: data, floats `[batch, *event_shape]`. For integer pixels add dequantization noise before the call.
      **conditions: `context`, a tensor `[batch, *context_shape]`, if the flow requires a context.

    Returns:
      The latents of the batch. For a mixture, the batch itself.

    Raises:
      ValueError: if `flow` is neither a bijector nor a distribution, or `batch` is not finite, holds no event, or has
        no batch axis or another event shape than the flow. If `context` is missing, not required or of another shape.
        If the call is inside a `tf.function`. Also if data-dependent parameters are not set after the pass, because
        the pass does not reach them, for example inside `tfb.Invert`.

    Example:

    >>> flow = tfp_glow.bijectors.ActNorm((3,))
    >>> latents = tfp_glow.initialize(flow, tf.random.normal((100, 3), mean=5.0))
    >>> abs(float(tf.reduce_mean(latents))) < 1e-5
    True
    """
    if not isinstance(flow, (tfb.Bijector, tfd.Distribution)):
        raise ValueError(f"Argument `flow` must be a tfb.Bijector or a tfd.Distribution; received {flow!r}.")
    if not tf.executing_eagerly():
        raise ValueError("initialize must be called outside of a tf.function, because it sets variables once.")
    _check_batch(flow, batch)
    _check_conditions(flow, conditions)
    latents = initialize_part(flow, batch, **conditions)
    left = [part.name for part in flow_bijectors_in(flow) if not part.is_initialized]
    if left:
        raise ValueError("Argument `flow` must have its data-dependent parameters where a pass from data to latents "
                         f"reaches them; received {flow.name!r}, in which {', '.join(map(repr, left[:3]))} could not "
                         "be initialized. Call `initialize` on these parts first.")
    return latents


def _check_batch(flow: tfb.Bijector | tfd.Distribution, batch: TensorLike) -> None:
    """Raises `ValueError` unless `batch` is an array with at least one event and, as far as is known, a batch axis."""
    if tf.nest.is_nested(flow.dtype):
        return
    try:
        shape = tf.convert_to_tensor(batch).shape
    except (TypeError, ValueError) as error:
        raise ValueError(f"{flow.name}: argument `batch` must be an array or tensor; received {batch!r}.") from error
    event_shape = event_shape_of(flow) if isinstance(flow, tfb.Bijector) else flow.event_shape
    rank = 0 if event_shape is None or event_shape.rank is None else event_shape.rank
    if shape.rank <= rank or 0 in shape.as_list():
        known = f"[batch, {', '.join(map(str, event_shape or ()))}]" if rank else "[batch, ...]"
        raise ValueError(f"{flow.name}: argument `batch` must hold at least one event and have a batch axis, shape "
                         f"{known}; received shape {tuple(shape)}.")


def _check_conditions(flow: tfb.Bijector | tfd.Distribution, conditions: dict[str, Any]) -> None:
    """Raises `ValueError` unless `conditions` holds a context if `flow` requires one, and nothing else."""
    for key in set(conditions) - set(CONDITIONS):
        raise ValueError(f"initialize: keyword must be one of {', '.join(map(repr, CONDITIONS))}; received {key!r}.")
    shapes = [part.context_shape for part in flow_bijectors_in(flow) if part.context_shape is not None]
    if shapes:
        check_context(flow.name, conditions.get("context"), shapes[0], tf.TensorShape(None))
    elif conditions.get("context") is not None:
        raise ValueError(f"{flow.name}: argument `context` must be left out, because no part has a `context_shape`.")


def initialize_part(flow: tfb.Bijector | tfd.Distribution, batch: TensorLike, **conditions: Any) -> tf.Tensor:
    """Initializes a part of a flow and returns the latents of the batch under this part.

    Does not raise an error for parameters that the pass does not reach. `initialize` does.

    Args:
      flow: a part of a flow: a `tfb.Bijector` or a `tfd.Distribution`.
      batch: input of the part in the direction from data to latents, a tensor `[batch, *event_shape]`.
      **conditions: `context`, a tensor `[batch, *context_shape]`, if the part requires a context.
    """
    if isinstance(flow, FlowBijector):
        batch = flow._checked("batch", batch, flow.event_shape)
        if not bool(tf.reduce_all(tf.math.is_finite(batch))):
            raise ValueError(f"{flow.name}: argument `batch` must be finite; received NaN or infinity.")
        return flow._initialize(batch, **conditions)
    if isinstance(flow, Chain):
        for bijector in flow.bijectors:
            batch = initialize_part(bijector, batch, **conditions)
        return batch
    if isinstance(flow, Blockwise):
        blocks = tf.split(batch, flow.inverse_block_sizes, axis=-1)
        return tf.concat([initialize_part(bijector, block, **conditions)
                          for bijector, block in zip(flow.bijectors, blocks, strict=True)], axis=-1)
    if isinstance(flow, Invert):
        return inverse_and_log_det(flow, batch, flow.inverse_min_event_ndims, **conditions)[0]
    if isinstance(flow, tfb.Bijector):
        return flow.inverse(batch)
    if isinstance(flow, TransformedDistribution):
        latents = initialize_part(flow.bijector, batch, **conditions)
        return initialize_part(flow.distribution, latents, **conditions)
    if isinstance(flow, WRAPPERS):
        return initialize_part(flow.distribution, batch, **conditions)
    for component in flow.components if isinstance(flow, Mixture) else ():
        initialize_part(component, batch, **conditions)
    return batch
