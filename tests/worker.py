# SPDX-License-Identifier: Apache-2.0
"""Runs `trainers.train` with an additional preset, `tiny`: 4 epochs of 13 steps of a Glow of one level.

test_strategies.py uses it. Each of its processes traces the flow.

The networks of the preset are in bfloat16. Only the chief reports that bfloat16 is slow, and then all workers must
compute in float32.
"""

import dataclasses
import sys

from trainers import presets, train
from trainers.distribute import workers
from trainers.training import precision

SMOKE = presets.get("digits_glow_smoke")
TINY = dataclasses.replace(
    SMOKE, flow={**SMOKE.flow, "num_levels": 1}, epochs=4, steps_per_epoch=13, clip_norm=0.5, ema_momentum=0.9)

if __name__ == "__main__":
    presets.PRESETS["tiny"] = dataclasses.replace(TINY, flow={**TINY.flow, "network_dtype": "mixed_bfloat16"})
    precision.bfloat16_is_slow = lambda: workers.worker_index_and_count()[0] == 0
    sys.exit(train.main())
