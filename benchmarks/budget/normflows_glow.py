# SPDX-License-Identifier: Apache-2.0
"""normflows' Glow, with the optimizer, the batch size and the units of its documented example of Glow; or with Adam."""

import math

import numpy as np
import torch

from benchmarks.budget.child import NUM_LEVELS, STEPS_PER_LEVEL, WIDTH, parse_arguments, run
from benchmarks.budget.loop import System
from benchmarks.peers.normflows_glow import make_flow

BATCH = 128
LEARNING_RATE, WEIGHT_DECAY = 1e-3, 1e-5  # of either optimizer


def build(first, seed, optimizer_name="Adamax"):
    torch.manual_seed(seed)
    units = math.prod(first.shape[1:]) * math.log(256.0)  # of log-density, from [0, 1) to pixels
    flow = make_flow(STEPS_PER_LEVEL, WIDTH, first.shape[1:], NUM_LEVELS).to(memory_format=torch.channels_last)
    optimizer = getattr(torch.optim, optimizer_name)(flow.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    skipped = 0

    def tensor(images):
        channels_first = np.ascontiguousarray(np.moveaxis(images / np.float32(256.0), -1, 1))
        return torch.from_numpy(channels_first).to(memory_format=torch.channels_last)

    def step(images, multiplier):
        nonlocal skipped
        for group in optimizer.param_groups:
            group["lr"] = multiplier * LEARNING_RATE
        optimizer.zero_grad()
        loss = flow.forward_kld(tensor(images))
        if torch.isfinite(loss):  # As in the example.
            loss.backward()
            optimizer.step()
        else:
            skipped += 1
        return -float(loss) - units

    @torch.inference_mode()
    def log_prob(images):
        return flow.log_prob(tensor(images), None).numpy() - units

    with torch.no_grad():  # Actnorm starts with the first batch; in inference mode its parameters could not be trained.
        flow.log_prob(tensor(first), None)
    return System(sum(p.numel() for p in flow.parameters()), step, log_prob, lambda: skipped)


if __name__ == "__main__":
    arguments = parse_arguments(__doc__)
    chosen = arguments.settings.get("optimizer", "Adamax")
    run(arguments, lambda first, seed: build(first, seed, chosen), BATCH)
