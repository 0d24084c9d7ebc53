# SPDX-License-Identifier: Apache-2.0
"""Comparison of Glow with a second implementation of the paper's formulas, in NumPy and float64.

The flow lists its layers in this order: the steps of the first level with stacked weights, the prior of the first
level, the steps of the second level, and the prior of the top latents.
"""

import numpy as np
import pytest
from numpy_layers import compare, convolution, randomize_weights, relu, squeezed, total, unsqueezed

import tfp_glow

SIDE, CHANNELS, BATCH = 4, 2, 3


@pytest.fixture(scope="module")
def images():
    return np.random.RandomState(0).uniform(0.0, 256.0, (BATCH, SIDE, SIDE, CHANNELS))


STEP = ("act_norm_log_scale", "act_norm_shift", "packed", "sign", "permutation",
        *(f"{conv}_{name}" for conv in ("in", "hidden", "out") for name in ("kernel", "log_scale", "shift")))


def steps_of(layer):
    """Returns the weights of a `Repeat` as a list with one dictionary per step."""
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
    distribution = randomize_weights(
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
