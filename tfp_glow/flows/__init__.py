# SPDX-License-Identifier: Apache-2.0
"""Functions that build the normalizing flows of published papers as a `tfd.TransformedDistribution`."""

from tfp_glow.flows._config import (
    FlowConfig,
    config_from_dict,
    config_from_file,
    config_of,
    config_to_dict,
    register_config,
    register_flow,
)
from tfp_glow.flows.dequantizer import dequantizer
from tfp_glow.flows.given import given
from tfp_glow.flows.glow import glow
from tfp_glow.flows.iaf import iaf
from tfp_glow.flows.jet import jet
from tfp_glow.flows.maf import maf
from tfp_glow.flows.nice import nice
from tfp_glow.flows.nsf import nsf
from tfp_glow.flows.pixelcnn import pixelcnn
from tfp_glow.flows.pyramid import pyramid
from tfp_glow.flows.realnvp import realnvp
from tfp_glow.flows.realnvp_vector import realnvp_vector

__all__ = [
    "FlowConfig", "config_from_dict", "config_from_file", "config_of", "config_to_dict", "dequantizer", "given",
    "glow", "iaf", "jet", "maf", "nice", "nsf", "pixelcnn", "pyramid", "realnvp", "realnvp_vector",
    "register_config", "register_flow",
]
