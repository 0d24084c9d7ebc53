# SPDX-License-Identifier: Apache-2.0
"""normflows' flows over vectors: `python -m benchmarks.programs.normflows_vectors TASK ...`.

See `vector_command_line`.
"""

from collections.abc import Sequence
from typing import Any

import normflows as nf
import numpy as np
import torch

from benchmarks.programs.torch_vectors import torch_system
from benchmarks.programs.vector_command_line import main
from benchmarks.programs.vector_system import VectorSystem


def make_layer(kind: str, size: int, hidden_sizes: Sequence[int], num_bins: int, tail_bound: float,
               linear: str) -> list[nf.flows.Flow]:
    """Returns a layer and the fixed or learned linear map between layers; see `build`."""
    width, num_hidden = hidden_sizes[0], len(hidden_sizes)
    if kind == "realnvp":  # As in the example of RealNVP, which exchanges the halves.
        network = nf.nets.MLP([(size + 1) // 2, *hidden_sizes, size // 2 * 2], init_zeros=True)
        return [nf.flows.AffineCouplingBlock(network), nf.flows.Permute(size, mode="swap")]
    if kind == "maf":  # By itself it is fast in sampling and slow in density.
        layer = nf.flows.Reverse(nf.flows.MaskedAffineAutoregressive(
            size, width, num_blocks=num_hidden - 1, use_residual_blocks=False))
        return [layer, nf.flows.Permute(size)]
    spline = {"nsf_coupling": nf.flows.CoupledRationalQuadraticSpline,
              "nsf_autoregressive": nf.flows.AutoregressiveRationalQuadraticSpline}[kind]
    mixing = nf.flows.LULinearPermute(size) if linear == "lu" else nf.flows.Permute(size)
    return [spline(size, num_hidden // 2, width, num_bins=num_bins, tail_bound=tail_bound), mixing]


def build(first: np.ndarray, kind: str, num_layers: int, hidden_sizes: Sequence[int], learning_rate: float = 1e-3,
          seed: int = 0, num_bins: int = 8, tail_bound: float = 3.0, linear: str = "permutation",
          **training: Any) -> VectorSystem:
    """Returns a system.

    Args:
      first: vectors of the size of the flow.
      kind: `"realnvp"`, `"maf"`, `"nsf_coupling"` or `"nsf_autoregressive"`.
      num_layers: number of couplings or autoregressive layers.
      hidden_sizes: sizes of the hidden layers of each network. The networks of splines are residual: a block has two.
      learning_rate: of Adam.
      seed: random seed of the weights.
      num_bins: bins of the splines.
      tail_bound: half of the length of the interval on which the splines act.
      linear: map between the layers of splines: `"permutation"`, or `"lu"`, as in the example of splines.
      **training: further arguments of `torch_system`.
    """
    torch.manual_seed(seed)
    size = first.shape[1]
    layers = [part for _ in range(num_layers) for part in make_layer(
        kind, size, hidden_sizes, num_bins, tail_bound, linear)]
    flow = nf.NormalizingFlow(nf.distributions.DiagGaussian(size, trainable=False), layers)
    return torch_system(flow, flow.log_prob, lambda number: flow.sample(number)[0], learning_rate, **training)


if __name__ == "__main__":
    main(build)
