# SPDX-License-Identifier: Apache-2.0
"""Export of models as SavedModels, with the files that TensorFlow Serving reads."""

from tfp_glow.export.saved_model import export_saved_model
from tfp_glow.export.serving_layout import write_model_config, write_warmup_requests

__all__ = ["export_saved_model", "write_model_config", "write_warmup_requests"]
