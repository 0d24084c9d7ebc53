# SPDX-License-Identifier: Apache-2.0
"""Data sets of the trainers: `load` opens a data set by its spec, `dataset` returns its batches."""

from .damaged_files import one_line_if_damaged
from .image_data import SPLITS, ImageData
from .pipeline import dataset, num_batches
from .specs import load, load_for_run
from .vector_data import VectorData

__all__ = ["SPLITS", "ImageData", "VectorData", "dataset", "load", "load_for_run", "num_batches",
           "one_line_if_damaged"]
