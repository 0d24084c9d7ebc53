# SPDX-License-Identifier: Apache-2.0
"""Every preset's small twin, `NAME_smoke`."""

import dataclasses

# What makes a flow of each kind small; two levels or scales are the fewest that split. A deep RealNVP becomes one of a
# single scale: it has a graph for each coupling, and those of two scales have their own twins.
_SMALL = {
    "glow": {"num_levels": 2, "num_steps": 2, "width": 8},
    "pyramid": {"width": 8, "num_blocks": 1, "top_sizes": (16,)},
    "realnvp": {"num_scales": 2, "num_blocks": 1, "width": 4},
    "realnvp_vector": {"num_couplings": 2, "hidden_sizes": (16,)},
    "nice": {"num_couplings": 2, "hidden_sizes": (16,)},
    "maf": {"num_layers": 2, "hidden_sizes": (16,)},
    "iaf": {"num_layers": 2, "hidden_sizes": (16,)},
}


def smoke(preset):
    """The same in seconds: to see that everything runs, not to learn anything."""
    small = _SMALL[preset.flow["flow"]]
    if preset.flow.get("num_scales", 0) > 2:
        small = {**small, "num_scales": 1}
    return dataclasses.replace(
        preset, flow={**preset.flow, **small}, batch_size=16, epochs=2,
        warmup_epochs=min(preset.warmup_epochs, 1), init_batch_size=32, steps_per_epoch=4,
        dequantizer={"num_steps": 2, "width": 8})
