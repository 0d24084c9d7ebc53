# SPDX-License-Identifier: Apache-2.0
"""Comparison of Jet with a second implementation of the paper's formulas, in NumPy and float64."""

import numpy as np
from numpy_layers import compare, randomize_weights, total

import tfp_glow

SIDE, CHANNELS, BATCH, PATCH, WIDTH, HEADS, BLOCKS, DEPTH = 8, 1, 3, 2, 6, 2, 2, 12
GRID, VALUES = SIDE // PATCH, CHANNELS * PATCH**2
BLOCK = [f"{part}_{name}" for part, names in (
    ("norm_1", ("gamma", "beta")), ("joint", ("kernel", "bias")), ("mix", ("kernel", "bias")),
    ("norm_2", ("gamma", "beta")), ("expand", ("kernel", "bias")), ("contract", ("kernel", "bias")))
    for name in names]
COUPLING = ["order", "place", "embed_kernel", "embed_bias", *(f"{name}_{k}" for k in range(BLOCKS) for name in BLOCK),
            "norm_gamma", "norm_beta", "head_kernel", "head_bias"]


def steps_of(variables):
    """Returns the weights of a `Repeat` of couplings as a list with one dictionary per coupling."""
    stacks = {int(name.rsplit("_", 1)[1]): value for name, value in variables.items()}
    return [dict(zip(COUPLING, row, strict=True)) for row in zip(*(stacks[k] for k in sorted(stacks)), strict=True)]


def groups_of(layer):
    """Returns the weights of the groups of four channel couplings and a spatial one, as a list of couplings."""
    stacks = sorted(((v.name, v.numpy()) for v in layer.variables), key=lambda v: int(v[0].rsplit("_", 1)[1]))
    inner, spatial = stacks[:len(COUPLING)], [value for _, value in stacks[len(COUPLING):]]
    found = []
    for k, last in enumerate(zip(*spatial, strict=True)):
        found += steps_of({name.rsplit("_", 1)[0]: value[k] for name, value in inner})
        found.append(dict(zip(COUPLING, last, strict=True)))
    return found


def normalized(w, name, x, end=""):
    centered = x - x.mean(-1, keepdims=True)
    scale = np.sqrt((centered**2).mean(-1, keepdims=True) + 1e-6)
    return centered / scale * w[f"{name}_gamma{end}"] + w[f"{name}_beta{end}"]


def dense(w, name, x, end=""):
    return x @ w[f"{name}_kernel{end}"] + w[f"{name}_bias{end}"]


def gelu(x):
    return 0.5 * x * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (x + 0.044715 * x**3)))


def attention(w, x, end):
    joint, size, heads = dense(w, "joint", x, end), WIDTH // HEADS, []
    for head in range(HEADS):
        q, k, v = (joint[..., part * WIDTH + head * size:][..., :size] for part in range(3))
        logits = np.exp(np.einsum("bid,bjd->bij", q, k) / np.sqrt(size))
        heads.append(np.einsum("bij,bjd->bid", logits / logits.sum(-1, keepdims=True), v))
    return dense(w, "mix", np.concatenate(heads, -1), end)


def network(w, tokens):
    x = dense(w, "embed", tokens) + w["place"].reshape(-1, WIDTH)
    for k in range(BLOCKS):
        x = x + attention(w, normalized(w, "norm_1", x, f"_{k}"), f"_{k}")
        x = x + dense(w, "contract", gelu(dense(w, "expand", normalized(w, "norm_2", x, f"_{k}"), f"_{k}")), f"_{k}")
    shift, raw = np.split(dense(w, "head", normalized(w, "norm", x)), 2, -1)
    return shift, 2.0 / (1.0 + np.exp(-raw))


def coupling(w, value, forward):
    """Applies one coupling to tokens `[batch, tokens, values]`. The length of `place` shows which kind it is."""
    spatial = w["place"].ndim == 2
    axis, half = (1, GRID**2 // 2) if spatial else (2, VALUES // 2)
    kept, changed = np.split(w["order"], [half])
    shift, scale = network(w, np.take(value, kept, axis))
    part = np.take(value, changed, axis)
    part = part / scale + shift if forward else (part - shift) * scale
    result = value.copy()
    result[(slice(None), changed) if spatial else (slice(None), slice(None), changed)] = part
    return result, total(np.log(scale)) * (-1.0 if forward else 1.0)


def patches(images):
    cut = images.reshape(len(images), GRID, PATCH, GRID, PATCH, CHANNELS)
    return cut.transpose(0, 1, 3, 2, 4, 5).reshape(len(images), GRID**2, VALUES)


def images_of(tokens):
    cut = tokens.reshape(len(tokens), GRID, GRID, PATCH, PATCH, CHANNELS)
    return cut.transpose(0, 1, 3, 2, 4, 5).reshape(len(tokens), SIDE, SIDE, CHANNELS)


def test_jet():
    images = np.random.RandomState(0).uniform(0.0, 256.0, (BATCH, SIDE, SIDE, CHANNELS))
    distribution = randomize_weights(
        tfp_glow.jet(images.shape[1:], PATCH, DEPTH, BLOCKS, WIDTH, HEADS, seed=4, dtype="float64"))
    groups, rest = distribution.bijector.keras_layers
    couplings = [*groups_of(groups), *steps_of({v.name: v.numpy() for v in rest.variables})]
    assert [w["place"].ndim for w in couplings] == [3, 3, 3, 3, 2] * 2 + [3, 3]
    pixel_log_det = SIDE**2 * CHANNELS * np.log(128.0)

    def to_latents(y):
        x, log_det = patches(y / 128.0 - 1.0), -pixel_log_det
        for w in couplings:
            x, one = coupling(w, x, forward=False)
            log_det = log_det + one
        return x.reshape(len(x), -1), log_det

    def to_images(z):
        y, log_det = z.reshape(len(z), GRID**2, VALUES), pixel_log_det
        for w in reversed(couplings):
            y, one = coupling(w, y, forward=True)
            log_det = log_det + one
        return (images_of(y) + 1.0) * 128.0, log_det

    compare(distribution, images, to_latents, to_images)
