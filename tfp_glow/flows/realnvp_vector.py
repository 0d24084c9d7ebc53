# SPDX-License-Identifier: Apache-2.0
"""RealNVP for vectors."""

import dataclasses

import keras

from tfp_glow import bijectors as tfgb
from tfp_glow._checks import check_bool, check_int
from tfp_glow.flows._config import register_config
from tfp_glow.flows._vector import VectorConfig
from tfp_glow.networks import MLP, ScaledTanh
from tfp_glow._checks import check_activation


def realnvp_vector(event_shape, num_couplings=10, hidden_sizes=(128, 128), *, activation="relu", batch_norm=False,
                   **data):
    """Builds RealNVP over vectors, or over images as vectors: affine couplings that change odd and even elements by
    turns, with dense networks whose log-scale is a learned factor times tanh.

    Args:
      event_shape: `(size,)` or an int, at least 2; or `(height, width, channels)`.
      num_couplings: how many couplings.
      hidden_sizes: sizes of the hidden layers of their networks.
      activation: name of a Keras activation of the hidden layers.
      batch_norm: whether each coupling is followed by batch norm with a learned scale and shift.
      **data: `pixels`, `num_bits`, `loc`, `scale`, `act_norm`, `seed`, `dtype` and `network_dtype`, see
        `tfp_glow.flows.VectorConfig`.

    Returns:
      A `tfd.TransformedDistribution` with `event_shape` and no batch shape; `log_prob` is in nats per event, of the
      density over data as it comes.

    Raises:
      ValueError: if an argument is not as said.

    Reference: Dinh, Sohl-Dickstein and Bengio, *Density estimation using Real NVP*, 2017, figure 1; as in the
    comparison of Papamakarios, Pavlakou and Murray, *Masked autoregressive flow*, 2017, section 4.

    >>> tfp_glow.realnvp_vector(2, num_couplings=4, hidden_sizes=(16,)).sample(3).shape
    TensorShape([3, 2])
    """
    return RealNVPVectorConfig(event_shape=event_shape, num_couplings=num_couplings, hidden_sizes=hidden_sizes,
                               activation=activation, batch_norm=batch_norm, **data).build()


@register_config("realnvp_vector")
@dataclasses.dataclass(frozen=True, kw_only=True)
class RealNVPVectorConfig(VectorConfig):
    """The arguments of `realnvp_vector`, checked."""

    num_couplings: int = 10
    hidden_sizes: tuple = (128, 128)
    activation: str = "relu"
    batch_norm: bool = False

    def __post_init__(self):
        super().__post_init__()
        check_int("num_couplings", self.num_couplings)
        check_bool("batch_norm", self.batch_norm)
        check_activation("activation", self.activation)

    def _steps(self, size, seed):
        steps = []
        dtype = self.network_dtype or self.dtype
        for index in range(self.num_couplings):
            network = keras.Sequential([
                keras.Input((size,), dtype=self.dtype),
                MLP(2 * size, self.hidden_sizes, self.activation, seed=seed, dtype=dtype), ScaledTanh(dtype=dtype)])
            mask = ("checkerboard", "checkerboard_reversed")[index % 2]
            steps.append(tfgb.AffineCoupling((size,), network, mask, scale="exp", dtype=self.dtype))
            steps += self._norm(size) if self.batch_norm else []
        return steps
