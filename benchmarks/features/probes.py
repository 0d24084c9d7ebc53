# SPDX-License-Identifier: Apache-2.0
"""Assertions about flows of any framework. Only NumPy is imported, as the normflows environment has little more.

A flow has the methods below. Events, latents and densities are arrays; images have channels last.

* `inverse(y)`: the latents of a batch, and the log-determinant of the inverse for each example;
* `forward(x)`: the events of a batch of latents;
* `jacobian(y)`: the Jacobian matrices of the inverse, `[batch, size, size]`, by automatic differentiation;
* `initialize(y)`: the data-dependent initialization;
* `variables` and `assign(variable, value)`: the trainable variables, as NumPy reads them;
* `unit`: the length of the range of pixel values;
* `as_tensor(y)`: a tensor of the framework;
* `log_prob(y)`, `sample_and_log_prob(number)`, `save(path)` and `load(path)`, of whole flows;
* `num_graphs(batch_sizes)`, `num_nodes()` and `kept_bytes()`: what compiled or traced passes are made of.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

IMAGE, SMALL, SHAPE = (4, 4, 2), (4, 4, 1), (8, 8, 1)


def uniform(*shape: int, seed: int = 0) -> np.ndarray:
    """Returns float32 numbers in [0, 1)."""
    return np.random.RandomState(seed).uniform(size=shape).astype("float32")


def images(flow: Any, number: int, shape: Sequence[int] = SHAPE, seed: int = 0) -> np.ndarray:
    """Returns random images in the units of a flow."""
    return np.float32(flow.unit) * uniform(number, *shape, seed=seed)


def move(flow: Any, variables: Sequence[Any] | None = None, scale: float = 0.1) -> None:
    """Adds noise to variables, by default to all of a flow. Networks that start at zero would hide errors."""
    rng = np.random.RandomState(0)
    for variable in flow.variables if variables is None else variables:
        value = np.asarray(variable).copy()
        flow.assign(variable, (value + scale * rng.standard_normal(value.shape)).astype(value.dtype))


def close(received: Any, expected: Any, tolerance: float, name: str) -> None:
    """Asserts that two arrays have one shape and agree to the tolerance, absolute or relative."""
    received, expected = np.asarray(received, "float64"), np.asarray(expected, "float64")
    assert received.shape == expected.shape, f"{name}: shape {received.shape} instead of {expected.shape}"
    error = np.max(np.abs(received - expected) / (1.0 + np.abs(expected)))
    assert error <= tolerance, f"{name}: off by {error:.2g}"


def is_flow(flow: Any, y: np.ndarray, tolerance: float = 1e-4) -> None:
    """Asserts that events return from their latents, and that the log-determinant is that of the Jacobian."""
    move(flow)
    latents, log_det = flow.inverse(y)
    close(flow.forward(np.asarray(latents)), y, tolerance, "round trip")
    close(log_det, np.linalg.slogdet(np.asarray(flow.jacobian(y)))[1], tolerance, "log-det")


def is_normalized(latents: Any) -> None:
    """Asserts mean 0 and standard deviation 1 in each channel."""
    latents = np.reshape(latents, (-1, latents.shape[-1]))
    close(latents.mean(axis=0), np.zeros(latents.shape[1]), 1e-3, "mean of latents")
    close(latents.std(axis=0), np.ones(latents.shape[1]), 1e-2, "deviation of latents")


def moved_latents(variables: Sequence[Any], flow: Any) -> list[int]:
    """Returns for each variable how many of the 16 latents of a small image depend on it."""
    move(flow)
    y, counts = images(flow, 3, SMALL), []
    before = np.asarray(flow.inverse(y)[0])
    for variable in variables:
        value = np.asarray(variable).copy()
        move(flow, [variable], scale=1.0)
        counts.append(int(np.any(np.asarray(flow.inverse(y)[0]) != before, axis=0).sum()))
        flow.assign(variable, value)
    return counts
