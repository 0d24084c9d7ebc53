# SPDX-License-Identifier: Apache-2.0
"""Runs `trainers.train` with an additional preset, `tiny`: 4 epochs of 13 steps. test_strategies.py uses it."""

import dataclasses
import sys

from trainers import presets, train

TINY = dataclasses.replace(
    presets.get("digits_glow_smoke"), epochs=4, steps_per_epoch=13, clip_norm=0.5, ema_momentum=0.9)

if __name__ == "__main__":
    presets.PRESETS["tiny"] = TINY
    sys.exit(train.main())
