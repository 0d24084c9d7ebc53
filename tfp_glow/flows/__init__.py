# SPDX-License-Identifier: Apache-2.0
"""The flows of the literature, each a frozen config that builds a `tfd.TransformedDistribution`."""

from tfp_glow.flows.maf import IAFConfig, MAFConfig, iaf, maf
from tfp_glow.flows.dequantizer import DequantizerConfig, dequantizer
from tfp_glow.flows.glow import GlowConfig, glow
from tfp_glow.flows.nice import NICEConfig, nice
from tfp_glow.flows._config import PresetDistribution, config_from_dict, config_of, config_to_dict, register_config
from tfp_glow.flows.pyramid import PyramidConfig, pyramid
from tfp_glow.flows.realnvp import RealNVPConfig, realnvp
from tfp_glow.flows.realnvp_vector import RealNVPVectorConfig, realnvp_vector
from tfp_glow.flows._vector import VectorConfig

__all__ = [
    "DequantizerConfig", "GlowConfig", "IAFConfig", "MAFConfig", "NICEConfig", "PresetDistribution", "PyramidConfig",
    "RealNVPConfig", "RealNVPVectorConfig", "VectorConfig", "config_from_dict", "config_of", "config_to_dict",
    "dequantizer", "glow", "iaf", "maf", "nice", "pyramid", "realnvp", "realnvp_vector", "register_config",
]
