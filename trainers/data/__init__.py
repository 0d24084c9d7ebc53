# SPDX-License-Identifier: Apache-2.0
"""Data sets: `load` opens the set that a spec names, `dataset` makes batches of it."""

from trainers.data.image_data import SPLITS, ImageData
from trainers.data.pipeline import dataset, num_batches
from trainers.data.specs import load, load_for_run
from trainers.data.vector_data import VectorData

__all__ = ["SPLITS", "ImageData", "VectorData", "dataset", "load", "load_for_run", "num_batches"]
