# SPDX-License-Identifier: Apache-2.0
"""Normalizing flows for TensorFlow Probability, with Keras 3 parameters."""

from tfp_glow import bijectors, flows, networks
from tfp_glow.bijectors import initialize
from tfp_glow.export import export_saved_model
from tfp_glow.flows import glow, iaf, maf, nice, realnvp, realnvp_vector
from tfp_glow.model import FlowModel

__all__ = [
    "FlowModel", "bijectors", "export_saved_model", "flows", "glow", "iaf", "initialize", "maf", "networks", "nice",
    "realnvp", "realnvp_vector",
]
