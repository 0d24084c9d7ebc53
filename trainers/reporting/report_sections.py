# SPDX-License-Identifier: Apache-2.0
"""`all_sections`: computes the numbers, table rows and pictures of a report for the template `report.html.jinja`."""

import json
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import PIL.Image

from ..evaluation import latent_paths, nearest_neighbors
from ..runs import class_labels
from . import charts, plane_figure, png_files
from .report_model import ReportedModel

_TEMPERATURES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_NUM_SAMPLES = 36  # Per temperature, rounded down to full rows.
_INTERPOLATION_ROWS, _INTERPOLATION_STEPS = 8, 9
_NEIGHBOR_ROWS, _NUM_NEIGHBORS = 8, 8
_MAX_CANDIDATES = 5000  # Number of training images among which neighbors are searched.
_NUM_DISTANCES = 100  # Number of samples, and of test images, for the distances to the nearest training image.
_NUM_VECTORS = 4000


def all_sections(reported: ReportedModel) -> dict[str, dict[str, Any]]:
    """Computes the content of all sections of a report.

    Args:
      reported: the model and its data set.

    Returns:
      A dict from the name of each section to a dict of the numbers, rows and pictures that the template
      `report.html.jinja` shows in the section. Pictures are Matplotlib figures or `PIL.Image.Image`s. The sections are
      `results`, `learning_curve`, `latents`, `levels`, `train_and_test` and `configuration`. For images, there are also
      `samples`, `interpolations` and `neighbors`; for vectors, there is also `vectors`. If the flow overflows, these
      hold a message under `overflow` instead.
    """
    sections = {"vectors": _vectors} if reported.num_levels is None else {
        "samples": _samples, "interpolations": _interpolations, "neighbors": _neighbors}
    of_events = {name: _unless_overflow(section, reported) for name, section in sections.items()}
    return {
        "results": results(reported),
        "learning_curve": {
            "chart": charts.learning_curve(reported.history, training=reported.config["training"]),
            "pixel_noise": reported.config["training"]["pixel_noise"],
            "ema_momentum": reported.config["training"]["ema_momentum"],
            "has_other_noise": reported.config.get("dequantizer") is not None},
        **of_events,
        "latents": {"chart": charts.latents_and_normal_density(reported.latents_and_log_dets[0])},
        "levels": _levels(reported),
        "train_and_test": _train_and_test(reported),
        "configuration": {"rows": list(_flatten(reported.config))},
    }


def results(reported: ReportedModel) -> dict[str, Any]:
    """Computes the numbers of the section `results`.

    Args:
      reported: the model and its data set.

    Returns:
      A dict of numbers and table rows.
    """
    history = reported.history
    return {
        "num_parameters": sum(math.prod(variable.shape) for variable in reported.model.trainable_variables),
        "source": reported.source,
        "num_epochs": max([line["epoch"] for line in history], default=0),
        "num_missing": max([line["epoch"] for line in history], default=0) - len({line["epoch"] for line in history}),
        "steps_per_epoch": reported.config["steps_per_epoch"],
        "seconds": sum(line.get("seconds", 0.0) for line in history),
        "num_skipped": history[-1].get("skipped_steps") if history else None,
        "true_entropy": reported.data.true_entropy,
        "has_noise": reported.num_levels is not None,
        "is_sampled": any(len(bits) < reported.data.num_examples(split)
                          for split, bits in reported.bits_per_dim.items()),
        "rows": [(split, f"{len(bits):,} of {reported.data.num_examples(split):,}", f"{bits.mean():.4f}",
                  f"{reported.to_nats(bits.mean()):.3f}") for split, bits in reported.bits_per_dim.items()],
    }


def _unless_overflow(section: Callable[[ReportedModel], dict[str, Any]], reported: ReportedModel) -> dict[str, Any]:
    """Returns a section. If the flow gives numbers that are not finite, returns the message under `overflow`."""
    try:
        return section(reported)
    except ValueError as error:
        warnings.warn(f"A section of the report has no picture. {error}", stacklevel=2)
        return {"overflow": str(error)}


