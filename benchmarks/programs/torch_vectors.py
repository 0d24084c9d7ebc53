# SPDX-License-Identifier: Apache-2.0
"""The system of a PyTorch flow over vectors, for the programs of normflows and zuko."""

import copy
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.programs.vector_system import VectorSystem

warnings.filterwarnings("ignore")


def torch_system(flow: torch.nn.Module, log_prob: Callable[[torch.Tensor], torch.Tensor],
                 sample: Callable[[int], Any], learning_rate: float, weight_decay: float = 0.0,
                 clip_norm: float | None = None, threads: int | None = None, compiled: bool = False) -> VectorSystem:
    """Returns the system of a flow under Adam, whose update is fused.

    Args:
      flow: the module that has the parameters.
      log_prob: from vectors to log-densities.
      sample: from a number to vectors.
      learning_rate: of Adam.
      weight_decay: of Adam.
      clip_norm: bound of the norm of the gradient, or None.
      threads: threads of each operation; None for PyTorch's default.
      compiled: True compiles `log_prob` by `torch.compile`.
    """
    if threads:
        torch.set_num_threads(threads)
    density = torch.compile(log_prob) if compiled else log_prob
    optimizer = torch.optim.Adam(flow.parameters(), lr=learning_rate, weight_decay=weight_decay, fused=True)

    def step(batch: torch.Tensor, multiplier: float) -> float:
        for group in optimizer.param_groups:
            group["lr"] = multiplier * learning_rate
        optimizer.zero_grad(set_to_none=True)
        loss = -density(batch).mean()
        if torch.isfinite(loss):  # As in the examples of normflows.
            loss.backward()
            if clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(flow.parameters(), clip_norm)
            optimizer.step()
        return -float(loss)

    # Compiled functions are traced again for inference mode, and this fails in some flows.
    inference = torch.no_grad() if compiled else torch.inference_mode()

    def evaluated(function: Callable[[Any], Any], argument: Any) -> np.ndarray:
        flow.eval()
        with inference:
            result = function(argument).numpy()
        flow.train()
        return result

    return VectorSystem(
        sum(p.numel() for p in flow.parameters() if p.requires_grad), torch.from_numpy, step,
        lambda batch: evaluated(density, batch), lambda number: evaluated(sample, number),
        lambda: [copy.deepcopy(flow.state_dict())], lambda weights: flow.load_state_dict(weights[0]))
