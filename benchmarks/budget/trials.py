# SPDX-License-Identifier: Apache-2.0
"""What is tried: where the search starts, and with which fields changed."""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

from trainers import presets

# Weights are averaged over a hundred steps, as a trial has only hundreds.
STARTS = {
    "pyramid": presets.Preset(
        {"flow": "pyramid", "num_levels": 2, "width": (64, 96), "num_blocks": (2, 2)}, batch_size=64, epochs=8,
        optimizer="adam", learning_rate=2e-3, schedule="cosine", ema_momentum=0.99, temperature=1.0),
    "glow": presets.Preset(
        {"flow": "glow", "num_levels": 2, "num_steps": 8, "width": 96}, batch_size=64, epochs=30, optimizer="adam",
        schedule="cosine", ema_momentum=0.99),
    "realnvp": presets.get("fashion_mnist_realnvp"),
}


class Trial(NamedTuple):
    """A start, and the fields of its flow and of its training that are others."""

    start: str
    flow: Mapping = {}
    training: Mapping = {}

    @property
    def preset(self):
        """The `Preset` that is trained."""
        start = STARTS[self.start]
        return dataclasses.replace(start, flow={**start.flow, **self.flow}, **self.training)


TRIALS = {
    "base": Trial("pyramid"),
    "narrow": Trial("pyramid", {"width": (48, 64)}),
    "wide": Trial("pyramid", {"width": (96, 128)}),
    "blocks_4": Trial("pyramid", {"num_blocks": (4, 4)}),
    "second_kernel_3": Trial("pyramid", {"second_kernel": 3}),
    "components_10": Trial("pyramid", {"num_components": 10}),
    "elu": Trial("pyramid", {"activation": "elu"}),
    "bfloat16": Trial("pyramid", {"network_dtype": "mixed_bfloat16"}),
    "rate_double": Trial("pyramid", {}, {"learning_rate": 4e-3}),
    "batch_32": Trial("pyramid", {}, {"batch_size": 32}),
    "no_average": Trial("pyramid", {}, {"ema_momentum": None}),
    "glow": Trial("glow"),
    "glow_deep": Trial("glow", {"num_steps": 16}),
    "glow_scale_tanh": Trial("glow", {"scale": "tanh"}),
    "glow_additive": Trial("glow", {"coupling": "additive"}),
    "glow_adamax": Trial("glow", {}, {"optimizer": "adamax"}),
    "glow_rate_double": Trial("glow", {}, {"learning_rate": 2e-3}),
    "glow_batch_32": Trial("glow", {}, {"batch_size": 32}),
    "glow_no_average": Trial("glow", {}, {"ema_momentum": None}),
    "realnvp": Trial("realnvp"),
}