def _samples(reported: ReportedModel) -> dict[str, Any]:
    columns = class_labels.columns(reported.model, _NUM_SAMPLES) or 6
    number = _NUM_SAMPLES // columns * columns

    def grid(temperature: float) -> dict[str, Any]:
        return {"temperature": temperature, **_unless_overflow(lambda reported: {"picture": png_files.image_grid(
            reported.sample(number, temperature), reported.num_levels, columns)}, reported)}

    return {"grids": [grid(temperature) for temperature in _TEMPERATURES]}


def _interpolations(reported: ReportedModel) -> dict[str, Any]:
    images, labels = reported.examples("test", 2 * _INTERPOLATION_ROWS)
    if len(images) < 2:
        return {"grid": None}
    first, second = slice(0, len(images) // 2 * 2, 2), slice(1, None, 2)
    rows = latent_paths.interpolate(
        reported.model, images[first], images[second], _INTERPOLATION_STEPS, (labels[first], labels[second]))
    return {"grid": _grid_of_rows(rows, reported.num_levels)}


def _neighbors(reported: ReportedModel) -> dict[str, Any]:
    train, _ = reported.examples("train", _MAX_CANDIDATES)
    test, _ = reported.examples("test", _NUM_DISTANCES)
    samples = reported.sample(_NUM_DISTANCES)
    neighbors, distances = nearest_neighbors.find_nearest(samples, train, min(_NUM_NEIGHBORS, len(train)))
    _, test_distances = nearest_neighbors.find_nearest(test, train, 1)
    rows = np.concatenate([samples[:, None], neighbors], axis=1)[:_NEIGHBOR_ROWS]
    return {"num_candidates": len(train), "sample_distance": np.median(distances[:, 0]),
            "test_distance": np.median(test_distances), "grid": _grid_of_rows(rows, reported.num_levels)}


def _vectors(reported: ReportedModel) -> dict[str, Any]:
    test, _ = reported.examples("test", _NUM_VECTORS)
    in_plane = reported.model.event_shape == (2,)
    return {"in_plane": in_plane, "chart": (
        plane_figure.figure(reported.model, test, _NUM_VECTORS, reported.seed) if in_plane
        else charts.data_and_samples(test, reported.sample(_NUM_VECTORS)))}


def _levels(reported: ReportedModel) -> dict[str, Any]:
    latents, log_dets = reported.latents_and_log_dets
    base_bits = {name: (0.5 * z**2 + 0.5 * math.log(2.0 * math.pi)).sum(axis=1).mean() / reported.to_nats(1.0)
                 for name, z in latents.items()}
    changes = {name: -values.mean() for name, values in log_dets.items()}
    base_total, change_total = sum(base_bits.values()), sum(changes.values())
    rows = [(name, f"{base_bits[name]:.4f}" if name in base_bits else "", f"{change:+.4f}")
            for name, change in changes.items()]
    return {"bits_per_dim": base_total + change_total,
            "rows": [*rows, ("total", f"{base_total:.4f}", f"{change_total:+.4f}")]}


def _train_and_test(reported: ReportedModel) -> dict[str, Any]:
    bits = {split: reported.bits_per_dim[split] for split in ("train", "test")}
    return {"difference": bits["test"].mean() - bits["train"].mean(), "chart": charts.bits_histogram(bits)}


def _flatten(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yields a pair `(key, JSON)` per entry of a nested dict. Dots join the keys of nested entries."""
    for key, value in config.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, json.dumps(value)


def _grid_of_rows(rows: np.ndarray, num_levels: int) -> PIL.Image.Image:
    """Returns the grid of images `[rows, columns, height, width, channels]`."""
    return png_files.image_grid(rows.reshape(-1, *rows.shape[2:]), num_levels, columns=rows.shape[1])
