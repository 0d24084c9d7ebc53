# SPDX-License-Identifier: Apache-2.0
"""Functions that several flows use: checks of arguments, the base distribution and the transformed distribution."""

import math
from typing import Any

import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from tfp_glow._checks import check_float_dtype, check_network_dtype, check_seed
from tfp_glow._types import Shape
from tfp_glow.bijectors import Steps
from tfp_glow.flows._flow_distribution import FlowDistribution


def check_common(dtype: Any, network_dtype: Any, seed: Any, name: Any) -> None:
    """Checks arguments that all flows have.

    Args:
      dtype: float32 or float64, as a `tf.DType` or its name.
      network_dtype: a dtype or Keras dtype policy, or None.
      seed: an int of at least 0, or None.
      name: a non-empty string, or None.

    Raises:
      ValueError: if an argument violates its description above.
    """
    check_float_dtype(dtype)
    check_network_dtype(network_dtype)
    check_seed(seed)
    if name is not None and not (isinstance(name, str) and name):
        raise ValueError(f"Argument `name` must be a non-empty string or None; received {name!r}.")


def check_divisible(image_shape: Shape, divisor: int, formula: str) -> None:
    """Checks that the height and the width of images are divisible by a number.

    Args:
      image_shape: `(height, width, channels)`.
      divisor: the number, an int.
      formula: the formula of `divisor` for the error message, such as `"2**num_levels"`.

    Raises:
      ValueError: if height or width is not divisible by `divisor`.
    """
    height, width, _ = image_shape
    if height % divisor or width % divisor:
        raise ValueError(f"Argument `image_shape` must have height and width divisible by {formula} = {divisor}; "
                         f"received {image_shape}.")


def standard_normal(size: int, dtype: Any) -> tfd.Distribution:
    """Returns the standard normal distribution over vectors of `size` elements, without batch shape."""
    return tfd.Independent(tfd.Normal(tf.zeros([size], dtype), tf.ones([], dtype)), 1)


def flow_distribution(bijectors: list[tfb.Bijector], kind: str, name: str | None, base: tfd.Distribution | None = None,
                      num_classes: int | None = None) -> FlowDistribution:
    """Returns the distribution of data that a flow maps from latents with a base distribution.

    Args:
      bijectors: the bijectors of the flow, listed from the data side.
      kind: name of the bijector, and of the distribution if `name` is None, such as `"glow"`.
      name: name of the distribution, a string or None.
      base: the base distribution, a `tfd.Distribution` over the latents. None (the default) means the standard normal
        distribution; the latents must then be vectors.
      num_classes: number of classes of a class-conditional flow, an int, or None (the default).

    Returns:
      A `FlowDistribution`, which is a `tfd.TransformedDistribution`.
    """
    flow = Steps(bijectors, name=kind)
    base = standard_normal(math.prod(flow.latent_shape), flow.dtype) if base is None else base
    return FlowDistribution(base, flow, name=name, default_name=kind, num_classes=num_classes)
