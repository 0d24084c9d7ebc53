# SPDX-License-Identifier: Apache-2.0
"""The sections of a report that are pictures."""

import numpy as np

from trainers.evaluation import latent_paths, nearest_neighbors
from trainers.reporting import charts, pictures, plane_figure
from trainers.runs import class_labels
from trainers.reporting.html_page import Picture, Section

_TEMPERATURES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_NUMBER = 36  # samples at each temperature, or fewer for full rows
_ROWS, _COLUMNS = 8, 9  # of interpolations
_NEIGHBOURS = 8  # of so many samples, so many
_SEARCHED = 5000  # training images among which neighbours are looked for
_POINTS = 4000  # samples of vectors


def learning(subject):
    """The learning curve."""
    return Section("Learning curve", pictures=(
        _chart("Bits per dimension over epochs", charts.learning_curve(subject.history)),))


def samples(subject):
    """Samples of the same noise at temperatures from 0.5 to 1.0."""
    columns = class_labels.columns(subject.model, _NUMBER) or 6
    number = _NUMBER // columns * columns
    grids = [pictures.grid(subject.samples(number, temperature), subject.num_levels, columns)
             for temperature in _TEMPERATURES]
    return Section("Samples", "The temperature is a factor on the latents' deviation: 1.0 samples the model's density.",
                   pictures=tuple(Picture(f"Samples at temperature {temperature}", pictures.png(grid), 330)
                                  for temperature, grid in zip(_TEMPERATURES, grids, strict=True)))


def interpolations(subject):
    """Straight lines in latent space between images of the test split."""
    images, labels = subject.examples("test", 2 * _ROWS)
    if len(images) < 2:
        return Section("Interpolations", "They take two images; the test split has one.")
    first, second = slice(0, len(images) // 2 * 2, 2), slice(1, None, 2)
    rows = latent_paths.interpolate(
        subject.model, images[first], images[second], _COLUMNS, (labels[first], labels[second]))
    grid = pictures.grid(rows.reshape(-1, *rows.shape[2:]), subject.num_levels, columns=_COLUMNS)
    return Section("Interpolations", "Each row is a straight line in latent space between two images of the test "
                   "split, its ends.", pictures=(Picture("Interpolations", pictures.png(grid), 640),))


def nearest(subject):
    """Samples beside the training images nearest to them, and how near they are against unseen images."""
    known, _ = subject.examples("train", _SEARCHED)
    drawn = subject.samples(100)
    unseen, _ = subject.examples("test", 100)
    number = min(_NEIGHBOURS, len(known))
    found, distances = nearest_neighbors.nearest(drawn, known, number)
    _, unseen_distances = nearest_neighbors.nearest(unseen, known, 1)
    rows = np.concatenate([drawn[:, None], found], axis=1)[:_NEIGHBOURS]
    grid = pictures.grid(rows.reshape(-1, *rows.shape[2:]), subject.num_levels, columns=number + 1)
    return Section(
        "Nearest neighbours", f"Left a sample at temperature 1, then the nearest of {len(known):,} training images, by "
        "the Euclidean distance of pixels. The median distance to the nearest is "
        f"{np.median(distances[:, 0]):.1f} for samples and {np.median(unseen_distances):.1f} for images of the test "
        "split: samples that were much nearer would be copies.",
        pictures=(Picture("Samples and their nearest training images", pictures.png(grid), 640),))


def vectors(subject):
    """What a flow over vectors has learned: in the plane all of it, else the first two numbers."""
    test, drawn = subject.examples("test", _POINTS)[0], subject.samples(_POINTS)
    if subject.model.event_shape == (2,):
        figure = plane_figure.figure(subject.model, test, _POINTS, subject.seed)
        return Section("In the plane", pictures=(
            _chart("Test split, samples, learned density, and the latent grid in data space", figure, 1100),))
    return Section("Samples", pictures=(_chart("Test split and samples", charts.clouds(test, drawn)),))


def normality(subject):
    """Latents of the test split against the normal density that the flow takes them for."""
    by_level, _ = subject.by_level
    return Section("Latents", "The latents of the test split, level by level, against the density that the flow takes "
                   "them for. What is beyond the rim is counted there.",
                   pictures=(_chart("Latents: histograms and quantiles", charts.normality(by_level), 860),))


def spread(subject):
    """Bits per dimension example by example, seen and unseen."""
    bits = {split: subject.bits[split] for split in ("train", "test")}
    gap = bits["test"].mean() - bits["train"].mean()
    return Section("Seen and unseen", f"An example of the test split takes {gap:+.4f} bits per dimension against one "
                   "of the training split. What is beyond the rim is counted there.",
                   pictures=(_chart("Bits per dimension of the examples", charts.bits_histogram(bits)),))


def _chart(caption, figure, width=640):
    return Picture(caption, pictures.png(figure), width)
