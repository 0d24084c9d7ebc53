# SPDX-License-Identifier: Apache-2.0
"""The column of normflows. The docstring of a function is the note of its cell."""

import functools
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import normflows as nf
import numpy as np
import torch
from torch import distributed

from benchmarks.features.probes import IMAGE, SHAPE, SMALL, images, move, uniform
from benchmarks.programs.normflows_glow import make_flow

warnings.filterwarnings("ignore")
NOT_APPLICABLE = {"trace": "PyTorch runs eagerly", "fit": "PyTorch"}
NETWORK_CALL = (nf.nets.ConvNet2d, "forward")
REVERSIBLE: dict[str, str] = {}


def tensor(array: Any) -> torch.Tensor:
    """Returns a tensor; images get channels first."""
    array = torch.as_tensor(array)
    return array.movedim(-1, 1) if array.dim() == 4 else array


def channels_last(array: torch.Tensor) -> torch.Tensor:
    """Returns a tensor without a gradient; images get channels last."""
    return array.detach().movedim(1, -1) if array.dim() == 4 else array.detach()


class Flow:
    """A flow as `probes` describes it, made of a module and, if their names differ, of its inverse and forward pass."""

    unit = 1.0
    assign = staticmethod(np.copyto)
    as_tensor = staticmethod(torch.as_tensor)

    def __init__(self, module: torch.nn.Module, inverse: Callable | None = None, forward: Callable | None = None):
        self.module, self._inverse, self._forward = module, inverse or module.inverse, forward or module

    @property
    def variables(self) -> list[np.ndarray]:
        return [parameter.detach().numpy() for parameter in self.module.parameters()]  # These arrays share memory.

    def initialize(self, y: Any) -> None:
        self.inverse(y)  # The first call initializes.

    def inverse(self, y: Any) -> tuple[torch.Tensor, torch.Tensor]:
        latents, log_det = self._inverse(tensor(y))
        return channels_last(latents), torch.as_tensor(log_det).detach().broadcast_to(latents.shape[:1])

    def forward(self, x: Any) -> torch.Tensor:
        return channels_last(self._forward(tensor(x))[0])

    def jacobian(self, y: Any) -> torch.Tensor:
        matrix = torch.autograd.functional.jacobian(lambda v: self._inverse(v)[0].flatten(1).sum(0), tensor(y))
        return matrix.movedim(1, 0).flatten(2)  # The sum over the batch has the gradients of all examples.

    def log_prob(self, y: Any) -> torch.Tensor:
        return self.module.log_prob(tensor(y), None).detach()

    def sample_and_log_prob(self, number: int) -> torch.Tensor:
        return self.module.sample(number)[1]

    def save(self, path: str) -> str:
        self.module.save(path)
        return path

    def load(self, path: str) -> None:
        self.module.load(path)

    def num_graphs(self, batch_sizes: Iterable[int]) -> list[int]:
        """Returns how many graphs PyTorch has compiled of `log_prob` after a batch of each size."""
        def log_prob(y):
            return self.module.log_prob(y, None)

        graphs, counts = [], []
        compiled = torch.compile(log_prob, dynamic=True, backend=lambda module, _: graphs.append(module) or module)
        for y in (tensor(images(self, batch_size)) for batch_size in batch_sizes):
            torch._dynamo.mark_dynamic(y, 0)
            torch.testing.assert_close(compiled(y), log_prob(y), rtol=1e-4, atol=1e-4)
            counts.append(len(graphs))
        return counts

    def kept_bytes(self) -> int:
        """Returns the bytes of the tensors of a batch that the backward pass reads."""
        sizes = []

        def pack(kept):
            sizes.append(kept.nelement() * kept.element_size() if kept.dim() and kept.shape[0] == 13 else 0)
            return kept

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda kept: kept):
            self.module.forward_kld(tensor(images(self, 13)))
        return sum(sizes)


def glow(num_steps: int = 2, shape: Sequence[int] = SHAPE) -> Flow:
    """MultiscaleFlow of GlowBlocks"""
    module = make_flow(num_steps, 4, shape, num_levels=2)

    def inverse(y):
        z, log_det = module.inverse_and_log_det(y)
        return torch.cat([part.flatten(1) for part in z], dim=1), log_det

    def forward(z):
        parts = torch.split(z, [int(base.d) for base in module.q0], dim=1)
        return module.forward_and_log_det([p.reshape(-1, *q.shape) for p, q in zip(parts, module.q0, strict=True)])

    flow = Flow(module, inverse, forward)
    flow.initialize(uniform(16, *shape))
    return flow


def convolutions(inputs: int, outputs: int) -> torch.nn.Module:
    """Returns a network of images."""
    return nf.nets.ConvNet2d([inputs, 4, 4, outputs], [3, 1, 3], init_zeros=False)


def act_norm() -> Flow:
    """ActNorm, set by its first call"""
    return Flow(nf.flows.ActNorm((2, 1, 1)))


no_accident = act_norm


def invertible_conv() -> list[Flow]:
    """Invertible1x1Conv"""
    return [Flow(nf.flows.Invertible1x1Conv(2, use_lu)) for use_lu in (True, False)]


def coupling() -> Iterable[tuple[int, Flow]]:
    """AffineCouplingBlock"""
    return [(kept, Flow(nf.flows.AffineCouplingBlock(convolutions(1, 1 + scale), scale, split_mode=split)))
            for kept, split in enumerate(("channel", "channel_inv")) for scale in (True, False)]


def checkerboard() -> Flow:
    """split_mode="checkerboard\""""
    return Flow(nf.flows.AffineCouplingBlock(convolutions(2, 4), split_mode="checkerboard"))


