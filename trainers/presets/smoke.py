# SPDX-License-Identifier: Apache-2.0
"""Smoke-test versions of the presets, `NAME_smoke`: small flows that train in seconds."""

import dataclasses
from typing import Any

from .preset import Preset

# Arguments that make each flow small. A flow has a split only if it has at least two levels or scales. A RealNVP of
# more than two scales gets one scale, because tracing takes time for each coupling. The presets of a RealNVP with two
# scales test its split.
_SMALL: dict[str, dict[str, Any]] = {
    "glow": {"num_levels": 2, "num_steps": 2, "width": 8},
    "jet": {"depth": 6, "block_depth": 1, "width": 8, "num_heads": 2},
    "pyramid": {"width": 8, "num_blocks": 1, "top_sizes": (16,)},
    "pixelcnn": {"width": 8, "num_blocks": 1, "head_size": 8, "block_size": 4, "first_kernel": 3},
    "realnvp": {"num_scales": 2, "num_blocks": 1, "width": 4},
    "realnvp_vector": {"num_couplings": 2, "hidden_sizes": (16,)},
    "nice": {"num_couplings": 2, "hidden_sizes": (16,)},
    "maf": {"num_layers": 2, "hidden_sizes": (16,)},
    "iaf": {"num_layers": 2, "hidden_sizes": (16,)},
    "nsf": {"num_steps": 2, "width": 16, "num_blocks": 1, "num_bins": 4},
}


def smoke_preset(preset: Preset) -> Preset:
    """Returns the smoke-test version of a preset: a test that training runs, not that it learns.

    The smoke-test version trains in seconds. It requires data of the same kind and size as `preset`.

    Args:
      preset: a `Preset`. Its flow is one of those that `Preset` lists.

    Returns:
      A `Preset` with the same flow in a small size, batches of 16 examples and two epochs of four steps.
    """
    small = _SMALL[preset.flow["flow"]]
    if preset.flow.get("num_scales", 0) > 2:
        small = {**small, "num_scales": 1}
    return dataclasses.replace(
        preset, flow={**preset.flow, **small}, batch_size=16, epochs=2,
        warmup_epochs=min(preset.warmup_epochs, 1), init_batch_size=32, steps_per_epoch=4,
        dequantizer={"num_steps": 2, "width": 8})
