# SPDX-License-Identifier: Apache-2.0
"""MAF (Papamakarios, Pavlakou and Murray, 2017) and IAF (Kingma et al., 2016)."""

import dataclasses

import keras
import tensorflow_probability as tfp

from tfp_glow import bijectors as tfgb
from tfp_glow._checks import check_bool, check_choice, check_int
from tfp_glow.flows._config import register_config
from tfp_glow.flows._vector import VectorConfig
from tfp_glow.networks import MADE, ScaledTanh
from tfp_glow._checks import check_activation

tfb = tfp.bijectors


def maf(event_shape, num_layers=5, hidden_sizes=(512, 512), *, activation="relu", batch_norm=True, log_scale="linear",
        **data):
    """Builds a masked autoregressive flow, a `tfd.TransformedDistribution` over vectors, or over images as vectors.

    `num_layers` of `tfb.MaskedAutoregressiveFlow` with MADE networks and the order reversed between, each followed
    (towards the latents) by batch norm with a learned scale and shift. `log_prob` evaluates each network once; sampling
    goes from element to element.

    Args:
      event_shape: `(size,)` or an int; or `(height, width, channels)`.
      num_layers: how many autoregressive layers.
      hidden_sizes: sizes of the hidden layers of each MADE.
      activation: name of a Keras activation of the hidden layers.
      batch_norm: whether there is batch norm after each layer.
      log_scale: what a network's second output becomes: `"linear"`, the log-scale itself, as in the paper; or `"tanh"`,
        a learned factor times its tanh, as in RealNVP: bounded, so that no sample overflows.
      **data: `pixels`, `num_bits`, `loc`, `scale`, `act_norm`, `seed`, `dtype` and `network_dtype`, see
        `tfp_glow.flows.VectorConfig`.

    Returns:
      A `tfd.TransformedDistribution` with `event_shape` and no batch shape; `log_prob` is in nats per event, of the
      density over data as it comes.

    Raises:
      ValueError: if an argument is not as said.

    Reference: Papamakarios, Pavlakou and Murray, *Masked autoregressive flow for density estimation*, 2017, section 4.

    >>> tfp_glow.maf(3, num_layers=2, hidden_sizes=(16, 16)).sample(5).shape
    TensorShape([5, 3])
    """
    return MAFConfig(event_shape=event_shape, num_layers=num_layers, hidden_sizes=hidden_sizes, activation=activation,
                     batch_norm=batch_norm, log_scale=log_scale, **data).build()


def iaf(event_shape, num_layers=5, hidden_sizes=(512, 512), *, activation="relu", batch_norm=False, log_scale="linear",
        **data):
    """Builds an inverse autoregressive flow: `maf` with each autoregressive layer inverted.

    Sampling evaluates each network once; `log_prob` goes from element to element. The flow's own samples are scored
    without that, by `distribution.experimental_sample_and_log_prob`.

    Args:
      event_shape, num_layers, hidden_sizes, activation, batch_norm, log_scale, **data: as for `maf`.

    Returns:
      A `tfd.TransformedDistribution`, as `maf`.

    Raises:
      ValueError: if an argument is not as said.

    Reference: Kingma, Salimans, Jozefowicz, Chen, Sutskever and Welling, *Improving variational inference with inverse
    autoregressive flow*, 2016.

    >>> tfp_glow.iaf(3, num_layers=2, hidden_sizes=(16, 16)).sample(5).shape
    TensorShape([5, 3])
    """
    return IAFConfig(event_shape=event_shape, num_layers=num_layers, hidden_sizes=hidden_sizes, activation=activation,
                     batch_norm=batch_norm, log_scale=log_scale, **data).build()


@register_config("maf")
@dataclasses.dataclass(frozen=True, kw_only=True)
class MAFConfig(VectorConfig):
    """The arguments of `maf`, checked."""

    num_layers: int = 5
    hidden_sizes: tuple = (512, 512)
    activation: str = "relu"
    batch_norm: bool = True
    log_scale: str = "linear"

    def __post_init__(self):
        super().__post_init__()
        check_int("num_layers", self.num_layers)
        check_bool("batch_norm", self.batch_norm)
        check_activation("activation", self.activation)
        check_choice("log_scale", self.log_scale, ("linear", "tanh"))

    def _steps(self, size, seed):
        steps = []
        for index in range(self.num_layers):
            network = self._network(size, seed)
            steps += [tfgb.Reverse((size,), dtype=self.dtype)] * (index > 0)
            steps.append(self._layer(tfgb.MaskedAutoregressive((size,), network, dtype=self.dtype)))
            steps += self._norm(size) if self.batch_norm else []
        return steps

    def _network(self, size, seed):
        dtype = self.network_dtype or self.dtype
        made = MADE(size, self.hidden_sizes, self.activation, seed=seed, dtype=dtype)
        if self.log_scale == "linear":
            return made
        return keras.Sequential([keras.Input((size,), dtype=self.dtype), made, ScaledTanh(dtype=dtype)])

    def _layer(self, autoregressive):
        return autoregressive


@register_config("iaf")
@dataclasses.dataclass(frozen=True, kw_only=True)
class IAFConfig(MAFConfig):
    """The arguments of `iaf`, checked."""

    batch_norm: bool = False

    def _layer(self, autoregressive):
        return tfb.Invert(autoregressive)