def squeeze() -> Flow:
    """Squeeze"""
    return Flow(nf.flows.Squeeze())


def split_prior() -> tuple[Flow, Sequence[Any]]:
    """an AffineCouplingBlock after the merge"""
    flow, prior = glow(shape=SMALL), nf.flows.AffineCouplingBlock(convolutions(2, 4))
    flow.module.flows[1].insert(0, prior)
    return flow, Flow(prior).variables


def logit() -> Flow:
    """transforms.Logit"""
    return Flow(nf.transforms.Logit(0.05))


def batch_norm() -> Iterable[tuple]:
    """BatchNorm, whose call is the normalizing direction"""
    norms = nf.flows.BatchNorm(), nf.flows.BatchNorm().eval()
    yield (3,), *(Flow(norm, norm, norm.inverse) for norm in norms)


def context() -> Callable[[np.ndarray], Flow]:
    """CoupledRationalQuadraticSpline; its affine coupling takes none"""
    part = nf.flows.CoupledRationalQuadraticSpline(4, 1, 8, num_context_channels=3)
    return lambda values: Flow(part, *(functools.partial(way, context=tensor(values)) for way in (part.inverse, part)))


def classes() -> Callable[[list[int]], Any]:
    """distributions.GlowBase"""
    prior = nf.distributions.GlowBase((IMAGE[2], *IMAGE[:2]), num_classes=3)
    move(Flow(prior, prior))
    return lambda labels: prior.log_prob(tensor(uniform(2, *IMAGE)), torch.tensor(labels)).detach()


def vectors() -> Flow:
    """InvertibleAffine for the convolution, else the same classes"""
    flow = nf.NormalizingFlow(nf.distributions.DiagGaussian(6), [
        nf.flows.AffineCouplingBlock(nf.nets.MLP([3, 8, 6])), nf.flows.InvertibleAffine(6), nf.flows.ActNorm(6)])
    return Flow(flow, flow.inverse_and_log_det, flow.forward_and_log_det)


def float64() -> Flow:
    """double()"""
    flow = glow(shape=SMALL)
    flow.module.double()
    return flow


class InBfloat16(torch.nn.Module):
    """A network that computes in bfloat16 and returns float32."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.network(z).float()


def mixed() -> Flow:
    """torch.autocast in a network of one's own"""
    flow = glow()
    for part in flow.module.modules():
        if isinstance(part, nf.flows.AffineCoupling):
            part.param_map = InBfloat16(part.param_map)
    return flow


def weights_after_step(module: torch.nn.Module, y: torch.Tensor, parallel: torch.nn.Module | None = None) -> dict:
    """Returns the weights of a module after a step of gradient descent, taken by the module or a wrapper of it."""
    (parallel or module)(y).mean().backward()
    torch.optim.SGD(module.parameters(), 1e-2).step()
    return module.state_dict()


def _replica(rank: int, path: str, weights: dict) -> None:
    distributed.init_process_group("gloo", init_method=f"file://{path}", rank=rank, world_size=2)
    module = glow().module
    module.load_state_dict(weights)
    y = tensor(uniform(8, *SHAPE))[4 * rank:4 * rank + 4]
    torch.save(weights_after_step(module, y, torch.nn.parallel.DistributedDataParallel(module)), f"{path}{rank}")
    distributed.destroy_process_group()


def replicas() -> Iterator[Iterable[Any]]:
    """DistributedDataParallel"""
    module = glow().module
    with tempfile.TemporaryDirectory() as directory:
        torch.multiprocessing.spawn(_replica, (f"{directory}/store", module.state_dict()), nprocs=2)
        yield torch.load(f"{directory}/store0").values()
    yield weights_after_step(module, tensor(uniform(8, *SHAPE))).values()


CLIENT = """
import sys
sys.modules["normflows"] = None
import numpy as np
import torch
path, data, out = sys.argv[1:]
run = torch.jit.load(path)
with torch.no_grad():
    parts = [-run(torch.from_numpy(part).movedim(-1, 1)) for part in np.split(np.load(data), 2)]
np.save(out, torch.cat(parts))
"""


def export(flow: Flow, path: str) -> str:
    """torch.jit.trace"""
    flow.module.eval()  # The call of the module is -log_prob.
    with torch.no_grad():
        torch.jit.trace(flow.module, tensor(images(flow, 6)), check_trace=False).save(path)
    return CLIENT


class Target(nf.distributions.Target):
    """A normal distribution, or its density in the latents of a flow."""

    def __init__(self, flow: torch.nn.Module | None = None) -> None:
        super().__init__()
        self.flows = [flow]  # In a list, the flow is no submodule.

    def log_prob(self, z: torch.Tensor) -> torch.Tensor:
        y, log_det = self.flows[0].forward_and_log_det(z) if self.flows[0] else (z, 0.0)
        return -0.5 * ((y - 1.0) ** 2).sum(-1) + log_det


def inference() -> tuple[Sequence[Any], Any]:
    """reverse_kld; flows.HamiltonianMonteCarlo, with a target written for it"""
    couplings = [nf.flows.AffineCouplingBlock(nf.nets.MLP([1, 8, 2]), split_mode=mode)
                 for mode in ("channel", "channel_inv")]
    flow = nf.NormalizingFlow(nf.distributions.DiagGaussian(2), couplings, Target())
    flow.reverse_kld(8).backward()
    chain = nf.flows.HamiltonianMonteCarlo(Target(flow), 2, torch.log(torch.full((2,), 0.1)), torch.zeros(2))
    z = torch.zeros(2, 2)
    for _ in range(3):
        z = chain(z)[0]
    return [p.grad for part in couplings for p in part.parameters()], flow.forward(z).detach()
