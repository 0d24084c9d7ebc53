# SPDX-License-Identifier: Apache-2.0
"""Interface of the flows over vectors that the benchmarks measure and train."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np


class VectorSystem(NamedTuple):
    """A flow over vectors and its optimizer. Log-densities are in nats per vector; every call waits for its result.

    Attributes:
      num_parameters: number of trainable parameters.
      prepare: from float32 vectors `[B, D]` to the batch that the other functions take.
      step: from a batch and a multiplier of the learning rate to the mean log-density before the step. Some libraries
        report a running mean.
      log_prob: from a batch to log-densities `[B]`.
      sample: draws that many vectors, `[number, D]`.
      weights: returns copies of all weights.
      set_weights: sets all weights to copies that `weights` returned.
    """

    num_parameters: int
    prepare: Callable[[np.ndarray], Any]
    step: Callable[[Any, float], float]
    log_prob: Callable[[Any], np.ndarray]
    sample: Callable[[int], np.ndarray]
    weights: Callable[[], Sequence[Any]]
    set_weights: Callable[[Sequence[Any]], None]
