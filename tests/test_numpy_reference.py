# SPDX-License-Identifier: Apache-2.0
"""RealNVP and Glow against a second evaluation of the papers' formulas, in plain NumPy and float64."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow
from tfp_glow.bijectors.batch_norm import BatchStatistics
from tfp_glow.networks import ResNet

SIDE, CHANNELS, BATCH = 4, 2, 3


@pytest.fixture(scope="module")
def images():
    return np.random.RandomState(0).uniform(0.0, 256.0, (BATCH, SIDE, SIDE, CHANNELS))


def randomised(distribution):
    """Random weights, running averages too."""
    rng = np.random.RandomState(1)
    for variable in distribution.bijector.keras_variables:
        if "variance" in variable.name:
            variable.assign(rng.uniform(0.5, 2.0, variable.shape))
        elif variable.trainable or "mean" in variable.name:
            variable.assign_add(0.1 * rng.standard_normal(variable.shape))
    return distribution


def compare(distribution, images, to_latents, to_images):
    latents, log_det = to_latents(images)
    assert np.all(np.isfinite(latents)) and np.all(np.abs(log_det) < 1e4)
    np.testing.assert_allclose(distribution.bijector.inverse(images), latents, atol=1e-6, rtol=1e-6)
    np.testing.assert_allclose(distribution.bijector.inverse_log_det_jacobian(tf.constant(images)), log_det, rtol=1e-6)
    normal = tfp.distributions.Normal(np.float64(0.0), 1.0)
    np.testing.assert_allclose(distribution.log_prob(tf.constant(images)),
                               log_det + normal.log_prob(latents).numpy().sum(-1), rtol=1e-6)
    latents = np.random.RandomState(2).standard_normal(latents.shape)
    expected, log_det = to_images(latents)
    assert np.all(np.isfinite(expected)) and np.all(np.abs(log_det) < 1e4)
    np.testing.assert_allclose(distribution.bijector.forward(latents), expected, atol=1e-6, rtol=1e-6)
    np.testing.assert_allclose(distribution.bijector.forward_log_det_jacobian(tf.constant(latents)), log_det, rtol=1e-6)


# What both share.


def convolution(x, kernel):
    """Stride 1, zero-padded."""
    pad = kernel.shape[0] // 2
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    height, width = x.shape[1:3]
    return sum(padded[:, i:i + height, j:j + width] @ kernel[i, j]
               for i in range(kernel.shape[0]) for j in range(kernel.shape[1]))


def squeezed(x):
    corners = [x[:, a::2, b::2] for a in (0, 1) for b in (0, 1)]
    return np.stack([corner[..., c] for c in range(x.shape[-1]) for corner in corners], -1)


def unsqueezed(x):
    batch, height, width, channels = x.shape
    y = np.zeros((batch, 2 * height, 2 * width, channels // 4))
    for k in range(channels):
        y[:, k % 4 // 2::2, k % 2::2, k // 4] = x[..., k]
    return y


def total(x):
    return x.reshape(len(x), -1).sum(-1)


def relu(x):
    return np.maximum(x, 0.0)


# RealNVP. Its 6 * scales - 2 couplings and batch norms in the order from image to latents.


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
    """A coupling and the batch norm after it; `kind` is the colour of the board or the half of the channels kept."""

    def __init__(self, network, statistics):
        self.network, self.mean = values_of(network), statistics.mean.numpy()
        self.variance = statistics.variance.numpy() + 1e-4

    def parts(self, x, kind):
        """What is kept (1) and the parameters for the whole."""
        if kind in (0, 1):
            kept = ((np.indices(x.shape[1:3]).sum(0) + kind) % 2 == 0)[..., np.newaxis] * 1.0
            shift, log_scale = resnet(self.network, x * kept, kept)
            return kept, shift, log_scale
        half = x.shape[-1] // 2
        kept = np.arange(x.shape[-1]) // half == (0 if kind == "first" else 1)
        shift, log_scale = resnet(self.network, x[..., kept])
        return kept * 1.0, np.concatenate([shift, shift], -1), np.concatenate([log_scale, log_scale], -1)

    def inverse(self, y, kind):
        kept, shift, log_scale = self.parts(y, kind)
        x = kept * y + (1.0 - kept) * (y - shift) * np.exp(-log_scale)
        x = (x - self.mean) / np.sqrt(self.variance)
        return x, -total((1.0 - kept) * log_scale + 0.5 * np.log(self.variance))

    def forward(self, x, kind):
        y = x * np.sqrt(self.variance) + self.mean
        kept, shift, log_scale = self.parts(y, kind)
        y = kept * y + (1.0 - kept) * (y * np.exp(log_scale) + shift)
        return y, total((1.0 - kept) * log_scale + 0.5 * np.log(self.variance))


def logit_log_det(p):
    return total(np.log(0.9 / 256.0) - np.log(p) - np.log(1.0 - p))


def test_realnvp(images):
    distribution = randomised(tfp_glow.realnvp(images.shape[1:], num_scales=2, num_blocks=2, width=3, dtype="float64"))
    layers = distribution.bijector.keras_layers
    couplings = [Coupling(*pair) for pair in zip(
        [layer for layer in layers if isinstance(layer, ResNet)],
        [layer for layer in layers if isinstance(layer, BatchStatistics)], strict=True)]
    kinds = [0, 1, 0, "first", "second", "first", 0, 1, 0, 1]
    assert len(couplings) == len(kinds)
    # Of each block's four pixels, those on its diagonal go on.
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


# Glow. A level is the stacked weights of its steps, then those of its prior.

STEP = ("act_norm_log_scale", "act_norm_shift", "packed", "sign", "permutation",
        *(f"{conv}_{name}" for conv in ("in", "hidden", "out") for name in ("kernel", "log_scale", "shift")))


def steps_of(layer):
    """The weights of a `Repeat`, a dictionary for each step."""
    stacks = {v.name.rsplit("_", 1)[1]: v.numpy() for v in layer.variables if not v.name.startswith("initialized")}
    ordered = [stacks[index] for index in sorted(stacks, key=int)]
    return [dict(zip(STEP, values, strict=True)) for values in zip(*ordered, strict=True)]


def glow_conv(w, name, x, factor=1.0):
    return (convolution(x, w[f"{name}_kernel"]) + w[f"{name}_shift"]) * np.exp(factor * w[f"{name}_log_scale"])


def coupling_of(w, kept):
    hidden = relu(glow_conv(w, "hidden", relu(glow_conv(w, "in", kept))))
    shift, raw = np.split(glow_conv(w, "out", hidden, 3.0), 2, -1)
    return shift, 1.0 / (1.0 + np.exp(-(raw + 2.0)))


def mixing(w):
    lower = np.tril(w["packed"], -1) + np.eye(len(w["packed"]))
    upper = np.triu(w["packed"], 1) + np.diag(w["sign"] * np.exp(np.diag(w["packed"])))
    return w["permutation"] @ lower @ upper


def step_inverse(w, y):
    pixels = y.shape[1] * y.shape[2]
    x = (y - w["act_norm_shift"]) * np.exp(-w["act_norm_log_scale"])
    x = x @ mixing(w).T
    log_det = pixels * (np.linalg.slogdet(mixing(w))[1] - w["act_norm_log_scale"].sum())
    kept, changed = np.split(x, 2, -1)
    shift, scale = coupling_of(w, kept)
    return np.concatenate([kept, (changed - shift) * scale], -1), log_det + total(np.log(scale))


def step_forward(w, x):
    pixels = x.shape[1] * x.shape[2]
    kept, changed = np.split(x, 2, -1)
    shift, scale = coupling_of(w, kept)
    y = np.concatenate([kept, changed / scale + shift], -1) @ np.linalg.inv(mixing(w)).T
    log_det = pixels * (w["act_norm_log_scale"].sum() - np.linalg.slogdet(mixing(w))[1])
    return y * np.exp(w["act_norm_log_scale"]) + w["act_norm_shift"], log_det - total(np.log(scale))


def test_glow(images):
    distribution = randomised(
        tfp_glow.glow(images.shape[1:], num_levels=2, num_steps=3, width=5, seed=4, dtype="float64"))
    first_steps, prior, second_steps, top = distribution.bijector.keras_layers
    prior = {f"prior_{v.name}": v.numpy() for v in prior.variables}
    top = {v.name: v.numpy() for v in top.variables}
    first_steps, second_steps = steps_of(first_steps), steps_of(second_steps)
    assert len(first_steps) == len(second_steps) == 3
    pixel_log_det = SIDE**2 * CHANNELS * np.log(256.0)

    def split_prior(kept):
        return np.split(glow_conv(prior, "prior", kept, 3.0), 2, -1)

    def to_latents(y):
        x, log_det = squeezed(y / 256.0 - 0.5), -pixel_log_det
        for w in first_steps:
            x, one = step_inverse(w, x)
            log_det = log_det + one
        kept, changed = np.split(x, 2, -1)
        mean, log_scale = split_prior(kept)
        out, log_det = (changed - mean) * np.exp(-log_scale), log_det - total(log_scale)
        x = squeezed(kept)
        for w in second_steps:
            x, one = step_inverse(w, x)
            log_det = log_det + one
        x = (x - top["shift"]) * np.exp(-top["log_scale"])
        log_det = log_det - x.shape[1] * x.shape[2] * top["log_scale"].sum()
        return np.concatenate([out.reshape(len(y), -1), x.reshape(len(y), -1)], -1), log_det

    def to_images(z):
        half = z.shape[-1] // 2
        out = z[:, :half].reshape(len(z), SIDE // 2, SIDE // 2, 2 * CHANNELS)
        x = z[:, half:].reshape(len(z), SIDE // 4, SIDE // 4, 8 * CHANNELS)
        log_det = pixel_log_det + x.shape[1] * x.shape[2] * top["log_scale"].sum()
        x = x * np.exp(top["log_scale"]) + top["shift"]
        for w in reversed(second_steps):
            x, one = step_forward(w, x)
            log_det = log_det + one
        kept = unsqueezed(x)
        mean, log_scale = split_prior(kept)
        x, log_det = np.concatenate([kept, out * np.exp(log_scale) + mean], -1), log_det + total(log_scale)
        for w in reversed(first_steps):
            x, one = step_forward(w, x)
            log_det = log_det + one
        return (unsqueezed(x) + 0.5) * 256.0, log_det

    compare(distribution, images, to_latents, to_images)
