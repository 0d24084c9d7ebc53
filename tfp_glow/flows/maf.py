# SPDX-License-Identifier: Apache-2.0
"""MAF (Papamakarios, Pavlakou and Murray, 2017)."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from tfp_glow import bijectors as tfgb
from tfp_glow._checks import check_activation, check_bool, check_choice, check_int, check_ints
from tfp_glow._types import ShapeLike
from tfp_glow.flows._config import register_flow
from tfp_glow.flows._shared import flow_distribution
from tfp_glow.flows._vector_flow import EARLIER, VectorData, bounded, check_backprop, repeated
from tfp_glow.networks import MADE


@register_flow("maf", shared=VectorData, earlier=EARLIER)
def maf(event_shape: ShapeLike, num_layers: int = 5, hidden_sizes: Sequence[int] = (512, 512), *,
        activation: str = "relu", batch_norm: bool = True, log_scale: str = "linear", backprop: str = "stored",
        **data: Any) -> tfd.TransformedDistribution:
    """Builds a masked autoregressive flow, a distribution over vectors, or over images as vectors.

    Autoregressive layers alternate with reversals of the order of elements. A MADE network computes the shift and the
    log-scale of each layer. Batch normalization with a learned scale and shift follows on the latent side of each
    layer. `log_prob` evaluates each network once. Sampling computes one element after the other.

    Args:
      event_shape: `(size,)` or an int for vectors, or `(height, width, channels)` for images. All sizes are positive.
      num_layers: number of autoregressive layers, an int of at least 1. Default: 5.
      hidden_sizes: sizes of the hidden layers of each MADE, a sequence of ints. Default: `(512, 512)`.
      activation: name of the Keras activation of the hidden layers. Default: `"relu"`.
      batch_norm: a bool. True (the default) adds batch normalization after each layer.
      log_scale: the log-scale of a layer. `"linear"` (the default, as in the paper) is the output `raw` of the network,
        which is not bounded, so samples can overflow. `"tanh"` is a learned factor times `tanh(raw)`, as in RealNVP.
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
      Papamakarios, Pavlakou and Murray, *Masked autoregressive flow for density estimation*, 2017, section 4.

    Example:

    >>> tfp_glow.maf(3, num_layers=2, hidden_sizes=(16, 16)).sample(5).shape
    TensorShape([5, 3])
    """
    return autoregressive_flow("maf", lambda layer: layer, event_shape, num_layers, hidden_sizes, activation,
                               batch_norm, log_scale, backprop, data)


def autoregressive_flow(kind: str, direction: Callable[[tfb.Bijector], tfb.Bijector], event_shape: ShapeLike,
                        num_layers: int, hidden_sizes: Sequence[int], activation: str, batch_norm: bool,
                        log_scale: str, backprop: str, data: dict[str, Any]) -> tfd.TransformedDistribution:
    """Builds MAF or IAF.

    Args:
      kind: default name of the distribution, `"maf"` or `"iaf"`.
      direction: a function of an autoregressive layer that returns the layer itself (MAF) or its `tfb.Invert` (IAF).
      event_shape: see `maf`.
      num_layers: see `maf`.
      hidden_sizes: see `maf`.
      activation: see `maf`.
      batch_norm: see `maf`.
      log_scale: see `maf`.
      backprop: see `maf`.
      data: dict of the keyword arguments of `VectorData`, except `event_shape`.
    """
    vectors = VectorData(event_shape=event_shape, **data)
    num_layers = check_int("num_layers", num_layers)
    hidden_sizes = check_ints("hidden_sizes", hidden_sizes)
    check_bool("batch_norm", batch_norm)
    check_activation("activation", activation)
    check_choice("log_scale", log_scale, ("linear", "tanh"))
    generator = keras.random.SeedGenerator(vectors.seed)
    size, dtype = vectors.size, vectors.dtype

    def autoregressive() -> tfb.Bijector:
        network: keras.Layer = MADE(size, hidden_sizes, activation, seed=generator, dtype=vectors.policy,
                                    context_size=vectors.context_size)
        if log_scale == "tanh":
            network = bounded(network, vectors.size, vectors)
        return direction(tfgb.MaskedAutoregressive((size,), network, dtype=dtype, context_shape=vectors.context_size))

    reverse = tfgb.Reverse((size,), dtype=dtype)
    how = check_backprop(backprop, batch_norm)
    if how == "unrolled" or num_layers == 1:
        def layer(index: int) -> list[tfb.Bijector]:
            between = [reverse] if index else []
            return [*between, autoregressive(), *(vectors.batch_norm() if batch_norm else [])]

        layers = repeated(layer, num_layers, "unrolled")
    else:  # The second of the last two reversals cancels the first.
        layers = [*repeated(lambda index: [autoregressive(), reverse], num_layers, how), reverse]
    return flow_distribution([*vectors.entrance(), *layers], kind, vectors.name)
