# SPDX-License-Identifier: Apache-2.0
"""The column of zuko, for the rows of `why`. The docstring of a function is the note of its cell."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import zuko

from benchmarks.features.probes import uniform

NOT_APPLICABLE = {"trace": "PyTorch runs eagerly", "fit": "PyTorch"}
REVERSIBLE: dict[str, str] = {}
SIZE = 4


class Flow:
    """A flow over vectors as `probes` describes it."""

    unit = 1.0

    def __init__(self, module: torch.nn.Module, context: np.ndarray | None = None):
        self.module = module
        self.distribution = module(None if context is None else torch.as_tensor(context))

    @property
    def variables(self) -> list[np.ndarray]:
        return [parameter.detach().numpy() for parameter in self.module.parameters()]

    assign = staticmethod(np.copyto)

    def inverse(self, y: Any) -> tuple[torch.Tensor, torch.Tensor]:
        latents, log_det = self.distribution.transform.call_and_ladj(torch.as_tensor(y))
        return latents.detach(), log_det.detach()

    def forward(self, x: Any) -> torch.Tensor:
        return self.distribution.transform.inv(torch.as_tensor(x)).detach()

    def jacobian(self, y: Any) -> torch.Tensor:
        matrix = torch.autograd.functional.jacobian(
            lambda v: self.distribution.transform(v).sum(0), torch.as_tensor(y))
        return matrix.movedim(1, 0)  # The sum over the batch has the gradients of all examples.

    def kept_bytes(self) -> int:
        """Returns the bytes of the tensors of a batch that the backward pass reads."""
        sizes = []

        def pack(kept: torch.Tensor) -> torch.Tensor:
            sizes.append(kept.nelement() * kept.element_size() if kept.dim() and kept.shape[0] == 13 else 0)
            return kept

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda kept: kept):
            -self.distribution.log_prob(torch.as_tensor(uniform(13, SIZE))).mean()
        return sum(sizes)


def glow(num_steps: int = 2, shape: Sequence[int] | None = None) -> Flow:
    """NSF"""
    if shape is not None:
        flows = [name for name, kind in vars(zuko.flows).items() if isinstance(kind, type) and "Flow" not in name]
        raise LookupError(f"all flows are over vectors: {', '.join(flows)}")
    return Flow(zuko.flows.NSF(SIZE, transforms=num_steps, hidden_features=(8, 8)))


def context() -> Callable[[np.ndarray], Flow]:
    """NSF with a context"""
    module = zuko.flows.NSF(SIZE, 3, transforms=2, hidden_features=(8, 8))
    return lambda values: Flow(module, values)
