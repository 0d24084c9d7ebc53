# SPDX-License-Identifier: Apache-2.0
"""zuko's flows over vectors: `python -m benchmarks.programs.zuko_vectors TASK ...`; see `vector_command_line`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import zuko

from benchmarks.programs.torch_vectors import torch_system
from benchmarks.programs.vector_command_line import main
from benchmarks.programs.vector_system import VectorSystem


def make_flow(kind: str, size: int, num_layers: int, hidden_sizes: Sequence[int], num_bins: int,
              **options: Any) -> zuko.flows.Flow:
    """Returns a flow; see `build`."""
    common = {"transforms": num_layers, "hidden_features": tuple(hidden_sizes), **options}
    if kind == "realnvp":
        return zuko.flows.RealNVP(size, **common)
    if kind == "maf":
        return zuko.flows.MAF(size, **common)
    passes = {"passes": 2} if kind == "nsf_coupling" else {}  # Two passes are a coupling.
    return zuko.flows.NSF(size, bins=num_bins, **passes, **common)


def build(first: np.ndarray, kind: str, num_layers: int, hidden_sizes: Sequence[int], learning_rate: float = 1e-3,
          seed: int = 0, num_bins: int = 8, options: dict[str, Any] | None = None, **training: Any) -> VectorSystem:
    """Returns a system.

    Args:
      first: vectors of the size of the flow.
      kind: `"realnvp"`, `"maf"`, `"nsf_coupling"` or `"nsf_autoregressive"`.
      num_layers: number of transforms.
      hidden_sizes: sizes of the hidden layers of each network.
      learning_rate: of Adam.
      seed: random seed of the weights.
      num_bins: bins of the splines.
      options: further arguments of the flow.
      **training: further arguments of `torch_system`.
    """
    torch.manual_seed(seed)
    flow = make_flow(kind, first.shape[1], num_layers, hidden_sizes, num_bins, **(options or {}))
    return torch_system(flow, lambda x: flow().log_prob(x), lambda number: flow().sample((number,)), learning_rate,
                        **training)


if __name__ == "__main__":
    main(build)
