# SPDX-License-Identifier: Apache-2.0
"""normflows' Glow as a whole: numerics, graphs, training, saving."""

import subprocess
import sys
import tempfile

import normflows as nf
import torch

from benchmarks.features.normflows_parts import close, convolutions, is_flow, move, uniform
from benchmarks.features.rows import NotApplicableError

SHAPE = (1, 8, 8)


class Multiscale(nf.MultiscaleFlow):
    """With its latents as vectors, and densities that need no class."""

    def log_prob(self, y, labels=None):
        return super().log_prob(y, labels)

    def flat_inverse(self, y):
        z, log_det = self.inverse_and_log_det(y)
        return torch.cat([part.flatten(1) for part in z], dim=1), log_det

    def flat_forward(self, z):
        parts = torch.split(z, [int(base.d) for base in self.q0], dim=1)
        return self.forward_and_log_det([p.reshape(-1, *base.shape) for p, base in zip(parts, self.q0, strict=True)])


def make(num_steps=2, shape=SHAPE, split_prior=False):
    """Two levels, the deeper one first, as in normflows' own example."""
    channels, side, _ = shape
    bases, flows = [], []
    for squeezed, size, leaves in ((8 * channels, side // 4, False), (4 * channels, side // 2, True)):
        blocks = [nf.flows.GlowBlock(squeezed, 4, split_mode="channel", scale=True) for _ in range(num_steps)]
        prior = nf.flows.AffineCouplingBlock(convolutions(squeezed // 2, squeezed))
        flows.append([prior] * (leaves and split_prior) + [*blocks, nf.flows.Squeeze()])
        bases.append(nf.distributions.DiagGaussian((squeezed // (1 + leaves), size, size)))
    flow = Multiscale(bases, flows, [nf.flows.Merge()], class_cond=False)
    flow.log_prob(uniform(16, *shape))
    return flow


@torch.no_grad()
def latents_moved_by(parameters, flow, y):
    """How many latents change when a parameter does: a number for each of them."""
    before, counts = flow.flat_inverse(y)[0], []
    for parameter in parameters:
        value = parameter.clone()
        parameter += torch.randn(parameter.shape)
        counts.append(int((flow.flat_inverse(y)[0] != before).any(0).sum()))
        parameter.copy_(value)
    return counts


def multiscale():
    flow = move(make(shape=(1, 4, 4)))
    counts = latents_moved_by(flow.flows.parameters(), flow, uniform(3, 1, 4, 4))
    assert max(counts) == 16 and 8 in counts, f"latents moved by one parameter: {sorted(set(counts))}"
    return "MultiscaleFlow"


def split_prior():
    flow = move(make(shape=(1, 4, 4), split_prior=True))
    counts = latents_moved_by(flow.flows[1][0].parameters(), flow, uniform(3, 1, 4, 4))
    assert max(counts) == 8, f"latents moved by the prior's parameters: {counts}"
    return "an AffineCouplingBlock after the merge"


def float64():
    flow = move(make(shape=(1, 4, 4))).double()
    y = uniform(2, 1, 4, 4, dtype=torch.float64)
    is_flow(flow.flat_forward, flow.flat_inverse, y, tolerance=1e-8)
    assert flow.log_prob(y).dtype == torch.float64
    return "double()"


def round_trip():
    flow, y = make(num_steps=4), uniform(16, *SHAPE)
    close(flow.flat_forward(flow.flat_inverse(y)[0])[0], y, 1e-5, "round trip")
    return "MultiscaleFlow, 2 levels of 4 GlowBlocks"


def one_call():
    flow, calls = make(), []
    for module in flow.modules():
        if isinstance(module, nf.nets.ConvNet2d):
            module.register_forward_hook(lambda *_: calls.append(1))
    flow.log_prob(uniform(2, *SHAPE))
    density = len(calls)
    flow.sample(2)
    assert (density, len(calls)) == (4, 8), f"{density} and {len(calls) - density} evaluations of 4 networks"
    return "sample returns the density too"


def fresh():
    flow, y = make(), uniform(2, *SHAPE)
    before = flow.log_prob(y)
    after = move(flow).log_prob(y)
    close(after, flow.log_prob(y.clone()), 1e-6, "log_prob after a change of weights")
    assert torch.any(before != after)
    return "nothing is remembered"


def any_batch():
    flow, graphs, counts = make(), [], []
    compiled = torch.compile(flow.log_prob, dynamic=True, backend=lambda module, _: graphs.append(module) or module)
    for batch in (2, 5, 7):
        y = uniform(batch, *SHAPE)
        torch._dynamo.mark_dynamic(y, 0)
        close(compiled(y), flow.log_prob(y), 1e-4, f"compiled, a batch of {batch}")
        counts.append(len(graphs))
    assert counts[0] == counts[-1], f"{counts} graphs after batches of 2, 5 and 7"
    return f"torch.compile: {counts[0]} graphs, the same for all"


def trace():
    raise NotApplicableError("PyTorch runs eagerly")


def reversible():
    def kept_bytes(flow):
        total, batch = [], 13
        y = uniform(batch, *SHAPE)

        def pack(tensor):
            if tensor.dim() and tensor.shape[0] == batch:
                total.append(tensor.nelement() * tensor.element_size())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            flow.forward_kld(y)
        return sum(total)

    few, many = (kept_bytes(make(num_steps)) for num_steps in (2, 6))
    assert many < 1.2 * few, f"{many / few:.1f} times as much at K=6 as at K=2"
    return "as much at K=6 as at K=2"


class InBfloat16(torch.nn.Module):
    """A network that computes in bfloat16, and whose result is float32."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, z):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.network(z).float()


def mixed():
    flow, y = make(), uniform(4, *SHAPE)
    for part in flow.modules():
        if isinstance(part, nf.flows.AffineCoupling):
            part.param_map = InBfloat16(part.param_map)
    log_prob, (latents, _) = flow.log_prob(y), flow.flat_inverse(y)
    assert log_prob.dtype == latents.dtype == torch.float32, f"latents {latents.dtype}, densities {log_prob.dtype}"
    return "torch.autocast in a network of one's own"


def fit():
    raise NotApplicableError("PyTorch")


def _replica(rank, path, weights):
    torch.distributed.init_process_group("gloo", init_method=f"file://{path}", rank=rank, world_size=2)
    flow = make()
    flow.load_state_dict(weights[0])
    parallel = torch.nn.parallel.DistributedDataParallel(flow)
    parallel(uniform(8, *SHAPE)[4 * rank:4 * rank + 4]).mean().backward()
    torch.optim.SGD(flow.parameters(), 1e-2).step()
    if rank == 0:
        torch.save(flow.state_dict(), f"{path}.pt")
    torch.distributed.destroy_process_group()


def replicas():
    flow = make()
    start = {name: value.clone() for name, value in flow.state_dict().items()}
    flow.forward_kld(uniform(8, *SHAPE)).backward()
    torch.optim.SGD(flow.parameters(), 1e-2).step()
    with tempfile.TemporaryDirectory() as directory:
        torch.multiprocessing.spawn(_replica, (f"{directory}/store", [start]), nprocs=2)
        other = torch.load(f"{directory}/store.pt")
    for name, value in flow.state_dict().items():
        close(other[name], value, 1e-5, f"{name} after a step")
    return "DistributedDataParallel"


def restore():
    flow, other, y = move(make()), make(), uniform(8, *SHAPE)
    with tempfile.TemporaryDirectory() as directory:
        flow.save(f"{directory}/flow.pt")
        other.load(f"{directory}/flow.pt")
    other.log_prob(uniform(8, *SHAPE, seed=1))
    close(other.log_prob(y), flow.log_prob(y), 1e-6, "log_prob")
    return "state_dict"


CLIENT = """
import sys
sys.modules["normflows"] = None
import torch
path, data, out = sys.argv[1:]
run = torch.jit.load(path) if path.endswith(".ts") else torch.export.load(path).module()
with torch.no_grad():
    torch.save(torch.cat([run(part) for part in torch.split(torch.load(data), 3)]), out)
"""


def export():
    """By whichever of PyTorch's two ways works."""
    flow, y, failed = move(make()).eval(), uniform(6, *SHAPE), []  # A MultiscaleFlow's call is its -log_prob.
    for way in ("export.pt2", "trace.ts"):
        try:
            with tempfile.TemporaryDirectory() as directory, torch.no_grad():
                if way == "export.pt2":
                    batch = torch.export.Dim("batch", min=1)
                    torch.export.save(torch.export.export(flow, (y,), dynamic_shapes={"x": {0: batch}, "y": None}),
                                      f"{directory}/{way}")
                else:
                    torch.jit.trace(flow, y, check_trace=False).save(f"{directory}/{way}")
                torch.save(y, f"{directory}/y")
                done = subprocess.run([sys.executable, "-c", CLIENT, f"{directory}/{way}", f"{directory}/y",
                                       f"{directory}/out"], capture_output=True, text=True)
                assert done.returncode == 0, done.stderr.strip().splitlines()[-1]
                close(-torch.load(f"{directory}/out"), flow.log_prob(y), 1e-4, "log_prob of the exported model")
            return way
        except Exception as error:
            failed.append(f"{way}: {type(error).__name__} {error}")
    raise ValueError("; ".join(failed))
