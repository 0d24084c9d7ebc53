# SPDX-License-Identifier: Apache-2.0
"""RealNVP over vectors (Dinh, Sohl-Dickstein and Bengio, 2017)."""

from collections.abc import Sequence
from typing import Any

import keras
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from tfp_glow import bijectors as tfgb
from tfp_glow._checks import check_activation, check_bool, check_int, check_ints
from tfp_glow._types import ShapeLike
from tfp_glow.flows._config import register_flow
from tfp_glow.flows._shared import flow_distribution
from tfp_glow.flows._vector_flow import EARLIER, PARTITIONS, VectorData, bounded, check_backprop, repeated
from tfp_glow.networks import MLP


@register_flow("realnvp_vector", shared=VectorData, earlier={**EARLIER, "partition": "odd_even"})
def realnvp_vector(event_shape: ShapeLike, num_couplings: int = 10, hidden_sizes: Sequence[int] = (128, 128), *,
                   activation: str = "relu", partition: str = "halves", batch_norm: bool = False,
                   backprop: str = "stored", **data: Any) -> tfd.TransformedDistribution:
    """Builds RealNVP over vectors, or over images as vectors. For convolutions over images use `tfp_glow.realnvp`.

    Affine couplings change one half of the elements and then the other. A dense network per coupling computes the
    shift and the log-scale. The log-scale is a learned factor times tanh of the network's output.

    Args:
      event_shape: `(size,)` or an int for vectors, or `(height, width, channels)` for images. An event has at least
        2 elements.
      num_couplings: number of couplings, an int of at least 1. Default: 10.
      hidden_sizes: sizes of the hidden layers of the networks, a sequence of ints. Default: `(128, 128)`.
      activation: name of the Keras activation of the hidden layers. Default: `"relu"`.
      partition: the elements that couplings change in turn. `"halves"` (the default): the last and the first half.
        If the size is odd, every coupling changes the element in the middle. `"odd_even"`: the elements with odd and
        with even index, as in earlier versions. The networks then have inputs and outputs for all elements, which
        takes more time.
      batch_norm: a bool. True adds batch normalization with a learned scale and shift after each coupling.
        Default: False.
      backprop: how the layers are run. `"stored"` (the default) runs them in a loop, a `tfp_glow.bijectors.Repeat`.
        The time to trace the flow then does not grow with their number. `"reversible"` also rebuilds their activations
        in the gradient, so that memory does not grow. `"unrolled"` traces every layer, as earlier versions did. With
        batch normalization, every layer is traced.
      **data: keyword arguments of `VectorData` in `tfp_glow/flows/_vector_flow.py`; `help` lists them here.

    Returns:
      A `tfd.TransformedDistribution` with event shape `event_shape` and no batch shape. `log_prob` is in nats per
      event and refers to the units of the data, without any scaling.

    Raises:
      ValueError: if an argument violates its description above.

    References:
      Dinh, Sohl-Dickstein and Bengio, *Density estimation using Real NVP*, 2017, figure 1;
      Papamakarios, Pavlakou and Murray, *Masked autoregressive flow*, 2017, section 4, for the flow over vectors.

    Example:

    >>> tfp_glow.realnvp_vector(2, num_couplings=4, hidden_sizes=(16,)).sample(3).shape
    TensorShape([3, 2])
    """
    vectors = VectorData(event_shape=event_shape, **data)
    vectors.check_two_elements()
    num_couplings = check_int("num_couplings", num_couplings)
    hidden_sizes = check_ints("hidden_sizes", hidden_sizes)
    check_activation("activation", activation)
    check_bool("batch_norm", batch_norm)
    generator = keras.random.SeedGenerator(vectors.seed)
    size, dtype = vectors.size, vectors.dtype
    kept, changed = vectors.part_sizes(partition)

    def coupling(index: int) -> tfgb.AffineCoupling:
        network = MLP(2 * changed, hidden_sizes, activation, seed=generator, dtype=vectors.policy)
        mask = PARTITIONS[partition][index % 2]
        return tfgb.AffineCoupling((size,), bounded(network, kept, vectors), mask, scale="exp",
                                   context_shape=vectors.context_size, dtype=dtype)

    def layer(index: int) -> list[tfb.Bijector]:
        return [coupling(index), *(vectors.batch_norm() if batch_norm else [])]

    couplings = repeated(layer, num_couplings, check_backprop(backprop, batch_norm), period=2)
    return flow_distribution([*vectors.entrance(), *couplings], "realnvp_vector", vectors.name)
