# SPDX-License-Identifier: Apache-2.0
"""Times normflows' Glow: `python -m benchmarks.peers.normflows_glow K WIDTH BATCH [memory] [channels_last]`.

`channels_last` is PyTorch's advice for convolutions on CPUs; normflows itself says nothing of it.
"""

import warnings

import normflows as nf
import torch

from benchmarks.harness import NUM_LEVELS, SHAPE, Program, run

warnings.filterwarnings("ignore")


def make_flow(num_steps, width, shape=SHAPE, num_levels=NUM_LEVELS):
    """Level 0 is the deepest, as in normflows' own example."""
    side, _, channels = shape
    bases, flows, merges = [], [], []
    for level in range(num_levels):
        squeezed = channels * 2 ** (num_levels + 1 - level)
        blocks = [nf.flows.GlowBlock(squeezed, width, split_mode="channel", scale=True) for _ in range(num_steps)]
        flows.append([*blocks, nf.flows.Squeeze()])
        if level > 0:
            merges.append(nf.flows.Merge())
        side_here = side // 2 ** (num_levels - level)
        bases.append(nf.distributions.DiagGaussian(
            (squeezed // 2 if level > 0 else squeezed, side_here, side_here)))
    return nf.MultiscaleFlow(bases, flows, merges, class_cond=False)


def build(num_steps, width, batch, options):
    torch.manual_seed(0)
    side, _, channels = SHAPE
    layout = torch.channels_last if "channels_last" in options else torch.contiguous_format
    flow = make_flow(num_steps, width).to(memory_format=layout)
    x = torch.rand(batch, channels, side, side).to(memory_format=layout)
    optimizer = torch.optim.Adamax(flow.parameters(), lr=1e-3)

    def step():
        optimizer.zero_grad()
        loss = flow.forward_kld(x)
        loss.backward()
        optimizer.step()

    def state_bytes():
        slots = [t for state in optimizer.state.values() for t in state.values() if torch.is_tensor(t)]
        return sum(t.numel() * t.element_size() for t in [*flow.parameters(), *slots])

    @torch.inference_mode()
    def round_trip():
        z, _ = flow.inverse_and_log_det(x)
        return float((flow.forward_and_log_det(z)[0] - x).abs().max())

    return Program(
        params=sum(p.numel() for p in flow.parameters()),
        state_bytes=state_bytes,
        step=step,
        log_prob=torch.inference_mode()(lambda: flow.log_prob(x, None)),
        sample=torch.inference_mode()(lambda: flow.sample(batch)),
        round_trip=round_trip)


if __name__ == "__main__":
    run(build)
