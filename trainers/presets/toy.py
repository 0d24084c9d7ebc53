# SPDX-License-Identifier: Apache-2.0
"""Presets for `toy:NAME` and other vectors of a few numbers: about a minute on two cores."""

from trainers.presets.preset import Preset

# The corners of ReLU serve where smooth activations do not: a flow in the plane has to cut between clusters.
_BUDGET = {"optimizer": "adam", "schedule": "cosine", "warmup_epochs": 1, "temperature": 1.0}

TOY = {
    "toy_realnvp": Preset(
        {"flow": "realnvp_vector", "num_couplings": 14, "hidden_sizes": (64, 64)},
        batch_size=500, epochs=18, learning_rate=2e-3, **_BUDGET),
    # Log-scales that nothing bounds let some samples overflow. The gradient is clipped for rare points.
    "toy_maf": Preset(
        {"flow": "maf", "num_layers": 8, "hidden_sizes": (64, 64), "batch_norm": False, "log_scale": "tanh"},
        batch_size=250, epochs=24, learning_rate=3e-3, clip_norm=1.0, **_BUDGET),
}
