# SPDX-License-Identifier: Apache-2.0
"""The parts of normflows: what each flow does by itself. Its `inverse` is the direction from images to latents."""

import warnings

import normflows as nf
import numpy as np
import torch

warnings.filterwarnings("ignore")
IMAGE = (2, 4, 4)


def uniform(*shape, seed=0, dtype=torch.float32):
    """Numbers in [0, 1)."""
    return torch.tensor(np.random.RandomState(seed).uniform(size=shape), dtype=dtype)


BATCH = 3.0 + 2.0 * uniform(16, *IMAGE)


@torch.no_grad()
def move(module, scale=0.1, seed=0):
    """Moves parameters off their start, so that networks that start at zero count."""
    rng = np.random.RandomState(seed)
    for parameter in module.parameters():
        parameter += torch.tensor(scale * rng.standard_normal(tuple(parameter.shape)), dtype=parameter.dtype)
    return module


def close(received, expected, tolerance, what):
    """Asserts that two arrays agree, absolutely or relatively, and have one shape."""
    received, expected = torch.as_tensor(received).detach(), torch.as_tensor(expected).detach()
    assert received.shape == expected.shape, f"{what}: shape {received.shape} instead of {expected.shape}"
    error = float(torch.max(torch.abs(received - expected) / (1.0 + torch.abs(expected))))
    assert error <= tolerance, f"{what}: off by {error:.2g}"


def is_flow(forward, inverse, y, tolerance=1e-4):
    """Asserts that images return from the latents, and that the log-det is the Jacobian's by autodiff."""
    x, log_det = inverse(y)
    jacobian = torch.stack([torch.autograd.functional.jacobian(lambda v: inverse(v)[0].reshape(-1), one[None])
                            .reshape(one.numel(), one.numel()) for one in y])
    log_det = torch.as_tensor(log_det).broadcast_to(y.shape[:1])  # One number for the whole batch is allowed.
    close(log_det, torch.linalg.slogdet(jacobian)[1], tolerance, "log-det")
    close(forward(x)[0], y, tolerance, "round trip")


def is_normalised(latents, what="latents"):
    axes = [axis for axis in range(latents.dim()) if axis != 1]
    close(latents.mean(axes), torch.zeros(latents.shape[1]), 1e-3, f"mean of {what}")
    close(latents.std(axes), torch.ones(latents.shape[1]), 1e-2, f"deviation of {what}")


def convolutions(inputs, outputs):
    return nf.nets.ConvNet2d([inputs, 4, 4, outputs], [3, 1, 3], init_zeros=False)


def act_norm():
    norm = nf.flows.ActNorm((2, 1, 1))
    norm.inverse(BATCH)
    is_normalised(norm.inverse(BATCH)[0])
    return "ActNorm, set by its first call"


def no_accident():
    norm = nf.flows.ActNorm((2, 1, 1))
    norm.forward(torch.randn(8, *IMAGE))
    norm.inverse(BATCH)
    is_normalised(norm.inverse(BATCH)[0])
    return "sampling first"


def invertible_conv():
    for use_lu in (True, False):
        conv = move(nf.flows.Invertible1x1Conv(2, use_lu))
        is_flow(conv.forward, conv.inverse, BATCH[:2])
    return "Invertible1x1Conv"


def coupling():
    for split, kept in (("channel", np.s_[:, :1]), ("channel_inv", np.s_[:, 1:])):
        for scale in (True, False):
            part = nf.flows.AffineCouplingBlock(convolutions(1, 1 + scale), scale, split_mode=split)
            is_flow(part.forward, part.inverse, BATCH[:2])
            close(part.inverse(BATCH)[0][kept], BATCH[kept], 0.0, "the half that is kept")
    return "AffineCouplingBlock"


def checkerboard():
    part = nf.flows.AffineCouplingBlock(convolutions(2, 4), split_mode="checkerboard")
    is_flow(part.forward, part.inverse, BATCH[:2])
    changed = torch.any(part.inverse(BATCH)[0] != BATCH, dim=0)
    board = torch.tensor(np.indices((4, 4)).sum(axis=0) % 2 == 1)
    assert all(torch.equal(channel, board) or torch.equal(channel, ~board) for channel in changed), "the mask"
    return 'split_mode="checkerboard"'


