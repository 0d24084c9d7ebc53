# SPDX-License-Identifier: Apache-2.0
"""Bits per dimension of a trained model on a split."""

import numpy as np

from trainers import data as data_lib


def bits_per_dim(model, batches, seed=0):
    """Mean bits per dimension of integer images, each counted once.

    Args:
      model: a `FlowModel`.
      batches: batches of images `[B, H, W, C]`.
      seed: of the uniform noise in every bin; the noise does not depend on how the images are batched.

    Returns:
      `(bits per dimension, number of images)`.
    """
    noise = np.random.default_rng(seed)
    bits = []
    for images in batches:
        images = np.asarray(images)
        points = images + noise.random(images.shape).astype(np.float32)
        bits.append(model.bits_per_dim(points).numpy())
    bits = np.concatenate(bits).astype(np.float64)
    return float(bits.mean()), len(bits)


def check_fits(config, data, run):
    """Raises `ValueError` unless images of `data` are what the model of a run was trained on."""
    shape, levels = tuple(config["flow"]["image_shape"]), config["data_levels"]
    if (data.image_shape, data.num_levels) != (shape, levels):
        raise ValueError(f"data: {data.name} has images of shape {data.image_shape} and {data.num_levels} grey levels; "
                         f"the model in {run} was trained on {shape} and {levels}")


def split_batches(config, data, split, batch_size):
    """The images of a split, as a run's model takes them, in stored order."""
    return data_lib.dataset(data, split, batch_size, shuffle=False, labels=False, num_bits=config["num_bits"])
