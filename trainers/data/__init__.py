# SPDX-License-Identifier: Apache-2.0
"""Image sets, all read through TFDS: `load` opens one by its SPEC, `dataset` makes batches of it."""

from trainers.data.image_data import SPLITS, ImageData
from trainers.data.pipeline import dataset, num_batches
from trainers.data.specs import load

__all__ = ["SPLITS", "ImageData", "dataset", "load", "num_batches"]
