# SPDX-License-Identifier: Apache-2.0
"""Comparison of neural spline flows with a second implementation in NumPy and float64."""

import numpy as np
import pytest
import tensorflow as tf
from numpy_layers import randomize_weights, relu, spline_parts, spline_value

import tfp_glow

SIZE, KEPT, CONTEXT, WIDTH, BINS, BOUND = 3, 1, 2, 6, 3, 2.0
MIX = ("packed", "sign", "permutation")
NETWORK = ("in", "in_bias", "first", "first_bias", "second", "second_bias", "out", "out_bias")
NAMES = {"coupling": (*MIX, *NETWORK, "gate", "gate_bias", "raw"),
         "autoregressive": (*MIX, *NETWORK, "in_context", "gate", "gate_bias")}
LOC, SCALE = np.array([1.0, -2.0, 0.5]), np.array([2.0, 0.5, 1.5])


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def steps_of(loop, names):
    """Returns the weights of a `Repeat` as a list with one dictionary per step."""
    stacks = {int(v.name.rsplit("_", 1)[1]): v.numpy() for v in loop.keras_variables}
    return [dict(zip(names, (stacks[index][k] for index in sorted(stacks)), strict=True)) for k in range(2)]


def mix(w, y):
    """Returns `W y` and `log |det W|`, with `W` from the LU parametrization."""
    lower = np.tril(w["packed"], -1) + np.eye(SIZE)
    upper = np.triu(w["packed"], 1) + np.diag(w["sign"] * np.exp(np.diag(w["packed"])))
    matrix = w["permutation"] @ lower @ upper
    return matrix @ y, np.linalg.slogdet(matrix)[1]


def residual(w, hidden, context, masked=lambda name: 1.0):
    change = relu(hidden) @ (w["first"] * masked("inner")) + w["first_bias"]
    change = relu(change) @ (w["second"] * masked("inner")) + w["second_bias"]
    hidden = hidden + change * sigmoid(context @ w["gate"] + w["gate_bias"])
    return hidden @ (w["out"] * masked("out")) + w["out_bias"]


def splines(y, raw):
    """Applies one spline per element; `raw` is `[parameters, elements]`. The slopes are central differences."""
    def value(y, raw):
        return y if abs(y) >= BOUND else spline_value(y, BOUND, *spline_parts(raw, BINS, BOUND))

    x = np.array([value(*each) for each in zip(y, raw.T, strict=True)])
    slopes = [(value(a + 1e-6, r) - value(a - 1e-6, r)) / 2e-6 for a, r in zip(y, raw.T, strict=True)]
    return x, np.log(slopes).sum()


def coupling(w, y, context):
    kept, changed = y[:KEPT], y[KEPT:]
    raw = residual(w, np.concatenate([kept, context]) @ w["in"] + w["in_bias"], context)
    changed, log_det = splines(changed, raw.reshape(-1, SIZE - KEPT))
    kept, kept_log_det = splines(kept, w["raw"].reshape(-1, KEPT))
    return np.concatenate([kept, changed]), log_det + kept_log_det


def autoregressive(w, y, context):
    """With a context, the degrees of hidden units start at 0."""
    inputs, hidden = np.arange(1, SIZE + 1), np.arange(WIDTH) % SIZE
    masks = {"in": inputs[:, None] <= hidden, "inner": hidden[:, None] <= hidden,
             "out": hidden[:, None] < np.repeat(inputs, 3 * BINS - 1)}
    first = y @ (w["in"] * masks["in"]) + w["in_bias"] + context @ w["in_context"]
    return splines(y, residual(w, first, context, masks.get).reshape(SIZE, -1).T)


@pytest.mark.parametrize(("kind", "layer"), [("coupling", coupling), ("autoregressive", autoregressive)])
def test_densities_match_numpy(kind, layer):
    flow = randomize_weights(tfp_glow.nsf(
        SIZE, 2, WIDTH, kind=kind, num_blocks=1, num_bins=BINS, bound=BOUND, context_shape=CONTEXT, loc=LOC,
        scale=SCALE, seed=0, dtype="float64"))
    for variable in flow.trainable_variables:
        variable.assign(2.0 * variable)
    _, loop, last = flow.bijector.bijectors
    rng = np.random.RandomState(0)
    y, contexts = LOC + SCALE * rng.standard_normal((20, SIZE)), rng.standard_normal((20, CONTEXT))
    expected = []
    for x, context in zip((y - LOC) / SCALE, contexts, strict=True):
        total = -np.log(SCALE).sum()
        for w in steps_of(loop, NAMES[kind]):
            x, of_mix = mix(w, x)
            x, of_layer = layer(w, x, context)
            total += of_mix + of_layer
        x, of_mix = mix({name: getattr(last, name).numpy() for name in MIX}, x)
        expected.append(total + of_mix - 0.5 * x @ x - 0.5 * SIZE * np.log(2 * np.pi))
    assert np.std(expected) > 1.0
    received = flow.log_prob(y, bijector_kwargs={"context": tf.constant(contexts)})
    np.testing.assert_allclose(received, expected, atol=1e-6)
