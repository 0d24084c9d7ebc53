# SPDX-License-Identifier: Apache-2.0
"""Normalizing flows for TensorFlow Probability, with Keras 3 variables as parameters."""

import tfp_glow._log_level  # noqa: F401  Before TensorFlow is imported.

# isort: split
from tfp_glow._versions import __version__  # Before other modules: it checks the installed libraries.

# isort: split
from tfp_glow import bijectors, flows, networks, transforms
from tfp_glow.bijectors import initialize
from tfp_glow.export import (
    export_litert,
    export_onnx,
    export_saved_model,
    export_tfjs,
    write_model_config,
    write_warmup_requests,
)
from tfp_glow.flows import (
    dequantizer,
    given,
    glow,
    iaf,
    jet,
    maf,
    nice,
    nsf,
    pixelcnn,
    pyramid,
    realnvp,
    realnvp_vector,
)
from tfp_glow.models import (
    FlowLayer,
    FlowModel,
    at_resolution,
    divide_batches_among_cores,
    in_parts,
    load_pretrained,
    pretrained,
    with_network_dtype,
)

__all__ = [
    "FlowLayer", "FlowModel", "__version__", "at_resolution", "bijectors", "dequantizer",
    "divide_batches_among_cores", "export_litert", "export_onnx", "export_saved_model", "export_tfjs", "flows",
    "given", "glow", "iaf", "in_parts", "initialize", "jet", "load_pretrained", "maf", "networks", "nice", "nsf",
    "pixelcnn", "pretrained", "pyramid", "realnvp", "realnvp_vector", "transforms", "with_network_dtype",
    "write_model_config", "write_warmup_requests",
]
