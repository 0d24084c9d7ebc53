# SPDX-License-Identifier: Apache-2.0
"""Normalizing flows for TensorFlow Probability, with Keras 3 parameters."""

from tfp_glow import bijectors, flows, networks
from tfp_glow.bijectors import initialize
from tfp_glow.export import export_saved_model
from tfp_glow.flows import dequantizer, glow, iaf, maf, nice, pyramid, realnvp, realnvp_vector
from tfp_glow.model import FlowModel
from tfp_glow.parts import in_parts
from tfp_glow.pretrained import load_pretrained
from tfp_glow.resolution import at_resolution
from tfp_glow.serving import write_model_config, write_warmup_requests

__all__ = [
    "FlowModel", "at_resolution", "bijectors", "dequantizer", "export_saved_model", "flows", "glow", "iaf",
    "in_parts", "initialize", "load_pretrained", "maf", "networks", "nice", "pyramid", "realnvp", "realnvp_vector",
    "write_model_config", "write_warmup_requests",
]
