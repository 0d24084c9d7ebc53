# SPDX-License-Identifier: Apache-2.0
"""Presets for `toy:NAME` and other short vectors, which train in about a minute on two cores."""

from typing import Any

from trainers.presets.preset import Preset

# The networks keep their default activation, ReLU. A flow in the plane has to separate clusters, and the kinks of ReLU
# do that better than smooth activations.
_BUDGET: dict[str, Any] = {"optimizer": "adam", "schedule": "cosine", "warmup_epochs": 1, "temperature": 1.0}

TOY = {
    "toy_realnvp": Preset(
        {"flow": "realnvp_vector", "num_couplings": 14, "hidden_sizes": (64, 64)},
        batch_size=500, epochs=18, learning_rate=2e-3, **_BUDGET),
    # Unbounded log-scales let some samples overflow; "tanh" bounds them. Rare points can have very large gradients, so
    # the gradient is clipped.
    "toy_maf": Preset(
        {"flow": "maf", "num_layers": 8, "hidden_sizes": (64, 64), "batch_norm": False, "log_scale": "tanh"},
        batch_size=250, epochs=24, learning_rate=3e-3, clip_norm=1.0, **_BUDGET),
}
