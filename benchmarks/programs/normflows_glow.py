# SPDX-License-Identifier: Apache-2.0
"""normflows' Glow: `python -m benchmarks.programs.normflows_glow TASK SETTINGS`, see `command_line`."""

import functools
import math
import warnings
from collections.abc import Sequence
from typing import Any

import normflows as nf
import numpy as np
import torch

from benchmarks.programs.command_line import main
from benchmarks.programs.system import System

warnings.filterwarnings("ignore")


def make_flow(num_steps: int, width: int, shape: Sequence[int], num_levels: int) -> nf.MultiscaleFlow:
    """Returns the flow of normflows' example of Glow, whose level 0 is the deepest."""
    side, _, channels = shape
    bases, flows = [], []
    for level in range(num_levels):
        squeezed, size = channels * 2 ** (num_levels + 1 - level), side // 2 ** (num_levels - level)
        blocks = [nf.flows.GlowBlock(squeezed, width, split_mode="channel", scale=True) for _ in range(num_steps)]
        flows.append([*blocks, nf.flows.Squeeze()])
        bases.append(nf.distributions.DiagGaussian((squeezed // 2 if level > 0 else squeezed, size, size)))
    return nf.MultiscaleFlow(bases, flows, [nf.flows.Merge() for _ in range(num_levels - 1)], class_cond=False)


def build(first: np.ndarray, seed: int = 0, num_levels: int = 3, num_steps: int = 8, width: int = 128,
          optimizer: str = "Adamax", learning_rate: float = 1e-3, weight_decay: float = 0.0,
          channels_last: bool = False, autocast: bool = False, compiled: bool = False) -> System:
    """Returns the system.

    Args:
      first: images that initialize the flow.
      seed: random seed of the weights.
      num_levels: levels of the flow.
      num_steps: steps of flow per level.
      width: channels of the coupling networks.
      optimizer: name of an optimizer of PyTorch.
      learning_rate: of the optimizer.
      weight_decay: of the optimizer.
      channels_last: PyTorch's memory layout, which it recommends for convolutions on CPUs.
      autocast: True computes convolutions in bfloat16, by `torch.autocast`.
      compiled: True compiles loss and density, by `torch.compile`.
    """
    torch.manual_seed(seed)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    offset = math.prod(first.shape[1:]) * math.log(256.0)  # Log-density changes so from pixels in [0, 1) to [0, 256).
    flow = make_flow(num_steps, width, first.shape[1:], num_levels).to(memory_format=layout)
    chosen = getattr(torch.optim, optimizer)(flow.parameters(), lr=learning_rate, weight_decay=weight_decay)
    skipped = 0
    precision = functools.partial(torch.autocast, "cpu", torch.bfloat16, enabled=autocast)
    compile_ = torch.compile if compiled else lambda function: function
    inference = torch.no_grad if compiled else torch.inference_mode  # Compiled functions fail in inference mode.
    loss_of, log_prob_of = compile_(flow.forward_kld), compile_(lambda x: flow.log_prob(x, None))

    def prepare(images: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(images / np.float32(256.0)).movedim(-1, 1).contiguous(memory_format=layout)

    def step(x: torch.Tensor, multiplier: float) -> float:
        nonlocal skipped
        for group in chosen.param_groups:
            group["lr"] = multiplier * learning_rate
        chosen.zero_grad()
        with precision():
            loss = loss_of(x)
        if torch.isfinite(loss):  # As in the example.
            loss.backward()
            chosen.step()
        else:
            skipped += 1
        return -float(loss) - offset

    @inference()
    def round_trip(x: torch.Tensor) -> float:
        return float((flow.forward_and_log_det(flow.inverse_and_log_det(x)[0])[0] - x).abs().max())

    @inference()
    def log_prob(x: torch.Tensor) -> np.ndarray:
        with precision():
            return log_prob_of(x).float().numpy() - offset

    @inference()
    def sample(number: int) -> Any:
        with precision():
            return flow.sample(number)

    def state_bytes() -> int:
        slots = [t for state in chosen.state.values() for t in state.values() if torch.is_tensor(t)]
        return sum(t.numel() * t.element_size() for t in [*flow.parameters(), *slots])

    with torch.no_grad():  # Initializes actnorm; in inference mode its parameters could not be trained.
        flow.log_prob(prepare(first), None)
    return System(sum(p.numel() for p in flow.parameters()), prepare, step, log_prob, sample, round_trip, state_bytes,
                  lambda: skipped)


if __name__ == "__main__":
    main(build)
