# SPDX-License-Identifier: Apache-2.0
"""Matplotlib charts of a run: learning curve, latents, bits per dimension, and vectors."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tfp_glow._types import TensorLike

_LATENT_RANGE = 4.5
_NUM_QUANTILES = 300


def learning_curve(history: Sequence[Mapping[str, Any]], over: str = "epoch") -> Figure:
    """Draws the bits per dimension of the training and the validation split during training.

    Args:
      history: one dict per epoch with the keys `epoch`, `bits_per_dim` and `val_bits_per_dim`, and `seconds` if `over`
        is `"minutes"`.
      over: unit of the horizontal axis, `"epoch"` or `"minutes"`.
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    times = [line["epoch"] for line in history]
    if over == "minutes":
        times = list(np.cumsum([line["seconds"] for line in history]) / 60.0)
    for key, label in (("bits_per_dim", "training"), ("val_bits_per_dim", "validation")):
        axes.plot(times, [line[key] for line in history], marker="." if len(times) < 50 else None, label=label)
    # The first tenth does not set the scale, as its values may be far from all others.
    values = _finite([[line["bits_per_dim"], line["val_bits_per_dim"]] for line in history[len(history) // 10:]])
    if len(values):
        margin = 0.05 * (values.max() - values.min()) or 0.1
        axes.set_ylim(values.min() - margin, values.max() + margin)
    axes.set(xlabel=over, ylabel="bits per dimension")
    axes.xaxis.set_major_locator(MaxNLocator(integer=over == "epoch"))
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def latents_and_normal_density(latents: Mapping[str, TensorLike]) -> Figure:
    """Compares latents with N(0, 1), in one row per level: histogram and density, then a quantile-quantile chart.

    Args:
      latents: arrays by the name of the level. The outermost bins count all values beyond 4.5.
    """
    figure = Figure(figsize=(9, 3.2 * len(latents)), layout="constrained")
    normal = statistics.NormalDist()
    line = np.linspace(-_LATENT_RANGE, _LATENT_RANGE, 201)
    for (left, right), (name, array) in zip(figure.subplots(len(latents), 2, squeeze=False), latents.items(),
                                            strict=True):
        values = _finite(array)
        if not len(values):
            left.set_title(f"{name}: no finite values")
            continue
        left.hist(values.clip(-_LATENT_RANGE, _LATENT_RANGE), bins=90, range=(-_LATENT_RANGE, _LATENT_RANGE),
                  density=True, color="tab:blue", alpha=0.6)
        left.plot(line, [normal.pdf(z) for z in line], color="black", linewidth=1, label="N(0, 1)")
        left.set(title=f"{name}: mean {values.mean():.2f}, standard deviation {values.std():.2f}", xlabel="latent",
                 ylabel="density")
        left.legend()
        probabilities = (np.arange(_NUM_QUANTILES) + 0.5) / _NUM_QUANTILES
        right.plot(line, line, color="black", linewidth=1)
        right.plot([normal.inv_cdf(p) for p in probabilities], np.quantile(values, probabilities), ".", markersize=4,
                   color="tab:blue")
        right.set(title=f"{name}: quantiles", xlabel="quantiles of N(0, 1)", ylabel="quantiles of the latents",
                  xlim=(-3.2, 3.2), ylim=(-_LATENT_RANGE, _LATENT_RANGE))
        right.grid(alpha=0.3)
    return figure


def bits_histogram(bits: Mapping[str, TensorLike]) -> Figure:
    """Draws a histogram of the bits per dimension of single events, for each split.

    Args:
      bits: arrays by the name of the split. The outermost bins count all values beyond the axis.
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel="bits per dimension", ylabel="density")
    axes.grid(alpha=0.3)
    finite = {name: values for name, array in bits.items() if len(values := _finite(array))}
    if not finite:
        axes.set_title("no finite values")
        return figure
    # Quantiles set the scale, as a single event may be far from all others.
    low, high = np.quantile(np.concatenate(list(finite.values())), [0.002, 0.998])
    margin = 0.05 * (high - low) or 0.1
    edges = np.linspace(low - margin, high + margin, 51)
    for name, values in finite.items():
        axes.hist(values.clip(edges[0], edges[-1]), bins=list(edges), density=True, alpha=0.5,
                  label=f"{name}: mean {values.mean():.3f}")
    axes.legend()
    return figure


def data_and_samples(data: np.ndarray, samples: np.ndarray) -> Figure:
    """Draws data and samples side by side: the first two numbers of vectors as points, single numbers as histograms.

    Args:
      data: float vectors `[N, size]`, which set the scale.
      samples: float vectors `[M, size]`.
    """
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    low, high = np.quantile(data[:, :2], [0.001, 0.999], axis=0)
    margin = 0.1 * (high - low)
    for panel, name, vectors in zip(panels, ("data", "samples"), (data, samples), strict=True):
        vectors = drop_overflow(vectors)
        if vectors.shape[1] == 1:
            panel.hist(vectors[:, 0], bins=80, range=(low[0] - margin[0], high[0] + margin[0]), density=True)
        else:
            panel.scatter(vectors[:, 0], vectors[:, 1], s=2)
            panel.set(ylim=(low[1] - margin[1], high[1] + margin[1]))
        panel.set(title=name, xlim=(low[0] - margin[0], high[0] + margin[0]))
    return figure


def vector_chart(vectors: TensorLike) -> Figure:
    """Draws the first two numbers of float vectors `[N, size]` as points, or single numbers as a histogram."""
    vectors = drop_overflow(np.asarray(vectors))
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    if vectors.shape[1] == 1:
        axes.hist(vectors[:, 0], bins=80)
    else:
        axes.scatter(vectors[:, 0], vectors[:, 1], s=2)
    return figure


def drop_overflow(vectors: np.ndarray) -> np.ndarray:
    """Drops vectors with NaN or a number above 1e30, which flows may return early in training.

    Matplotlib cannot draw such numbers.
    """
    return vectors[(np.abs(vectors) < 1e30).all(axis=1)]


def _finite(values: Any) -> np.ndarray:
    array = np.asarray(values, np.float64).ravel()
    return array[np.isfinite(array)]
