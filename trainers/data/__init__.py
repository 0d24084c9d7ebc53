# SPDX-License-Identifier: Apache-2.0
"""Data sets: `load` opens one by its SPEC, `dataset` makes batches of it. Images are read through TFDS."""

from trainers.data.image_data import ImageData, SPLITS
from trainers.data.pipeline import dataset, num_batches
from trainers.data.specs import load, load_for_run
from trainers.data.vector_data import VectorData

__all__ = ["SPLITS", "ImageData", "VectorData", "dataset", "load", "load_for_run", "num_batches"]
