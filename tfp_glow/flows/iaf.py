# SPDX-License-Identifier: Apache-2.0
"""IAF (Kingma, Salimans, Jozefowicz, Chen, Sutskever and Welling, 2016)."""

from collections.abc import Sequence
from typing import Any

from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from tfp_glow._types import ShapeLike
from tfp_glow.flows._config import register_flow
from tfp_glow.flows._vector_flow import EARLIER, VectorData
from tfp_glow.flows.maf import autoregressive_flow


@register_flow("iaf", shared=VectorData, earlier=EARLIER)
def iaf(event_shape: ShapeLike, num_layers: int = 5, hidden_sizes: Sequence[int] = (512, 512), *,
        activation: str = "relu", batch_norm: bool = False, log_scale: str = "linear", backprop: str = "stored",
        **data: Any) -> tfd.TransformedDistribution:
    """Builds an inverse autoregressive flow: `tfp_glow.maf` with each autoregressive layer inverted.

    Sampling evaluates each network once. `log_prob` computes one element after the other. To compute samples and their
    log-probabilities in one pass, call `distribution.experimental_sample_and_log_prob`.

    Args:
      event_shape: `(size,)` or an int for vectors, or `(height, width, channels)` for images. All sizes are positive.
      num_layers: number of autoregressive layers, an int of at least 1. Default: 5.
      hidden_sizes: sizes of the hidden layers of each layer's MADE network, a sequence of ints. Default: `(512, 512)`.
      activation: name of the Keras activation of the hidden layers. Default: `"relu"`.
      batch_norm: a bool. True adds batch normalization after each layer. Default: False.
      log_scale: the log-scale of a layer. `"linear"` (the default) is the output `raw` of the network, which is not
        bounded. `"tanh"` is a learned factor times `tanh(raw)`.
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
      Kingma, Salimans, Jozefowicz, Chen, Sutskever and Welling, *Improving variational inference with inverse
      autoregressive flow*, 2016, section 3.

    Example:

    >>> tfp_glow.iaf(3, num_layers=2, hidden_sizes=(16, 16)).sample(5).shape
    TensorShape([5, 3])
    """
    return autoregressive_flow("iaf", tfb.Invert, event_shape, num_layers, hidden_sizes, activation, batch_norm,
                               log_scale, backprop, data)
