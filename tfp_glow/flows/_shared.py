# SPDX-License-Identifier: Apache-2.0
"""What all flows use: the checks of common arguments, the base distribution and the finished distribution."""

import math
from typing import Any

import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from tfp_glow._checks import check_float_dtype, check_network_dtype, check_seed
from tfp_glow._types import Shape
from tfp_glow.bijectors import Steps


def check_common(dtype: Any, network_dtype: Any, seed: Any) -> None:
    """Raises `ValueError` unless the arguments that all flows have are valid."""
    check_float_dtype(dtype)
    check_network_dtype(network_dtype)
    check_seed(seed)


def check_divisible(image_shape: Shape, divisor: int, formula: str) -> None:
    """Raises `ValueError` unless height and width of images are divisible by `divisor`, which `formula` explains."""
    height, width, _ = image_shape
    if height % divisor or width % divisor:
        raise ValueError(f"Argument `image_shape` must have height and width divisible by {formula} = {divisor}; "
                         f"received {image_shape}.")


def standard_normal(size: int, dtype: Any) -> tfd.Distribution:
    """Returns the standard normal distribution over vectors of `size` numbers."""
    return tfd.Independent(tfd.Normal(tf.zeros([size], dtype), tf.ones([], dtype)), 1)


def flow_distribution(bijectors: list[tfb.Bijector], name: str, base: tfd.Distribution | None = None,
                      ) -> tfd.TransformedDistribution:
    """Returns the distribution of data that bijectors, listed from the data side, map from the base distribution.

    Args:
      bijectors: the bijectors of the flow.
      name: name of the flow.
      base: the base distribution; standard normal by default.
    """
    flow = Steps(bijectors, name=name)
    base = standard_normal(math.prod(flow.latent_shape), flow.dtype) if base is None else base
    return tfd.TransformedDistribution(base, flow, name=name)