def squeeze():
    blocks = nf.flows.Squeeze().inverse(torch.arange(16.0).reshape(1, 1, 4, 4))[0]
    close(torch.sort(blocks[0, :, 0, 1])[0], torch.tensor([2.0, 3.0, 6.0, 7.0]), 0.0, "a block")
    return "Squeeze"


def logit():
    pixels = nf.transforms.Logit(0.05)
    is_flow(pixels.forward, pixels.inverse, uniform(3, 1, 2, 2))
    return "transforms.Logit"


def batch_norm():
    """Its `forward` is the normalising direction."""
    norm, y = nf.flows.BatchNorm(), 2.0 + 3.0 * uniform(64, 3)
    latents, log_det = norm.forward(y)
    is_normalised(latents)
    close(log_det, -torch.log(y.std(0)).sum().repeat(64), 1e-3, "log-det in training")
    close(norm.inverse(latents)[0], y, 1e-4, "round trip")
    norm.eval()
    is_flow(norm.inverse, norm.forward, y[:2])
    return "BatchNorm"


def context():
    part = move(nf.flows.CoupledRationalQuadraticSpline(4, 1, 8, num_context_channels=3))
    y, given = uniform(2, 4), uniform(2, 3)
    for row in range(2):
        one = given[row:row + 1]
        is_flow(lambda x, c=one: part.forward(x, c), lambda v, c=one: part.inverse(v, c), y[row:row + 1])
    assert torch.all(torch.any(part.inverse(y, given)[0] != part.inverse(y, given + 1.0)[0], dim=1))
    return "CoupledRationalQuadraticSpline; its affine coupling takes none"


def classes():
    prior, z = move(nf.distributions.GlowBase(IMAGE, num_classes=3)), BATCH[:2]
    given = [prior.log_prob(z, torch.tensor([label, label])) for label in range(2)]
    assert torch.all(given[0] != given[1])
    return "distributions.GlowBase"


def vectors():
    network = nf.nets.MLP([3, 8, 6])
    flow = nf.NormalizingFlow(nf.distributions.DiagGaussian(6), [
        nf.flows.AffineCouplingBlock(network), nf.flows.InvertibleAffine(6), nf.flows.ActNorm(6)])
    flow.log_prob(uniform(16, 6))
    is_flow(flow.forward_and_log_det, flow.inverse_and_log_det, uniform(3, 6))
    return "InvertibleAffine for the convolution, else the same classes"


class Target(nf.distributions.Target):
    """A normal distribution; or what it is in the latents of a flow."""

    def __init__(self, flow=None):
        super().__init__()
        self.of = [flow]  # In a list, as it is no part of this one.

    def log_prob(self, z):
        if self.of[0] is None:
            return -0.5 * ((z - 1.0) ** 2).sum(-1)
        y, log_det = self.of[0].forward_and_log_det(z)
        return -0.5 * ((y - 1.0) ** 2).sum(-1) + log_det


def inference():
    couplings = [nf.flows.AffineCouplingBlock(nf.nets.MLP([1, 8, 2]), split_mode=mode)
                 for mode in ("channel", "channel_inv")]
    flow = nf.NormalizingFlow(nf.distributions.DiagGaussian(2), couplings, Target())
    flow.reverse_kld(8).backward()
    assert all(p.grad is not None for part in couplings for p in part.parameters())
    chain = nf.flows.HamiltonianMonteCarlo(Target(flow), 2, torch.log(torch.full((2,), 0.1)), torch.zeros(2))
    z = torch.zeros(2, 2)
    for _ in range(3):
        z, _ = chain(z)
    draws = flow.forward(z)
    assert torch.all(torch.isfinite(draws)) and torch.any(z != 0.0)
    return "reverse_kld; flows.HamiltonianMonteCarlo, with a target written for it"
