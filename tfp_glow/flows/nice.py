# SPDX-License-Identifier: Apache-2.0
"""NICE (Dinh, Krueger and Bengio, 2015)."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfp_glow import bijectors as tfgb
from tfp_glow._checks import check_choice, check_int, check_ints
from tfp_glow._types import ShapeLike
from tfp_glow.flows._config import register_flow
from tfp_glow.flows._shared import flow_distribution, standard_normal
from tfp_glow.flows._vector_flow import PARTITIONS, VectorData
from tfp_glow.networks import MLP


@register_flow("nice", shared=VectorData)
def nice(event_shape: ShapeLike, num_couplings: int = 4, hidden_sizes: Sequence[int] = (1000,) * 5, *,
         partition: str = "odd_even", prior: str = "logistic", **data: Any) -> tfd.TransformedDistribution:
    """Builds NICE, a distribution over vectors, or over images as vectors.

    Additive couplings change the two parts of the vector in turn. A learned scaling of each element comes last, on the
    latent side. Couplings have log-determinant 0, the scaling has `sum(log_scale)` in the forward direction.

    Args:
      event_shape: `(size,)` or an int for vectors, or `(height, width, channels)` for images. An event has at least
        2 elements.
      num_couplings: number of couplings, an int of at least 1. Default: 4.
      hidden_sizes: sizes of the hidden layers of the networks, a sequence of ints. Their activation is ReLU.
        Default: `(1000,) * 5`, as in the paper for MNIST.
      partition: the two parts: `"odd_even"` (the default, as in the paper), the elements with odd and with even index;
        or `"halves"`, the first and the last half of the elements.
      prior: base distribution: `"logistic"` (the default, as in the paper for most data) or `"normal"`.
      **data: keyword arguments of `VectorData` in `tfp_glow/flows/_vector_flow.py`; `help` lists them here.

    Returns:
      A `tfd.TransformedDistribution` with event shape `event_shape` and no batch shape. `log_prob` is in nats per
      event and refers to the units of the data, without any scaling.

    Raises:
      ValueError: if an argument violates its description above.

    References:
      Dinh, Krueger and Bengio, *NICE: Non-linear independent components estimation*, 2015, section 5.1.

    Example:

    >>> tfp_glow.nice(6, hidden_sizes=(16,)).sample(3).shape
    TensorShape([3, 6])
    """
    vectors = VectorData(event_shape=event_shape, **data)
    vectors.check_two_elements()
    num_couplings = check_int("num_couplings", num_couplings)
    hidden_sizes = check_ints("hidden_sizes", hidden_sizes)
    check_choice("prior", prior, ("logistic", "normal"))
    generator = keras.random.SeedGenerator(vectors.seed)
    size, dtype = vectors.size, vectors.dtype
    _, changed = vectors.part_sizes(partition)

    def coupling(mask: str) -> tfgb.AdditiveCoupling:
        network = MLP(changed, hidden_sizes, seed=generator, dtype=vectors.policy)
        return tfgb.AdditiveCoupling((size,), network, mask, context_shape=vectors.context_size, dtype=dtype)

    couplings = [coupling(PARTITIONS[partition][index % 2]) for index in range(num_couplings)]
    if prior == "normal":
        base = standard_normal(size, dtype)
    else:
        base = tfd.Independent(tfd.Logistic(tf.zeros([size], dtype), tf.ones([], dtype)), 1)
    steps = [*vectors.entrance(), *couplings, tfgb.Scale((size,), dtype=dtype)]
    return flow_distribution(steps, "nice", vectors.name, base)
