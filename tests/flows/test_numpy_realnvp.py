# SPDX-License-Identifier: Apache-2.0
"""Comparison of RealNVP with a second implementation of the paper's formulas, in NumPy and float64.

The flow has `6 * num_scales - 2` couplings in the order from image to latents. A batch norm follows each coupling.
"""

import numpy as np
import pytest
from numpy_layers import compare, convolution, randomize_weights, relu, squeezed, total, unsqueezed

import tfp_glow
from tfp_glow.bijectors.batch_norm import BatchStatistics
from tfp_glow.networks import ResNet

SIDE, CHANNELS, BATCH = 4, 2, 3


@pytest.fixture(scope="module")
def images():
    return np.random.RandomState(0).uniform(0.0, 256.0, (BATCH, SIDE, SIDE, CHANNELS))


def values_of(layer):
    return {v.path.split("/", 1)[1]: v.numpy() for v in layer.variables}


def resnet(w, x, mask=None):
    def norm(name, x):
        x = (x - w[f"{name}/moving_mean"]) / np.sqrt(w[f"{name}/moving_variance"] + 1e-4)
        return x + w[f"{name}/beta"]

    def conv(name, x):
        kernel = w[f"{name}/direction"]
        kernel = kernel / np.sqrt((kernel**2).sum((0, 1, 2))) * w.get(f"{name}/scale", 1.0)
        return convolution(x, kernel) + w.get(f"{name}/bias", 0.0)

    x = norm("norm_in", x)
    if mask is not None:
        x = np.concatenate([2.0 * x, -2.0 * x, np.broadcast_to(mask, (*x.shape[:-1], 1))], -1)
    else:
        x = np.concatenate([x, -x], -1)
    h = conv("conv_in", relu(x))
    out = conv("skip_0", h)
    blocks = sum(name.startswith("skip") and name.endswith("direction") for name in w) - 1
    for i in range(blocks):
        h = h + conv(f"conv_{i}_1", relu(norm(f"norm_{i}_1", conv(f"conv_{i}_0", relu(norm(f"norm_{i}_0", h))))))
        out = out + conv(f"skip_{i + 1}", h)
    shift, raw = np.split(conv("conv_out", relu(norm("norm_out", out))), 2, -1)
    return shift, w["scaled_tanh/factor"] * np.tanh(raw)


class Coupling:
    """A coupling and the batch norm after it.

    `kind` selects the kept elements: 0 or 1 for a color of the checkerboard, "first" or "second" for a half of the
    channels.
    """

    def __init__(self, network, statistics):
        self.network, self.mean = values_of(network), statistics.mean.numpy()
        self.variance = statistics.variance.numpy() + 1e-4

    def mask_and_parameters(self, x, kind):
        """Returns the mask, which is 1 at kept elements, and the shift and log-scale of all elements."""
        if kind in (0, 1):
            kept = ((np.indices(x.shape[1:3]).sum(0) + kind) % 2 == 0)[..., np.newaxis] * 1.0
            shift, log_scale = resnet(self.network, x * kept, kept)
            return kept, shift, log_scale
        half = x.shape[-1] // 2
        kept = np.arange(x.shape[-1]) // half == (0 if kind == "first" else 1)
        shift, log_scale = resnet(self.network, x[..., kept])
        return kept * 1.0, np.concatenate([shift, shift], -1), np.concatenate([log_scale, log_scale], -1)

    def inverse(self, y, kind):
        kept, shift, log_scale = self.mask_and_parameters(y, kind)
        x = kept * y + (1.0 - kept) * (y - shift) * np.exp(-log_scale)
        x = (x - self.mean) / np.sqrt(self.variance)
        return x, -total((1.0 - kept) * log_scale + 0.5 * np.log(self.variance))

    def forward(self, x, kind):
        y = x * np.sqrt(self.variance) + self.mean
        kept, shift, log_scale = self.mask_and_parameters(y, kind)
        y = kept * y + (1.0 - kept) * (y * np.exp(log_scale) + shift)
        return y, total((1.0 - kept) * log_scale + 0.5 * np.log(self.variance))


def logit_log_det(p):
    return total(np.log(0.9 / 256.0) - np.log(p) - np.log(1.0 - p))


def test_realnvp(images):
    distribution = randomize_weights(
        tfp_glow.realnvp(images.shape[1:], num_scales=2, num_blocks=2, width=3, dtype="float64"))
    layers = distribution.bijector.keras_layers
    couplings = [Coupling(*pair) for pair in zip(
        [layer for layer in layers if isinstance(layer, ResNet)],
        [layer for layer in layers if isinstance(layer, BatchStatistics)], strict=True)]
    kinds = [0, 1, 0, "first", "second", "first", 0, 1, 0, 1]
    assert len(couplings) == len(kinds)
    # The two diagonal pixels of each 2x2 block enter the next scale.
    diagonal = [4 * c + k for k in (0, 3) for c in range(CHANNELS)]
    others = [4 * c + k for k in (1, 2) for c in range(CHANNELS)]

    def to_latents(y):
        p = 0.05 + 0.9 * y / 256.0
        log_det, x, out = logit_log_det(p), np.log(p / (1.0 - p)), None
        for index, (coupling, kind) in enumerate(zip(couplings, kinds, strict=True)):
            if index == 3:
                x = squeezed(x)
            if index == 6:
                out, x = x[..., others], x[..., diagonal]
            x, one = coupling.inverse(x, kind)
            log_det = log_det + one
        return np.concatenate([out.reshape(len(y), -1), x.reshape(len(y), -1)], -1), log_det

    def to_images(z):
        half = z.shape[-1] // 2
        out, x = (part.reshape(len(z), SIDE // 2, SIDE // 2, 2 * CHANNELS) for part in (z[:, :half], z[:, half:]))
        log_det = 0.0
        for index in reversed(range(10)):
            x, one = couplings[index].forward(x, kinds[index])
            log_det = log_det + one
            if index == 6:
                kept, x = x, np.zeros((*x.shape[:-1], 4 * CHANNELS))
                x[..., diagonal], x[..., others] = kept, out
            if index == 3:
                x = unsqueezed(x)
        p = 1.0 / (1.0 + np.exp(-x))
        return (p - 0.05) / 0.9 * 256.0, log_det - logit_log_det(p)

    compare(distribution, images, to_latents, to_images)
