# SPDX-License-Identifier: Apache-2.0
"""The flows of the literature, each a frozen config that builds a `tfd.TransformedDistribution`."""

from tfp_glow.flows.glow import GlowConfig, glow
from tfp_glow.flows.preset import PresetDistribution, config_from_dict, config_to_dict

__all__ = ["GlowConfig", "PresetDistribution", "config_from_dict", "config_to_dict", "glow"]
