# SPDX-License-Identifier: Apache-2.0
"""Data sets of the trainers: `load` opens a data set by its spec, `dataset` returns its batches."""

from trainers.data.image_data import SPLITS, ImageData
from trainers.data.pipeline import dataset, num_batches
from trainers.data.specs import load, load_for_run
from trainers.data.vector_data import VectorData

__all__ = ["SPLITS", "ImageData", "VectorData", "dataset", "load", "load_for_run", "num_batches"]
