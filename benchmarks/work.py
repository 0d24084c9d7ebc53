# SPDX-License-Identifier: Apache-2.0
"""The floating-point operations of an ideal Glow: the convolutions of its coupling networks, each done once.

A training step does each three times: the output, the gradient of the input and that of the kernel. The 1x1
convolutions of the flow, actnorms, couplings and split priors are left out: a share of the machine's rate that counts
these operations is on the low side.
"""

from benchmarks.harness import NUM_LEVELS, SHAPE


def levels():
    """Side and channels of the squeezed images at each level, largest first."""
    side, _, channels = SHAPE
    return [(side // 2 ** (n + 1), channels * 2 ** (n + 2)) for n in range(NUM_LEVELS)]


def convolutions(channels, width):
    """The kernels of one coupling network, as (size, input channels, output channels)."""
    return [(3, channels // 2, width), (1, width, width), (3, width, channels)]


def forward_flops(side, channels, width, batch):
    """Of one coupling network on one batch; a multiply and an add are two."""
    return 2 * batch * side**2 * sum(size**2 * i * o for size, i, o in convolutions(channels, width))


def step_flops(num_steps, width, batch):
    """Of one training step with `num_steps` steps of flow a level."""
    return 3 * num_steps * sum(forward_flops(side, channels, width, batch) for side, channels in levels())
