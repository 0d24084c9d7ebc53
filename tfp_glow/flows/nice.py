# SPDX-License-Identifier: Apache-2.0
"""NICE (Dinh, Krueger and Bengio, 2015)."""

import dataclasses

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow import bijectors as tfgb
from tfp_glow._checks import check_choice, check_int
from tfp_glow.flows._config import register_config
from tfp_glow.flows._vector import VectorConfig
from tfp_glow.networks import MLP

tfd = tfp.distributions


def nice(event_shape, num_couplings=4, hidden_sizes=(1000,) * 5, *, partition="odd_even", prior="logistic", **data):
    """Builds NICE, a `tfd.TransformedDistribution` over vectors, or over images as vectors.

    `num_couplings` additive couplings change the two parts of the vector by turns; a diagonal scaling comes last, and
    the only one with a log-det: `sum(log_scale)`, forward.

    Args:
      event_shape: `(size,)` or an int, at least 2; or `(height, width, channels)`.
      num_couplings: how many couplings.
      hidden_sizes: sizes of the hidden layers of their networks (ReLU); the default is the paper's for MNIST.
      partition: the two parts, `"odd_even"` elements (the paper's) or `"halves"`.
      prior: of the latents, `"logistic"` (the paper's for most data) or `"normal"`.
      **data: `pixels`, `num_bits`, `loc`, `scale`, `act_norm`, `seed`, `dtype` and `network_dtype`, see
        `tfp_glow.flows.VectorConfig`.

    Returns:
      A `tfd.TransformedDistribution` with `event_shape` and no batch shape; `log_prob` is in nats per event, of the
      density over data as it comes.

    Raises:
      ValueError: if an argument is not as said.

    Reference: Dinh, Krueger and Bengio, *NICE: Non-linear independent components estimation*, 2015, section 5.1.

    >>> tfp_glow.nice(6, hidden_sizes=(16,)).sample(3).shape
    TensorShape([3, 6])
    """
    return NICEConfig(event_shape=event_shape, num_couplings=num_couplings, hidden_sizes=hidden_sizes,
                      partition=partition, prior=prior, **data).build()


@register_config("nice")
@dataclasses.dataclass(frozen=True, kw_only=True)
class NICEConfig(VectorConfig):
    """The arguments of `nice`, checked."""

    num_couplings: int = 4
    hidden_sizes: tuple = (1000,) * 5
    partition: str = "odd_even"
    prior: str = "logistic"

    def __post_init__(self):
        super().__post_init__()
        check_int("num_couplings", self.num_couplings)
        check_choice("partition", self.partition, ("odd_even", "halves"))
        check_choice("prior", self.prior, ("logistic", "normal"))

    def _steps(self, size, seed):
        masks = {"odd_even": ("checkerboard", "checkerboard_reversed"), "halves": ("channel", "channel_reversed")}
        couplings = []
        for index in range(self.num_couplings):
            mask = masks[self.partition][index % 2]
            outputs = size if self.partition == "odd_even" else size - size // 2
            network = MLP(outputs, self.hidden_sizes, seed=seed, dtype=self.network_dtype or self.dtype)
            couplings.append(tfgb.AdditiveCoupling((size,), network, mask, dtype=self.dtype))
        return [*couplings, tfgb.Scale((size,), dtype=self.dtype)]

    def _base(self, size):
        if self.prior == "normal":
            return super()._base(size)
        return tfd.Independent(tfd.Logistic(tf.zeros([size], self.dtype), tf.ones([], self.dtype)), 1)
