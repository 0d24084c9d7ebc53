# SPDX-License-Identifier: Apache-2.0
"""Presets for the data sets `toy:NAME` and other short vectors, which train in one to two minutes on two CPU cores."""

from typing import Any

from .preset import Preset

# The networks have their default activation, ReLU. A flow over two variables must separate clusters, and networks with
# ReLU do this better than networks with smooth activations.
_BUDGET: dict[str, Any] = {"optimizer": "adam", "schedule": "cosine", "warmup_epochs": 1, "temperature": 1.0}

TOY = {
    "toy_realnvp": Preset(
        {"flow": "realnvp_vector", "num_couplings": 14, "hidden_sizes": (64, 64), "partition": "odd_even"},
        batch_size=500, epochs=18, learning_rate=2e-3, **_BUDGET),
    # With unbounded log-scales, some samples overflow; "tanh" bounds the log-scales. Rare examples can have very large
    # gradients, so the gradient is clipped.
    "toy_maf": Preset(
        {"flow": "maf", "num_layers": 8, "hidden_sizes": (64, 64), "batch_norm": False, "log_scale": "tanh"},
        batch_size=250, epochs=24, learning_rate=3e-3, clip_norm=1.0, **_BUDGET),
    # More bins than in the paper draw sharper edges. Permutations keep the axes, along which a checkerboard has its
    # edges. With the bound 4, the points far from the mean of `swirl` and `banana` had too small densities: on
    # validation points, the KL divergence was 0.057 nats on `swirl`, and 0.005 with the bound 8.
    "toy_nsf": Preset(
        {"flow": "nsf", "num_steps": 4, "width": 64, "num_blocks": 1, "num_bins": 32, "bound": 8.0,
         "linear": "permutation", "unconditional": False},
        batch_size=512, epochs=36, learning_rate=3e-3, clip_norm=1.0, **_BUDGET),
}
