# SPDX-License-Identifier: Apache-2.0
"""Normalizing flows for TensorFlow Probability, with Keras 3 parameters."""

from tfp_glow import bijectors, flows, networks
from tfp_glow.bijectors import initialize
from tfp_glow.export.saved_model import export_saved_model
from tfp_glow.flows import dequantizer, glow, iaf, maf, nice, pyramid, realnvp, realnvp_vector
from tfp_glow.models.flow_model import FlowModel
from tfp_glow.models.batch_parts import in_parts
from tfp_glow.models.pretrained import load_pretrained
from tfp_glow.models.resolution import at_resolution
from tfp_glow.export.serving_layout import write_model_config, write_warmup_requests

__all__ = [
    "FlowModel", "at_resolution", "bijectors", "dequantizer", "export_saved_model", "flows", "glow", "iaf",
    "in_parts", "initialize", "load_pretrained", "maf", "networks", "nice", "pyramid", "realnvp", "realnvp_vector",
    "write_model_config", "write_warmup_requests",
]
