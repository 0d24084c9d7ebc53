# SPDX-License-Identifier: Apache-2.0
"""Smoke-test versions of the presets, `NAME_smoke`: small flows that train in seconds."""

import dataclasses
from typing import Any

from trainers.presets.preset import Preset

# Arguments that make the flows small. Two levels or scales are the fewest with a split between them. A RealNVP of more
# than two scales gets one scale: it has one graph per coupling, and the presets of two scales test the split.
_SMALL: dict[str, dict[str, Any]] = {
    "glow": {"num_levels": 2, "num_steps": 2, "width": 8},
    "pyramid": {"width": 8, "num_blocks": 1, "top_sizes": (16,)},
    "realnvp": {"num_scales": 2, "num_blocks": 1, "width": 4},
    "realnvp_vector": {"num_couplings": 2, "hidden_sizes": (16,)},
    "nice": {"num_couplings": 2, "hidden_sizes": (16,)},
    "maf": {"num_layers": 2, "hidden_sizes": (16,)},
    "iaf": {"num_layers": 2, "hidden_sizes": (16,)},
}


def smoke_preset(preset: Preset) -> Preset:
    """Makes the smoke-test version of a preset.

    It trains in seconds and takes the same data. It shows that everything runs; it does not learn anything useful.

    Args:
      preset: a preset whose flow is one of the flows of this package.

    Returns:
      A `Preset` with a small flow, small batches and two epochs of four steps.
    """
    small = _SMALL[preset.flow["flow"]]
    if preset.flow.get("num_scales", 0) > 2:
        small = {**small, "num_scales": 1}
    return dataclasses.replace(
        preset, flow={**preset.flow, **small}, batch_size=16, epochs=2,
        warmup_epochs=min(preset.warmup_epochs, 1), init_batch_size=32, steps_per_epoch=4,
        dequantizer={"num_steps": 2, "width": 8})
