# SPDX-License-Identifier: Apache-2.0
"""Pictures by way of the latents: from one real image to another, and along the difference of class means."""

import numpy as np

from trainers.runs.class_labels import given


def interpolate(model, first, second, num_steps, labels=(None, None)):
    """Images on the straight line between the latents of two images: `decode((1 - t) z1 + t z2)`.

    Args:
      model: a `FlowModel`.
      first: integer images `[N, H, W, C]`.
      second: as many others.
      num_steps: how many values of t, evenly from 0 to 1; at least 2.
      labels: of the first and of the second images, each `[N]`, of use where the model is conditioned on labels: an
        image between two is decoded with that of the nearer.

    Returns:
      Integer images `[N, num_steps, H, W, C]`, the first and last of a row the two images themselves.
    """
    labels = [given(model, each) for each in labels]
    start, end = (model.encode(images, each).numpy()[:, None]
                  for images, each in zip((first, second), labels, strict=True))
    t = np.linspace(0.0, 1.0, num_steps, dtype=start.dtype)
    nearer = None if labels[0] is None else np.where(t <= 0.5, *(np.asarray(each)[:, None] for each in labels))
    t = t[:, None]
    return model.decode((1.0 - t) * start + t * end, nearer).numpy()


def manipulate(model, images, direction, num_steps, labels=None):
    """Images on the straight line from `z - direction` to `z + direction`.

    Args:
      model: a `FlowModel`.
      images: integers `[N, H, W, C]`.
      direction: a latent vector, such as `class_direction` gives.
      num_steps: how many points on the line; an odd number has the image itself in the middle.
      labels: of the images, `[N]`, of use where the model is conditioned on labels.

    Returns:
      Integer images `[N, num_steps, H, W, C]`.
    """
    labels = given(model, labels)
    latents = model.encode(images, labels).numpy()[:, None]
    t = np.linspace(-1.0, 1.0, num_steps, dtype=latents.dtype)[:, None]
    return model.decode(latents + t * direction, None if labels is None else np.asarray(labels)[:, None]).numpy()


def class_direction(model, batches, label):
    """Mean latents of the images of one class less the mean of all others.

    Where the model is conditioned on the same labels its latents tell less of them, and the difference is smaller.

    Args:
      model: a `FlowModel`.
      batches: of (integer images, integer labels).
      label: number of the class.

    Returns:
      A latent vector.

    Raises:
      ValueError: if there is no image of the class, or none of another.

    Reference: Kingma and Dhariwal, *Glow*, 2018, section 6, "Semantic manipulation".
    """
    sums, counts = np.zeros((2, *model.latent_shape)), np.zeros(2)
    for images, labels in batches:
        latents, has = model.encode(images, given(model, labels)).numpy(), np.asarray(labels) == label
        for index, chosen in enumerate((has, ~has)):
            sums[index] += latents[chosen].sum(axis=0, dtype=np.float64)
            counts[index] += chosen.sum()
    if not counts.all():
        raise ValueError(f"attribute: {counts[0]:.0f} images have it and {counts[1]:.0f} do not; both are needed")
    means = sums / counts.reshape(2, *[1] * len(model.latent_shape))
    return (means[0] - means[1]).astype(np.float32)
