# SPDX-License-Identifier: Apache-2.0
"""`FlowModel` and `FlowLayer`, Keras objects around distributions, and functions that load or copy models."""

from tfp_glow.models import pretrained
from tfp_glow.models.batch_parts import in_parts
from tfp_glow.models.copies import at_resolution, with_network_dtype
from tfp_glow.models.cores import divide_batches_among_cores
from tfp_glow.models.flow_layer import FlowLayer
from tfp_glow.models.flow_model import FlowModel
from tfp_glow.models.pretrained import load_pretrained

__all__ = [
    "FlowLayer", "FlowModel", "at_resolution", "divide_batches_among_cores", "in_parts", "load_pretrained",
    "pretrained", "with_network_dtype",
]
