# SPDX-License-Identifier: Apache-2.0
"""Straight paths in latent space: between two images, and along the difference of two mean latents."""

from collections.abc import Iterable

import numpy as np

import tfp_glow
from tfp_glow._types import TensorLike
from trainers.runs.class_labels import given


def interpolate(model: tfp_glow.FlowModel, first: TensorLike, second: TensorLike, num_steps: int,
                labels: tuple[TensorLike | None, TensorLike | None] = (None, None)) -> np.ndarray:
    """Decodes points on the straight line between the latents of two images: `decode((1 - t) z1 + t z2)`.

    Args:
      model: the model.
      first: integer images `[N, height, width, channels]`.
      second: integer images of the same shape.
      num_steps: number of values of `t`, evenly spaced from 0 to 1; at least 2.
      labels: labels `[N]` of the first and of the second images, for a class-conditional model; other models ignore
        them. Each point is decoded with the label of the nearer image.

    Returns:
      Integer images `[N, num_steps, height, width, channels]`. The first and the last of each row are the two images.
    """
    labels = given(model, labels[0]), given(model, labels[1])
    start, end = (model.encode(images, condition).numpy()[:, None]
                  for images, condition in zip((first, second), labels, strict=True))
    t = np.linspace(0.0, 1.0, num_steps, dtype=start.dtype)
    nearer = None if labels[0] is None else np.where(t <= 0.5, *(np.asarray(each)[:, None] for each in labels))
    t = t[:, None]
    return model.decode((1.0 - t) * start + t * end, nearer).numpy()


def manipulate(model: tfp_glow.FlowModel, images: TensorLike, direction: np.ndarray, num_steps: int,
               labels: TensorLike | None = None) -> np.ndarray:
    """Decodes points on the straight line from `z - direction` to `z + direction`, where `z` is an image's latent.

    Args:
      model: the model.
      images: integer images `[N, height, width, channels]`.
      direction: a latent vector, such as `class_direction` returns.
      num_steps: number of points on the line. If it is odd, the image is in the middle.
      labels: labels `[N]` of the images, for a class-conditional model; other models ignore them.

    Returns:
      Integer images `[N, num_steps, height, width, channels]`.
    """
    labels = given(model, labels)
    latents = model.encode(images, labels).numpy()[:, None]
    t = np.linspace(-1.0, 1.0, num_steps, dtype=latents.dtype)[:, None]
    return model.decode(latents + t * direction, None if labels is None else np.asarray(labels)[:, None]).numpy()


def class_direction(model: tfp_glow.FlowModel, batches: Iterable[tuple[TensorLike, TensorLike]],
                    label: int) -> np.ndarray:
    """Computes the mean latents of the images of one class minus the mean latents of all other images.

    A model that is conditioned on the same labels encodes less about the class, so its difference is smaller.

    Args:
      model: the model.
      batches: pairs of integer images `[batch, height, width, channels]` and integer labels `[batch]`.
      label: label of the class.

    Returns:
      A float32 latent vector.

    Raises:
      ValueError: if all images or no images have the label.

    References:
      Kingma and Dhariwal, *Glow: Generative flow with invertible 1x1 convolutions*, 2018, section 6, "Semantic
      manipulation".
    """
    sums, counts = np.zeros((2, *model.latent_shape)), np.zeros(2)
    for images, labels in batches:
        latents, has_label = model.encode(images, given(model, labels)).numpy(), np.asarray(labels) == label
        for index, chosen in enumerate((has_label, ~has_label)):
            sums[index] += latents[chosen].sum(axis=0, dtype=np.float64)
            counts[index] += chosen.sum()
    if not counts.all():
        raise ValueError("attribute: must be present in some images and absent in others; "
                         f"{counts[0]:.0f} images have it and {counts[1]:.0f} do not")
    means = sums / counts.reshape(2, *[1] * len(model.latent_shape))
    return (means[0] - means[1]).astype(np.float32)
