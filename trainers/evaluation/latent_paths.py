# SPDX-License-Identifier: Apache-2.0
"""Images along straight lines in latent space: between two images, or from an image in a given direction."""

import math
from collections.abc import Iterable, Sequence

import numpy as np

import tfp_glow
from tfp_glow._types import TensorLike
from tfp_glow.bijectors import Multiscale, Steps

from ..runs.class_labels import condition_for


def interpolate(model: tfp_glow.FlowModel, first: TensorLike, second: TensorLike, num_steps: int,
                labels: tuple[TensorLike | None, TensorLike | None] = (None, None),
                changed: np.ndarray | None = None) -> np.ndarray:
    """Computes images between pairs of images, on straight lines in latent space.

    For a pair with the latents `z1` and `z2`, the images are `decode((1 - t) z1 + t z2)`, for `num_steps` values of `t`
    that are evenly spaced from 0 to 1.

    Args:
      model: a `tfp_glow.FlowModel` over images.
      first: the first image of each pair, integers `[N, height, width, channels]`.
      second: the second image of each pair, integers of the same shape.
      num_steps: int, number of images per line, at least 2.
      labels: pair of integer arrays `[N]`, the labels of `first` and of `second`, for a class-conditional model. An
        image is decoded with the first label if `t <= 0.5`, otherwise with the second. Other models ignore the labels.
        Default: no labels.
      changed: bools `[*latent_shape]`, such as `of_level` returns. Where it is False, the latents stay those of the
        first image. Default: all latents change.

    Returns:
      An integer array `[N, num_steps, height, width, channels]`. Up to the numerical error of the flow, the images at
      the ends of a line are the two images of the pair; with `changed`, only the first one is.
    """
    labels = condition_for(model, labels[0]), condition_for(model, labels[1])
    start, end = (model.encode(images, condition, verify=False).numpy()[:, None]
                  for images, condition in zip((first, second), labels, strict=True))
    if changed is not None:
        end = np.where(changed, end, start)
    t = np.linspace(0.0, 1.0, num_steps, dtype=start.dtype)
    nearer = None if labels[0] is None else np.where(t <= 0.5, *(np.asarray(each)[:, None] for each in labels))
    t = t[:, None]
    return model.decode((1.0 - t) * start + t * end, nearer).numpy()


def manipulate(model: tfp_glow.FlowModel, images: TensorLike, direction: np.ndarray, num_steps: int,
               labels: TensorLike | None = None) -> np.ndarray:
    """Computes changed images: their latents move along a straight line in a given direction.

    For an image with the latent `z`, the results are `decode(z + t direction)`, for `num_steps` values of `t` that are
    evenly spaced from -1 to 1.

    Args:
      model: a `tfp_glow.FlowModel` over images.
      images: integers `[N, height, width, channels]`.
      direction: a difference of latents, floats `[*latent_shape]`, such as `class_direction` returns.
      num_steps: int, number of results per image, at least 2. If it is odd, the result in the middle is the image.
      labels: integers `[N]`, the labels of the images, for a class-conditional model. Other models ignore them.
        Default: no labels.

    Returns:
      An integer array `[N, num_steps, height, width, channels]`.
    """
    labels = condition_for(model, labels)
    latents = model.encode(images, labels, verify=False).numpy()[:, None]
    t = np.linspace(-1.0, 1.0, num_steps, dtype=latents.dtype)[:, None]
    return model.decode(latents + t * direction, None if labels is None else np.asarray(labels)[:, None]).numpy()


def of_level(model: tfp_glow.FlowModel, name: str) -> np.ndarray:
    """Finds the latents of one level of a multi-scale flow.

    Args:
      model: a `tfp_glow.FlowModel`.
      name: str, name of the level: `"level 1"`, `"level 2"`, ... and, for the last level, `"top"`.

    Returns:
      A bool array `[*latent_shape]`, True for the latents of the level.

    Raises:
      ValueError: if the flow has no levels, or no level of this name.
    """
    bijector = model.distribution.bijector
    last = bijector.bijectors[-1] if isinstance(bijector, Steps) else bijector
    sizes = last.level_sizes if isinstance(last, Multiscale) else ()
    names = [*(f"level {number}" for number in range(1, len(sizes))), "top"] if len(sizes) > 1 else []
    if name not in names:
        raise ValueError(f"level: must be one of {', '.join(names)}; got {name!r}" if names else
                         f"level: requires a flow with several levels; got {name!r} for a flow without them")
    return np.repeat([each == name for each in names], sizes).reshape(model.latent_shape)


def class_direction(model: tfp_glow.FlowModel, batches: Iterable[tuple[TensorLike, TensorLike]],
                    label: int) -> np.ndarray:
    """Computes the mean latent of the images of one class minus the mean latent of all other images.

    The latents of a class-conditional model contain less information about the class, so the difference is smaller.

    Args:
      model: a `tfp_glow.FlowModel`.
      batches: iterable of pairs `(images, labels)`: integers `[batch, height, width, channels]` and `[batch]`.
      label: int, label of the class.

    Returns:
      A float32 array `[*latent_shape]`.

    Raises:
      ValueError: if all images have the label, or none has it.

    References:
      Kingma and Dhariwal, *Glow: Generative flow with invertible 1x1 convolutions*, 2018, section 6, "Semantic
      manipulation".
    """
    return class_directions(model, batches, [label])[0]


def class_directions(model: tfp_glow.FlowModel, batches: Iterable[tuple[TensorLike, TensorLike]],
                     classes: Sequence[int]) -> np.ndarray:
    """Computes `class_direction` for several classes in one pass over the images.

    Args:
      model: a `tfp_glow.FlowModel`.
      batches: see `class_direction`.
      classes: ints, the labels of the classes.

    Returns:
      A float32 array `[len(classes), *latent_shape]`.

    Raises:
      ValueError: if all images have one of the labels, or none has it.
    """
    chosen = np.asarray(classes)
    # Sums over the images that have a label, and over those that do not.
    sums, counts = np.zeros((2, len(chosen), math.prod(model.latent_shape))), np.zeros((2, len(chosen)))
    for images, labels in batches:
        latents = model.encode(images, condition_for(model, labels), verify=False).numpy()
        latents = latents.reshape(len(latents), -1).astype(np.float64)
        has_label = (np.asarray(labels) == chosen[:, None]).astype(np.float64)
        for index, weights in enumerate((has_label, 1.0 - has_label)):
            sums[index] += weights @ latents
            counts[index] += weights.sum(axis=1)
    for with_label, without in counts.T:
        if not with_label or not without:
            raise ValueError("attribute: must be present in some images and absent in others; "
                             f"{with_label:.0f} images have it and {without:.0f} do not")
    means = sums / counts[..., None]
    return (means[0] - means[1]).reshape(-1, *model.latent_shape).astype(np.float32)
