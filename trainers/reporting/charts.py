# SPDX-License-Identifier: Apache-2.0
"""Matplotlib charts: learning curve, histograms of latents and of bits per dimension, and plots of vectors."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tfp_glow._types import TensorLike

_LATENT_RANGE = 4.5
_NUM_QUANTILES = 300


def learning_curve(history: Sequence[Mapping[str, Any]], over: str = "epoch",
                   training: Mapping[str, Any] | None = None) -> Figure:
    """Draws the bits per dimension of the training and the validation split after each epoch.

    The legend says what the two curves differ in: the training values are means over the steps of an epoch, and may
    include pixel noise; the validation values are those at the end of the epoch, and may use averaged weights.

    Args:
      history: sequence of one dict per epoch. Each has the key `epoch` (number of the epoch) and may have the keys
        `bits_per_dim` and `val_bits_per_dim`. If `over` is `"minutes"`, it also has `seconds`, the duration of the
        epoch.
      over: unit of the horizontal axis: `"epoch"`, or `"minutes"` for the time since the start. Default `"epoch"`.
      training: dict with the entries `pixel_noise` and `ema_momentum`, as the entry `training` of the configuration of
        a run. Default None: no pixel noise and no average of the weights.

    Returns:
      A Matplotlib figure. The first tenth of the epochs does not influence the range of the vertical axis.
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    times = [line["epoch"] for line in history]
    if over == "minutes":
        times = list(np.cumsum([line.get("seconds", 0.0) for line in history]) / 60.0)
    settings = training or {}
    noise = " with pixel noise" if settings.get("pixel_noise") else ""
    weights = ", averaged weights" if settings.get("ema_momentum") is not None else ""
    curves = {f"training: mean over the steps of the epoch{noise}": "bits_per_dim",
              f"validation: after the epoch{weights}": "val_bits_per_dim"}
    for label, key in curves.items():
        axes.plot(times, [line.get(key, math.nan) for line in history], marker="." if len(times) < 50 else None,
                  label=label)
    # The values of the first tenth of the epochs may be far from all others.
    values = _finite([[line.get(key, math.nan) for key in curves.values()] for line in history[len(history) // 10:]])
    if len(values):
        margin = 0.05 * (values.max() - values.min()) or 0.1
        axes.set_ylim(values.min() - margin, values.max() + margin)
    axes.set(xlabel=over, ylabel="bits per dimension")
    axes.xaxis.set_major_locator(MaxNLocator(integer=over == "epoch"))
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def latents_and_normal_density(latents: Mapping[str, TensorLike]) -> Figure:
    """Compares the latents of each level with the standard normal distribution N(0, 1).

    Args:
      latents: mapping from the name of each level to the values of its latents, an array of any shape. Values that are
        not finite are dropped.

    Returns:
      A Matplotlib figure with one row per level. On the left is a histogram of the values with the density of N(0, 1);
      its outermost bins include all values below -4.5 and above 4.5. On the right, the quantiles of the values are
      plotted against the quantiles of N(0, 1). Equal distributions give points on the diagonal.
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
    """Draws one histogram per split of the bits per dimension of its examples.

    Args:
      bits: mapping from the name of each split to an array of the bits per dimension of each example. Values that are
        not finite are dropped.

    Returns:
      A Matplotlib figure with all histograms in one panel. The axis covers almost all values, and the outermost bins
      include the others.
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel="bits per dimension", ylabel="density")
    axes.grid(alpha=0.3)
    finite = {name: values for name, array in bits.items() if len(values := _finite(array))}
    if not finite:
        axes.set_title("no finite values")
        return figure
    # Quantiles determine the axis, because a single example may be far from all others.
    low, high = np.quantile(np.concatenate(list(finite.values())), [0.002, 0.998])
    margin = 0.05 * (high - low) or 0.1
    edges = np.linspace(low - margin, high + margin, 51)
    for name, values in finite.items():
        axes.hist(values.clip(edges[0], edges[-1]), bins=list(edges), density=True, alpha=0.5,
                  label=f"{name}: mean {values.mean():.3f}")
    axes.legend()
    return figure


def data_and_samples(data: np.ndarray, samples: np.ndarray) -> Figure:
    """Draws data and samples side by side with the same axes.

    Vectors are drawn as points at their first two elements; vectors of one element are drawn as a histogram. Vectors
    with an element that is not finite or has an absolute value of at least 1e30 are dropped.

    Args:
      data: float array `[N, size]`. Quantiles of these vectors determine the axes.
      samples: float array `[M, size]`.

    Returns:
      A Matplotlib figure of two panels.
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
    """Draws vectors as points at their first two elements, or vectors of one element as a histogram.

    Vectors with an element that is not finite or has an absolute value of at least 1e30 are dropped.

    Args:
      vectors: float array `[N, size]`.

    Returns:
      A Matplotlib figure of one panel.
    """
    vectors = drop_overflow(np.asarray(vectors))
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    if vectors.shape[1] == 1:
        axes.hist(vectors[:, 0], bins=80)
    else:
        axes.scatter(vectors[:, 0], vectors[:, 1], s=2)
    return figure


def drop_overflow(vectors: np.ndarray) -> np.ndarray:
    """Drops vectors that Matplotlib cannot draw, because an element is not finite or too large.

    Flows may return such vectors early in training.

    Args:
      vectors: float array `[N, size]`.

    Returns:
      A float array `[M, size]`: the vectors whose elements all have an absolute value below 1e30.
    """
    return vectors[(np.abs(vectors) < 1e30).all(axis=1)]


def _finite(values: Any) -> np.ndarray:
    array = np.asarray(values, np.float64).ravel()
    return array[np.isfinite(array)]
