# SPDX-License-Identifier: Apache-2.0
"""Presets for `toy:NAME` and other vectors of a few numbers: about a minute on two cores."""

from trainers.presets.preset import Preset

_BUDGET = {"batch_size": 500, "epochs": 40, "optimizer": "adam", "learning_rate": 2e-3, "schedule": "cosine",
           "warmup_epochs": 1, "temperature": 1.0}

TOY = {
    "toy_realnvp": Preset({"flow": "realnvp_vector", "num_couplings": 8, "hidden_sizes": (64, 64)}, **_BUDGET),
    # Nothing bounds the log-scales of these networks: the gradient is clipped for the rare points that they blow up.
    "toy_maf": Preset(
        {"flow": "maf", "num_layers": 6, "hidden_sizes": (64, 64), "batch_norm": False}, clip_norm=1.0, **_BUDGET),
}
