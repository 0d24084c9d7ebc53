# SPDX-License-Identifier: Apache-2.0
"""What is tried: presets with some fields changed."""

from collections.abc import Mapping
from typing import NamedTuple


class Trial(NamedTuple):
    """A preset, and the fields of its flow and of its training that are others."""

    preset: str
    flow: Mapping = {}
    training: Mapping = {}


_BEST, _GLOW, _REALNVP = "fashion_mnist_best", "fashion_mnist_glow", "fashion_mnist_realnvp"

TRIALS = {
    "base": Trial(_BEST),
    "rate_double": Trial(_BEST, {}, {"learning_rate": 4e-3}),
    "rate_half": Trial(_BEST, {}, {"learning_rate": 1e-3}),
    "batch_32": Trial(_BEST, {}, {"batch_size": 32}),
    "narrow": Trial(_BEST, {"width": (48, 64)}),
    "wide": Trial(_BEST, {"width": (96, 128)}),
    "second_kernel_3": Trial(_BEST, {"second_kernel": 3}),
    "components_10": Trial(_BEST, {"num_components": 10}),
    "elu": Trial(_BEST, {"activation": "elu"}),
    "blocks_4": Trial(_BEST, {"num_blocks": (4, 4)}),
    "bfloat16": Trial(_BEST, {"network_dtype": "mixed_bfloat16"}),
    "top_512": Trial(_BEST, {"top_sizes": (512, 512)}),
}
