# SPDX-License-Identifier: Apache-2.0
"""Charts of a run, as Matplotlib figures: the learning curve, latents against the normal density, bits/dim by split."""

import statistics

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

_REACH = 4.5  # standard deviations that a chart of latents shows
_NUM_QUANTILES = 300


def learning_curve(history, over="epoch"):
    """Bits per dimension, training and validation, over epochs or over minutes of training.

    Args:
      history: one dict an epoch with `epoch`, `bits_per_dim` and `val_bits_per_dim`, and `seconds` for minutes.
      over: `"epoch"` or `"minutes"`.
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    epochs = [line["epoch"] for line in history]
    if over == "minutes":
        epochs = np.cumsum([line["seconds"] for line in history]) / 60.0
    for key, label in (("bits_per_dim", "training"), ("val_bits_per_dim", "validation")):
        axes.plot(epochs, [line[key] for line in history], marker="." if len(epochs) < 50 else None, label=label)
    # The first epochs may be far off; what follows them sets the scale.
    values = _finite([[line["bits_per_dim"], line["val_bits_per_dim"]] for line in history[len(history) // 10:]])
    if len(values):
        margin = 0.05 * (values.max() - values.min()) or 0.1
        axes.set_ylim(values.min() - margin, values.max() + margin)
    axes.set(xlabel=over, ylabel="bits per dimension")
    axes.xaxis.set_major_locator(MaxNLocator(integer=over == "epoch"))
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def normality(latents):
    """Latents against N(0, 1): a histogram with the density, and quantiles against quantiles; a row a level.

    Args:
      latents: dict of arrays by level's name. What is beyond 4.5 standard deviations is counted at the rim.
    """
    figure = Figure(figsize=(9, 3.2 * len(latents)), layout="constrained")
    normal = statistics.NormalDist()
    line = np.linspace(-_REACH, _REACH, 201)
    for (left, right), (name, values) in zip(figure.subplots(len(latents), 2, squeeze=False), latents.items(),
                                             strict=True):
        values = _finite(values)
        if not len(values):
            left.set_title(f"{name}: none is finite")
            continue
        left.hist(values.clip(-_REACH, _REACH), bins=90, range=(-_REACH, _REACH), density=True, color="tab:blue",
                  alpha=0.6)
        left.plot(line, [normal.pdf(z) for z in line], color="black", linewidth=1, label="N(0, 1)")
        left.set(title=f"{name}: mean {values.mean():.2f}, deviation {values.std():.2f}", xlabel="latent",
                 ylabel="density")
        left.legend()
        shares = (np.arange(_NUM_QUANTILES) + 0.5) / _NUM_QUANTILES
        right.plot(line, line, color="black", linewidth=1)
        right.plot([normal.inv_cdf(share) for share in shares], np.quantile(values, shares), ".", markersize=4,
                   color="tab:blue")
        right.set(title=f"{name}: quantiles", xlabel="of N(0, 1)", ylabel="of the latents", xlim=(-3.2, 3.2),
                  ylim=(-_REACH, _REACH))
        right.grid(alpha=0.3)
    return figure


def bits_histogram(bits):
    """How bits per dimension are spread over the events of each split.

    Args:
      bits: dict of arrays by the split's name.
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel="bits per dimension", ylabel="density")
    axes.grid(alpha=0.3)
    finite = {name: values for name, array in bits.items() if len(values := _finite(array))}
    if not finite:
        axes.set_title("none is finite")
        return figure
    # All but the rarest set the scale, which one event may blow up.
    low, high = np.quantile(np.concatenate(list(finite.values())), [0.002, 0.998])
    margin = 0.05 * (high - low) or 0.1
    edges = np.linspace(low - margin, high + margin, 51)
    for name, values in finite.items():
        axes.hist(values.clip(edges[0], edges[-1]), bins=edges, density=True, alpha=0.5,
                  label=f"{name}: mean {values.mean():.3f}")
    axes.legend()
    return figure


def clouds(data, samples):
    """Data and samples by the first two numbers of each vector, or as histograms of the only one.

    Args:
      data: floats `[N, size]`.
      samples: floats `[M, size]`.
    """
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    low, high = np.quantile(data[:, :2], [0.001, 0.999], axis=0)
    reach = 0.1 * (high - low)
    for panel, name, vectors in zip(panels, ("data", "samples"), (data, samples), strict=True):
        vectors = vectors[np.isfinite(vectors).all(axis=1)]
        if vectors.shape[1] == 1:
            panel.hist(vectors[:, 0], bins=80, range=(low[0] - reach[0], high[0] + reach[0]), density=True)
        else:
            panel.scatter(vectors[:, 0], vectors[:, 1], s=2)
            panel.set(ylim=(low[1] - reach[1], high[1] + reach[1]))
        panel.set(title=name, xlim=(low[0] - reach[0], high[0] + reach[0]))
    return figure


def _finite(values):
    values = np.asarray(values, np.float64).ravel()
    return values[np.isfinite(values)]
