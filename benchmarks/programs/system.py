# SPDX-License-Identifier: Apache-2.0
"""Interface of the systems that the benchmarks measure and train."""

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import numpy as np


class System(NamedTuple):
    """A flow and its optimizer. Log-densities are in nats for pixels in [0, 256); every call waits for its result.

    Attributes:
      num_parameters: how many trainable numbers the flow has.
      prepare: from float32 images `[B, H, W, C]` in [0, 256) to the batch that the other functions take.
      step: from a batch and a multiplier of the learning rate to the mean log-density before the step.
      log_prob: from a batch to log-densities `[B]`.
      sample: draws that many images.
      round_trip: from a batch to the largest error of images that are encoded and decoded, for pixels in [0, 1).
      state_bytes: bytes of parameters and optimizer slots, after the first step.
      num_skipped: how many steps left the weights unchanged because the loss was not finite.
      evaluated_weights: context in which the flow has the weights that are evaluated.
      save: writes the flow to a path without a suffix. Peers do not keep theirs.
    """

    num_parameters: int
    prepare: Callable[[np.ndarray], Any]
    step: Callable[[Any, float], float]
    log_prob: Callable[[Any], np.ndarray]
    sample: Callable[[int], Any]
    round_trip: Callable[[Any], float]
    state_bytes: Callable[[], int]
    num_skipped: Callable[[], int] = lambda: 0
    evaluated_weights: Callable[[], AbstractContextManager] = contextlib.nullcontext
    save: Callable[[str], None] = lambda path: None
