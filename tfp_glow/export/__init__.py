# SPDX-License-Identifier: Apache-2.0
"""Export of models as SavedModels, with the files that TensorFlow Serving reads, and to other runtimes."""

from tfp_glow.export.litert_model import export_litert
from tfp_glow.export.onnx_model import export_onnx
from tfp_glow.export.saved_model import export_saved_model
from tfp_glow.export.serving_layout import write_model_config, write_warmup_requests
from tfp_glow.export.tfjs_model import export_tfjs

__all__ = [
    "export_litert", "export_onnx", "export_saved_model", "export_tfjs", "write_model_config", "write_warmup_requests",
]
