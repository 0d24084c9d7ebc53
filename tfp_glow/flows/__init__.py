# SPDX-License-Identifier: Apache-2.0
"""The flows of the literature, each a frozen config that builds a `tfd.TransformedDistribution`."""

from tfp_glow.flows.autoregressive import IAFConfig, MAFConfig, iaf, maf
from tfp_glow.flows.glow import GlowConfig, glow
from tfp_glow.flows.nice import NICEConfig, nice
from tfp_glow.flows.preset import PresetDistribution, config_from_dict, config_to_dict
from tfp_glow.flows.realnvp import RealNVPConfig, realnvp
from tfp_glow.flows.realnvp_vector import RealNVPVectorConfig, realnvp_vector
from tfp_glow.flows.vector_config import VectorConfig

__all__ = [
    "GlowConfig", "IAFConfig", "MAFConfig", "NICEConfig", "PresetDistribution", "RealNVPConfig",
    "RealNVPVectorConfig", "VectorConfig", "config_from_dict", "config_to_dict", "glow", "iaf", "maf", "nice",
    "realnvp", "realnvp_vector",
]
